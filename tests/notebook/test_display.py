"""What volumes, scores and runs show of themselves in a notebook: the right facts, and nothing that is not escaped.

How it looks is seen in docs/notebook.ipynb, which test_notebook.py runs.
"""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tinylabels import labels_of
from tinystudy import write_study

from pipeline.errors import InputError
from pipeline.notebook import scene
from pipeline.notebook.displays import class_ids
from pipeline.run.layout import Run
from pipeline.scoring.confusion import ConfusionMatrix
from pipeline.scoring.tables import score_table
from pipeline.steps.plan import plan
from pipeline.volume.geometry import Block

EVIL = "<b>&\"x'"


def slice_shown(html: str) -> np.ndarray:
    found = re.search(r"base64,([^\"]+)\"", html)
    assert found is not None
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("RGBA"))


def test_a_slice_of_labels_has_the_colours_of_its_classes_and_is_clear_elsewhere(tmp_path: Path) -> None:
    ids = np.zeros((3, 4, 6), np.uint8)
    ids[1, :2], ids[1, 2:, :3] = 1, 2
    html = labels_of(tmp_path, ids, [(1, EVIL, "#e6194b"), (2, "b", "#3cb44b")])._repr_html_()
    palette = np.array([(0, 0, 0, 0), (0xE6, 0x19, 0x4B, 255), (0x3C, 0xB4, 0x4B, 255)])
    np.testing.assert_array_equal(slice_shown(html), palette[ids[1]])
    assert "3 × 4 × 6 voxels of 40 × 8 × 8 nm (z, y, x), uint8" in html
    assert "<b>&" not in html.removeprefix("<div")


def test_of_overlapping_classes_the_last_is_shown(tmp_path: Path) -> None:
    bits = np.array([[[0, 1, 1 << 1 | 1, 1 << 2 | 1, 1 << 1 | 1 << 2 | 1]]], np.uint32)
    volume = labels_of(tmp_path, bits, [(1 << k | 1, f"c{k}", "#e6194b") for k in (1, 2)])
    np.testing.assert_array_equal(class_ids(volume, bits), [[[0, 0, 1, 2, 2]]])


def test_scores_have_a_bar_each_and_names_are_escaped() -> None:
    matrix = ConfusionMatrix((EVIL, "b"))
    matrix.update(np.array([[1, 1, 2, 2]]), np.array([[1, 2, 2, 2]]))
    html = score_table(matrix, None)._repr_html_()
    assert EVIL not in html
    assert html.count("linear-gradient(90deg,rgba(86,180,233,.35) 80.0%") == 1  # F1 of b is 4 / 5
    assert "Weighted F1: multilabel .733" in html


def test_a_run_says_how_far_it_is(tmp_path: Path, finished: Run) -> None:
    begun = Run.open(tmp_path / "run", create=True)
    assert "not planned yet" in begun._repr_html_()
    plan(str(write_study(tmp_path)), str(tmp_path / "run"))
    planned = Run.open(tmp_path / "run")
    assert planned.scores is None
    assert "not scored yet" in planned._repr_html_()
    assert "8 steps" in finished._repr_html_()
    assert "4 of 4" in finished._repr_html_()
    assert "Weighted F1" in finished._repr_html_()


def test_a_scene_is_one_page_in_a_frame(tmp_path: Path) -> None:
    ids = np.ones((6, 20, 20), np.uint8)
    ids[2:4, 5:9, 5:9] = 2
    volume = labels_of(tmp_path, ids, [(1, "ground", "#5b6b7b"), (2, "grain", "#3cb44b")])
    whole, part = scene(volume, title=EVIL), scene(volume, Block((0, 0, 0), (6, 20, 5)))
    assert [(one.style.name, one.style.shown, one.voxels) for one in whole.surfaces] == [
        ("ground", False, 2368),
        ("grain", True, 32),
    ]
    assert [one.style.name for one in part.surfaces] == ["ground"]
    assert whole.size_nm == (240.0, 160.0, 160.0)
    assert re.fullmatch(r'<iframe title="[^"]*" srcdoc="[^"]*" style="[^"]*"></iframe>', whole._repr_html_(), re.DOTALL)
    assert whole.save(tmp_path / "scene.html").read_text().startswith("<!doctype html>")


def test_a_scene_of_a_coarser_grid_counts_voxels_of_the_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.ones((6, 40, 40), np.uint8)
    ids[2:4, 5:20, 5:20] = 2
    volume = labels_of(tmp_path, ids, [(1, "ground", "#5b6b7b"), (2, "grain", "#3cb44b")])
    monkeypatch.setattr("pipeline.notebook.displays.MOST_VOXELS", ids.size // 4)
    assert [each.voxels for each in scene(volume).surfaces] == [ids.size - 450, 450]


def test_an_image_has_no_surfaces(finished: Run) -> None:
    with pytest.raises(InputError, match="no label volume"):
        scene(finished.image("tiny"))
