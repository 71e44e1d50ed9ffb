"""The steps in a row: every file of a run is there, and the scores are those of the arrays that are stored.

The oracle of the scores is scikit-learn, that of the volumes ome-zarr-models. How a network learns is not tested here.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from ome_zarr_models.v05.image import Image
from ome_zarr_models.v05.image_label import ImageLabel
from sklearn.metrics import precision_recall_fscore_support
from tinystudy import NAMES, files, place, run_chain, whole, write_study

from pipeline.run.layout import Run
from pipeline.scoring.confusion import decode
from pipeline.steps.finish import finish
from pipeline.volume.omezarr import open_image, open_labels

TARGETS = ("multilabel", *NAMES)


def scored_truth(run: Run) -> NDArray[np.integer]:
    """Truth where it is scored, else 0."""
    return np.where(whole(open_labels(run.capture_store("tiny"), "split")) == 3, whole(run.truth("tiny")), 0)


def test_every_file_of_the_layout_is_there(finished: Run) -> None:
    names = set(files(place(finished), without=["workflow"]))
    assert {"config.yaml", "plan.json"} <= names
    assert {f"evaluation/{name}" for name in ("scores.json", "scores.csv", "scores.md")} <= names
    figures = ("f1", "training", "confusion_multilabel", "slice_multilabel_tiny_0001")
    assert {f"evaluation/figures/{name}.png" for name in figures} <= names
    steps = ["plan", "augment-0", "evaluate", *(f"train-{t}" for t in TARGETS), *(f"infer-{t}-0" for t in TARGETS)]
    assert {f"events/{name}.jsonl" for name in steps} <= names
    for target in TARGETS:
        model = {name for name in names if name.startswith(f"models/{target}/")}
        parts = ("model.safetensors", "model.json", "history.json", "validation.safetensors")
        assert model == {f"models/{target}/{name}" for name in parts}


def test_every_step_has_said_how_it_went(finished: Run) -> None:
    for path in (place(finished) / "events").iterdir():
        events = [json.loads(line) for line in path.read_text().splitlines()]
        assert [events[0]["event"], events[-1]["event"]] == ["started", "ended"]
        assert events[-1]["error"] is None


@pytest.mark.parametrize("target", TARGETS)
def test_only_the_test_part_is_predicted_and_all_of_it(finished: Run, target: str) -> None:
    split = whole(open_labels(finished.capture_store("tiny"), "split"))
    assert np.array_equal(whole(finished.segmentation(target, "tiny")) > 0, split == 3)


def test_parts_are_farther_apart_than_the_network_sees(finished: Run) -> None:
    split = whole(open_labels(finished.capture_store("tiny"), "split"))
    columns = [np.flatnonzero((split == value).any(axis=(0, 1))) for value in (1, 2, 3)]
    field = finished.plan.receptive_field_zyx[2]
    assert all(right[0] - left[-1] > field for left, right in pairwise(columns))


def test_multilabel_scores_are_scikit_learns(finished: Run) -> None:
    scores = json.loads((place(finished) / "evaluation/scores.json").read_text())
    truth, predicted = scored_truth(finished), whole(finished.segmentation("multilabel", "tiny"))
    scored = truth > 0
    *by_class, support = precision_recall_fscore_support(
        truth[scored], predicted[scored], labels=[1, 2, 3], zero_division=0
    )
    rows = {row["name"]: row for row in scores["rows"]}
    for index, name in enumerate(NAMES):
        assert rows[name]["support_voxels"] == support[index]
        side = rows[name]["multilabel"]
        found = [side[measure] if side[measure] is not None else 0.0 for measure in ("precision", "recall", "f1")]
        assert found == pytest.approx([measure[index] for measure in by_class])
    weighted = np.average(by_class[2], weights=support)
    assert scores["weighted_f1"]["multilabel"] == pytest.approx(weighted)


def test_binary_scores_are_scikit_learns(finished: Run) -> None:
    rows = {row["name"]: row for row in json.loads((place(finished) / "evaluation/scores.json").read_text())["rows"]}
    truth = scored_truth(finished)
    for number, name in enumerate(NAMES, 1):
        predicted = whole(finished.segmentation(name, "tiny"))[truth > 0] == 1
        *_, f1, _ = precision_recall_fscore_support(
            truth[truth > 0] == number, predicted, average="binary", zero_division=0
        )
        assert rows[name]["binary"]["f1"] == pytest.approx(f1)


@pytest.mark.parametrize("target", TARGETS)
def test_confusion_volumes_decode_to_truth_and_prediction(finished: Run, target: str) -> None:
    stored = whole(open_labels(finished.evaluation_store.child("confusion", target, "tiny"), "confusion"))
    truth = scored_truth(finished)
    if target != "multilabel":
        truth = np.where(truth > 0, np.where(truth == NAMES.index(target) + 1, 1, 2), 0)
    decoded_truth, decoded_prediction = decode(stored, 3 if target == "multilabel" else 2)
    assert np.array_equal(decoded_truth, truth)
    predicted = whole(finished.segmentation(target, "tiny"))
    assert np.array_equal(decoded_prediction, np.where(truth > 0, predicted, 0))


def test_all_volumes_are_valid_ome_zarr(finished: Run) -> None:
    groups = [path.parent for path in place(finished).rglob("zarr.json") if '"multiscales"' in path.read_text()]
    assert len(groups) == 1 + 2 + 2 * len(TARGETS)
    for folder in groups:
        group = zarr.open_group(folder, mode="r")
        model = ImageLabel if "image-label" in group.attrs["ome"] else Image  # type: ignore[operator]
        model.from_zarr(group)


def test_workers_blocks_and_shards_do_not_show_in_the_result(finished: Run, study: Path, tmp_path: Path) -> None:
    """Four workers write the very bytes of one; another grid gives the same ids."""
    targets = {"training": {"targets": "all"}}
    four = run_chain(study, tmp_path / "four", workers=4, score=False)
    written, expected = (files(place(run) / "volume.zarr") for run in (four, finished))
    shards = {name for name in expected if "/segmentation" in name and "/0/c/" in name}
    assert len(shards) == 4 * len(TARGETS)
    assert all(written[name] == expected[name] for name in shards)
    grid = {"block_zyx": [2, 20, 28], "shard_zyx": [4, 40, 56]}
    other = run_chain(
        write_study(study.parent, targets | {"inference": grid}, name="other.yaml"), tmp_path / "other", score=False
    )
    for target in TARGETS:
        assert np.array_equal(whole(other.segmentation(target, "tiny")), whole(finished.segmentation(target, "tiny")))


def test_probabilities_agree_with_the_ids(study: Path, tmp_path: Path) -> None:
    changes = {"inference": {"probabilities": True, "region": "all"}, "training": {"steps": 4}}
    run = run_chain(write_study(study.parent, changes, name="probabilities.yaml"), tmp_path / "run", score=False)
    finish(str(place(run)))
    image = open_image(run.probabilities_store("multilabel", "tiny"))
    assert image.channels == NAMES
    assert len(image.levels) == len(run.segmentation("multilabel", "tiny").levels) == len(run.image("tiny").levels)
    probabilities, ids = whole(image).astype(int), whole(run.segmentation("multilabel", "tiny"))
    assert np.abs(probabilities.sum(axis=0) - 255).max() <= len(NAMES)
    # They are calibrated, which the logits that decide are not.
    sure = run.model_store("multilabel").read_json("model.json")["confidence"]
    logits = np.log(np.maximum(probabilities, 0.5)) - np.array(sure["offsets"])[:, None, None, None]
    chosen = np.take_along_axis(logits, ids[None].astype(int) - 1, axis=0)[0]
    rounding = np.log((probabilities + 0.5) / np.maximum(probabilities - 0.5, 0.25)).max(axis=0)
    assert (chosen >= logits.max(axis=0) - rounding).all()
