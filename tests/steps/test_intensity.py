"""A volume whose grey values a model does not know is refused before any work, or brought to those that it knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tinystudy import NAMES, VOXEL_SIZE_NM, Finished, markers, place, run_chain, tissue, whole, write_study, write_tiff

from pipeline.config.model import MULTILABEL
from pipeline.errors import ConfigError
from pipeline.nn.description import sealed
from pipeline.run.layout import Run
from pipeline.run.verify import verify
from pipeline.steps.infer import infer
from pipeline.steps.plan import plan
from pipeline.steps.prepare import prepare
from pipeline.volume.treatments import Treatment

RAW, LABELS = tissue((2, 64, 96), seed=5)
VARIANTS: dict[str, NDArray[np.generic]] = {
    "16 bits": RAW.astype("u2") * 257,
    "0 to 1": (RAW / 255).astype("f4"),
    "inverted": 255 - RAW,
}


def segmented(
    model: str, data: NDArray[np.generic], folder: Path, intensity: Treatment | None = None
) -> NDArray[np.uint8]:
    np.save(folder / "volume.npy", data)
    run = str(folder / "run")
    prepare(model, str(folder / "volume.npy"), run, voxel_size_nm=VOXEL_SIZE_NM, intensity=intensity)
    infer(run, target=MULTILABEL)
    assert verify(run, unfinished=True) == []
    return np.asarray(whole(Run.open(run).segmentation(MULTILABEL, "volume")))


@pytest.fixture(scope="module")
def model(finished: Run) -> str:
    return finished.model_store(MULTILABEL).url


@pytest.fixture(scope="module")
def as_recorded(model: str, tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.uint8]:
    return segmented(model, RAW, tmp_path_factory.mktemp("as-recorded"))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_far_volume_is_refused_before_any_work(
    name: str, model: str, tmp_path: Path, vemseg: Callable[..., Finished]
) -> None:
    np.save(tmp_path / "volume.npy", VARIANTS[name])
    words = (
        "--model",
        model,
        "--input",
        tmp_path / "volume.npy",
        "--run",
        tmp_path / "run",
        "--voxel-size-nm",
        "40,8,8",
    )
    ended = vemseg("prepare", *words)
    assert ended.code == 2
    assert "--intensity" in ended.text
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", VARIANTS)
def test_a_matched_volume_is_segmented_as_the_original(
    name: str, model: str, as_recorded: NDArray[np.uint8], tmp_path: Path
) -> None:
    found = segmented(model, VARIANTS[name], tmp_path, "match")
    accuracies = [np.mean(ids == LABELS) for ids in (found, as_recorded)]
    assert accuracies[0] == pytest.approx(accuracies[1], abs=0.01)
    assert np.mean(found == as_recorded) > 0.95


def test_changed_intensity_repeats_the_inference_and_nothing_else(model: str, tmp_path: Path) -> None:
    segmented(model, RAW, tmp_path, "match")
    taken_in, predicted = (markers(tmp_path / "run", step) for step in ("plan/volume", "infer"))
    segmented(model, RAW, tmp_path, "match")
    assert markers(tmp_path / "run", "infer") == predicted
    segmented(model, RAW, tmp_path, "percentile")
    again = markers(tmp_path / "run", "infer")
    assert again.keys() == predicted.keys()
    assert all(again[key] > predicted[key] for key in predicted)
    assert markers(tmp_path / "run", "plan/volume")["ingest.json"] == taken_in["ingest.json"]


def test_a_model_of_an_earlier_version_is_used_and_says_what_it_does_not_know(
    finished: Run, as_recorded: NDArray[np.uint8], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old"
    old.mkdir()
    told = json.loads((place(finished) / "models" / MULTILABEL / "model.json").read_text())
    (old / "model.json").write_text(
        json.dumps(sealed({key: value for key, value in told.items() if key not in ("grey_values", "sha256")}))
    )
    (old / "model.safetensors").write_bytes(
        (place(finished) / "models" / MULTILABEL / "model.safetensors").read_bytes()
    )
    np.testing.assert_array_equal(segmented(str(old), RAW, tmp_path), as_recorded)
    assert "not compared" in "".join(capfd.readouterr())
    with pytest.raises(ConfigError):
        segmented(str(old), RAW, tmp_path, "match")


def test_captures_of_a_study_that_are_far_apart_are_refused_or_matched(tmp_path: Path) -> None:
    raw, _ = tissue()
    captures = [
        {"name": name, "raw": f"{name}.tif", "labels": "labels.tif", "voxel_size_nm": list(VOXEL_SIZE_NM)}
        for name in ("first", "second")
    ]
    write_tiff(tmp_path / "first.tif", raw)
    write_tiff(tmp_path / "second.tif", (255 - raw).astype("u2") * 257)
    with pytest.raises(ConfigError, match=r"data\.intensity"):
        plan(str(write_study(tmp_path, {"data": {"captures": captures}})), str(tmp_path / "refused"))
    assert not (tmp_path / "refused").exists()
    matched = write_study(tmp_path, {"data": {"captures": captures, "intensity": "match"}}, name="matched.yaml")
    run = run_chain(matched, tmp_path / "run", score=False)
    first, second = run.plan.captures
    assert first.grey_map is None
    off = run.read_seen(second)(second.volume) - raw.astype("f4")
    assert np.abs(off).mean() < 1.0
    one, other = (whole(run.segmentation(MULTILABEL, name)) for name in ("first", "second"))
    asked = one > 0
    assert np.mean(one[asked] == other[asked]) > 0.97
    assert len(NAMES) == len(np.unique(one[asked]))
