"""A volume with other voxels than the model's is resampled for it, and its result brought back."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from rich.console import Console
from tinystudy import VOXEL_SIZE_NM, place, whole, write_tiff

from pipeline.config.model import Inference
from pipeline.formats import sides
from pipeline.run.layout import OWN_GRID, Run
from pipeline.run.outcome import outcome
from pipeline.run.verify import verify
from pipeline.steps.finish import finish
from pipeline.steps.infer import infer
from pipeline.steps.inspect import overview
from pipeline.steps.prepare import prepare
from pipeline.volume.resampling import nearest_block

FINE_NM = (40.0, 4.0, 4.0)


@pytest.fixture
def fine(study: Path, tmp_path: Path) -> Path:
    """Each pixel of the study's capture as four, less a row and a column."""
    raw = tifffile.imread(study.parent / "raw.tif").repeat(2, 1).repeat(2, 2)[:, :-1, :-1]
    write_tiff(tmp_path / "fine.tif", raw)
    return tmp_path / "fine.tif"


def segmented(finished: Run, volume: Path, url: Path, *, keep_model_grid: bool) -> Run:
    model = str(place(finished) / "models/multilabel")
    settings = Inference(probabilities=True)
    prepare(
        model,
        str(volume),
        str(url),
        voxel_size_nm=FINE_NM,
        intensity="as_trained",
        keep_model_grid=keep_model_grid,
        inference=settings,
    )
    infer(str(url), target="multilabel")
    finish(str(url))
    return Run.open(url)


def test_ids_and_probabilities_lie_on_the_volumes_own_voxels(finished: Run, fine: Path, tmp_path: Path) -> None:
    run = segmented(finished, fine, tmp_path / "run", keep_model_grid=False)
    raw = tifffile.imread(fine)
    assert run.image("volume").geometry.voxel_size_nm == VOXEL_SIZE_NM
    found = outcome(str(tmp_path / "run"))
    assert found.image is not None
    assert found.image.geometry.voxel_size_nm == FINE_NM
    assert np.array_equal(whole(found.image), raw)
    labels, at_model = found.volume("segmentation"), run.segmentation("multilabel", "volume")
    assert labels.geometry == found.image.geometry
    assert np.array_equal(whole(labels), nearest_block(at_model, labels.geometry, labels.geometry.block))
    assert len(labels.levels) == len(found.image.levels)
    assert found.probabilities is not None
    assert found.probabilities.shape_zyx == raw.shape
    # Where the model is sure, the likeliest class is the class; what is said heeds less of the prior than odds do.
    scores = whole(found.probabilities)
    sure = scores.max(0) > 200
    assert sure.any()
    assert np.mean((scores.argmax(0) + 1)[sure] == whole(labels)[sure]) > 0.99
    with (tmp_path / "run/evaluation/shares.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sum(int(row["voxels"]) for row in rows) == raw.size
    shown = io.StringIO()
    for part in overview(str(tmp_path / "run")):
        Console(file=shown, width=120).print(part)
    for geometry in (found.volume(None).geometry, run.image("volume").geometry):
        assert sides(geometry.shape_zyx, by="x") in shown.getvalue()
    assert "train / validation" not in shown.getvalue()
    assert verify(str(tmp_path / "run")) == []


def test_the_models_grid_can_be_kept(finished: Run, fine: Path, tmp_path: Path) -> None:
    run = segmented(finished, fine, tmp_path / "run", keep_model_grid=True)
    found = outcome(str(tmp_path / "run"))
    assert found.volume(None).geometry.voxel_size_nm == VOXEL_SIZE_NM
    assert not (tmp_path / f"run/volume.zarr/{OWN_GRID}/labels").exists()
    assert verify(str(tmp_path / "run")) == []
    assert run.result == "volume"


def test_what_is_prepared_again_is_left_alone(finished: Run, fine: Path, tmp_path: Path) -> None:
    run = segmented(finished, fine, tmp_path / "run", keep_model_grid=False)
    times = {path: path.stat().st_mtime_ns for path in (place(run) / "volume.zarr").rglob("*") if path.is_file()}
    segmented(finished, fine, tmp_path / "run", keep_model_grid=False)
    assert {path: path.stat().st_mtime_ns for path in times} == times
