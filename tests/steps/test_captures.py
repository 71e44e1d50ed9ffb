"""Captures of every kind go through the whole study: overlapping classes, scattered slices, several, a single slice.

What the labels become voxel by voxel is compared with the arrays they were written from; scores with scikit-learn.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rich.console import Console
from sklearn.metrics import f1_score
from tinystudy import BOOSTING, CONFIG, NAMES, SHAPE_ZYX, place, run_chain, tissue, whole, write_study, write_tiff

from pipeline.config.model import parse_config
from pipeline.errors import ConfigError, MissingLibraryError
from pipeline.figures.render.drawing import require_opengl
from pipeline.run.layout import Run
from pipeline.steps.finish import finish
from pipeline.steps.inspect import overview
from pipeline.steps.plan import plan
from pipeline.steps.render import render
from pipeline.steps.report import report
from pipeline.volume.omezarr import open_labels
from pipeline.webapp.catalogue import models

CAPTURE = {"name": "tiny", "raw": "raw.tif", "labels": "labels.tif", "voxel_size_nm": [40, 8, 8]}
SHORT: dict[str, Any] = {"training": {"steps": 4}}


def with_capture(**changes: object) -> dict[str, Any]:
    return {**SHORT, "data": {"captures": [CAPTURE | changes]}}


def scores(run: Run) -> dict[str, Any]:
    return {row["name"]: row for row in json.loads(run.evaluation_store.read("scores.json"))["rows"]}


def test_overlapping_classes_as_masks(tmp_path: Path) -> None:
    """Two classes that share voxels: bit masks in truth and prediction, a score and a confusion volume each."""
    _, labels = tissue()
    masks = {"cell": labels >= 2, "core": labels == 3}
    for name, mask in masks.items():
        write_tiff(tmp_path / f"{name}.tif", mask.astype(np.uint8) * 255)
    changes = {
        **with_capture(labels={name: f"{name}.tif" for name in masks}),
        "classes": {"exclusive": False, "members": [{"name": name, "color": "#4363d8"} for name in masks]},
        "inference": {"region": "all"},
    }
    run = run_chain(write_study(tmp_path, changes), tmp_path / "run")
    truth, predicted = whole(run.truth("tiny")), whole(run.segmentation("multilabel", "tiny"))
    assert np.array_equal(truth, 1 | masks["cell"] << 1 | masks["core"] << 2)
    assert predicted.dtype == np.uint32
    assert (predicted & 1).all()
    scored = whole(open_labels(run.capture_store("tiny"), "split")) == 3
    for bit, name in enumerate(masks, 1):
        is_class, taken_for = truth[scored] >> bit & 1, predicted[scored] >> bit & 1
        assert (scores(run)[name]["multilabel"]["f1"] or 0.0) == pytest.approx(f1_score(is_class, taken_for))
        confusion = open_labels(run.evaluation_store.child("confusion", f"multilabel_{name}", "tiny"), "confusion")
        assert np.array_equal(np.isin(whole(confusion)[scored], [101, 102]), is_class == 1)
    finish(str(place(run)))
    rows = [line.split(",") for line in run.evaluation_store.read("shares.csv").decode().splitlines()[1:]]
    assert [int(row[4]) for row in rows] == [np.count_nonzero(predicted >> bit & 1) for bit in (1, 2)]


def test_runs_of_scattered_slices_become_captures(tmp_path: Path) -> None:
    raw, labels = tissue((9, *SHAPE_ZYX[1:]))
    write_tiff(tmp_path / "raw.tif", raw)
    write_tiff(tmp_path / "labels.tif", labels[[1, 2, 5, 8]])
    changes = with_capture(labelled_slices=["1-2", 5, 8], runs_as_captures=True)
    run = run_chain(write_study(tmp_path, changes), tmp_path / "run")
    assert [capture.name for capture in run.plan.captures] == ["tiny_0001", "tiny_0005", "tiny_0008"]
    for name, slices in (("tiny_0001", [1, 2]), ("tiny_0005", [5]), ("tiny_0008", [8])):
        assert np.array_equal(whole(run.image(name)), raw[slices])
        assert np.array_equal(whole(run.truth(name)), labels[slices])
        # In a viewer, each run and its prediction lie where they were cut out of the stack.
        volumes = (run.image(name), run.segmentation("multilabel", name))
        assert [volume.geometry.translation_nm[0] for volume in volumes] == [40 * slices[0]] * 2
    support = sum(row["support_voxels"] for row in scores(run).values() if row["row"] == "class")
    assert support == sum(block.voxels for capture in run.plan.captures for block in capture.split().test)


def test_runs_need_to_be_told() -> None:
    with pytest.raises(ConfigError, match=r"runs_as_captures needs labelled_slices"):
        parse_config(yaml.safe_dump(CONFIG | with_capture(runs_as_captures=True)), "study.yaml")


def test_several_captures_of_different_sizes(tmp_path: Path) -> None:
    for name, shape in (("a", (4, 64, 160)), ("b", (3, 160, 72))):
        raw, labels = tissue(shape, seed=shape[0])
        write_tiff(tmp_path / f"{name}_raw.tif", raw)
        write_tiff(tmp_path / f"{name}_labels.tif", labels)
    captures = [CAPTURE | {"name": n, "raw": f"{n}_raw.tif", "labels": f"{n}_labels.tif"} for n in "ab"]
    run = run_chain(write_study(tmp_path, {**SHORT, "data": {"captures": captures}}), tmp_path / "run")
    assert [capture.shape_zyx for capture in run.plan.captures] == [(4, 64, 160), (3, 160, 72)]
    total = sum(
        np.count_nonzero(whole(open_labels(run.capture_store(n), "split"))[whole(run.truth(n)) == 1] == 3) for n in "ab"
    )
    assert scores(run)["dark"]["support_voxels"] == total


@pytest.fixture(scope="module")
def parted(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of two captures: one to train and validate on, the other, which is smaller, to score on."""
    tmp_path = tmp_path_factory.mktemp("parted")
    for name, shape in (("a", SHAPE_ZYX), ("b", (2, 40, 72))):
        raw, labels = tissue(shape, seed=shape[0])
        write_tiff(tmp_path / f"{name}_raw.tif", raw)
        write_tiff(tmp_path / f"{name}_labels.tif", labels)
    captures = [CAPTURE | {"name": n, "raw": f"{n}_raw.tif", "labels": f"{n}_labels.tif"} for n in "ab"]
    boxes = [("train", "a", [0, 60]), ("validation", "a", [100, 160]), ("test", "b", [0, 72])]
    regions = [{"part": part, "capture": capture, "x": x} for part, capture, x in boxes]
    boosting = BOOSTING | {"boosting": BOOSTING["boosting"] | {"methods": ["bicubic", "zssr"]}}
    changes = {**SHORT, **boosting, "data": {"captures": captures}, "split": {"regions": regions}}
    return run_chain(write_study(tmp_path, changes), tmp_path / "run")


@pytest.mark.slow
def test_captures_that_lack_a_part(parted: Run) -> None:
    """A stack of its own to score on: scores, figures, boosting, report and the overview are made of it alone."""
    run = parted
    assert [len(capture.split().test) for capture in run.plan.captures] == [0, 1]
    _, labels = tissue((2, 40, 72), seed=2)
    support = {name: int((labels == number).sum()) for number, name in enumerate(NAMES, 1)}
    assert {name: scores(run)[name]["support_voxels"] for name in NAMES} == support
    figures = [key for key in run.evaluation_store.list("figures") if "slice_" in key or "ablation_" in key]
    assert any("_b_" in key for key in figures)
    assert not any("_a_" in key for key in figures)
    report(run.store.url)
    page = run.evaluation_store.read("report.html").decode()
    assert "<wbr>b, z " in page.replace("</span>", "") or ">b, z " in page
    assert ">a, z " not in page
    console = Console(file=io.StringIO(), width=120)
    for piece in overview(run.store.url):
        console.print(piece)


@pytest.mark.slow
def test_renders_are_of_the_captures_that_have_a_test_part(parted: Run) -> None:
    try:
        require_opengl()
    except MissingLibraryError as error:
        pytest.skip(str(error))
    render(parted.store.url)
    names = list(parted.evaluation_store.list("renders"))
    assert "renders/scene_multilabel_b.html" in names
    assert not any("_a." in name or "_a_" in name for name in names)


def test_a_single_slice(tmp_path: Path) -> None:
    raw, labels = tissue((1, *SHAPE_ZYX[1:]))
    write_tiff(tmp_path / "raw.tif", raw)
    write_tiff(tmp_path / "labels.tif", labels)
    run = run_chain(write_study(tmp_path, SHORT), tmp_path / "run")
    assert run.plan.captures[0].shape_zyx == (1, *SHAPE_ZYX[1:])
    assert np.isfinite(scores(run)["weighted"]["multilabel"]["f1"])


def test_only_labelled_slices_are_scored(tmp_path: Path) -> None:
    _, labels = tissue()
    write_study(tmp_path)
    write_tiff(tmp_path / "labels.tif", labels[[0, 3]])
    run = run_chain(write_study(tmp_path, with_capture(labelled_slices=[0, 3])), tmp_path / "run")
    truth = whole(run.truth("tiny"))
    assert np.array_equal(truth[[0, 3]], labels[[0, 3]])
    assert not truth[[1, 2]].any()
    support = sum(row["support_voxels"] for row in scores(run).values() if row["row"] == "class")
    assert support == sum(block.voxels for block in run.plan.captures[0].split().test) // 2


def test_a_part_without_labels_is_refused(tmp_path: Path) -> None:
    """All labels lie in the training part: no model could be chosen, and none scored."""
    _, labels = tissue()
    write_study(tmp_path)
    write_tiff(tmp_path / "labels.tif", np.where(np.arange(SHAPE_ZYX[2]) < 60, labels, 9))
    classes = {"ignore_ids": [9]}
    with pytest.raises(ConfigError, match=r"validation part has no labelled voxel.*split\.axis"):
        plan(str(write_study(tmp_path, {"classes": classes})), str(tmp_path / "run"))


def test_a_run_in_a_bucket_is_that_of_a_folder(bucket: str, study: Path, finished: Run) -> None:
    multilabel = write_study(study.parent, name="multilabel.yaml")
    run = run_chain(multilabel, f"{bucket}/some/run", workers=2)
    assert np.array_equal(
        whole(run.segmentation("multilabel", "tiny")), whole(finished.segmentation("multilabel", "tiny"))
    )
    weights = "models/multilabel/model.safetensors"
    assert run.store.read(weights) == finished.store.read(weights)
    assert set(NAMES) < set(scores(run))
    report(run.store.url)
    assert b"best</strong> F1" in run.evaluation_store.read("report.html")


@pytest.mark.parametrize(("edge", "told"), [(8, False), (160, True)])
def test_a_training_part_that_holds_no_patch_is_told(
    edge: int, told: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A patch of 8 columns fits into what the guard bands leave; one as wide as the capture does not."""
    plan(str(write_study(tmp_path, {"training": {"patch_zyx": [2, 8, edge]}})), str(tmp_path / "run"))
    assert ("training.patch_zyx" in capsys.readouterr().out) == told


def test_ids_of_64_bits_go_from_the_configuration_into_the_run(tmp_path: Path) -> None:
    """Segment ids above 2**53 side by side, and 2**64 - 1 for what nobody labelled."""
    _, labels = tissue()
    labels[0, 0, :7] = 0
    unlabelled, *ids = 2**64 - 1, 2**53 + 1, 2**53, 720575940379279311
    np.save(tmp_path / "ids.npy", np.array([unlabelled, *ids], np.uint64)[labels])
    members = [member | {"ids": [id_]} for member, id_ in zip(CONFIG["classes"]["members"], ids, strict=True)]
    changes = {**with_capture(labels="ids.npy"), "classes": {"ignore_ids": [unlabelled], "members": members}}
    plan(str(write_study(tmp_path, changes)), str(tmp_path / "run"))
    assert np.array_equal(whole(Run.open(str(tmp_path / "run")).truth("tiny")), labels)


def test_a_class_may_be_called_rest(tmp_path: Path) -> None:
    """As what stands beside each class that has a network of its own is called, too."""
    members = [{"name": name, "ids": [value]} for value, name in enumerate(("cell", "core", "rest"), 1)]
    changes = {"training": {"steps": 4, "binary_steps": 4, "targets": "all"}, "classes": {"members": members}}
    run = run_chain(write_study(tmp_path, changes), tmp_path / "run")
    assert [name for _, name, _ in run.segmentation("rest", "tiny").classes] == ["rest", "others"]
    assert set(scores(run)) >= {"cell", "core", "rest"}
    report(str(tmp_path / "run"))
    (card,) = (each for each in models([str(tmp_path / "run")]) if each.target == "multilabel")
    assert all(each.f1 is not None for each in card.classes)
