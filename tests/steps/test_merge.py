"""Merging: the same whatever the shards and workers, made again only when it must be, scored as a third side."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from signal import SIGKILL

import numpy as np
import pytest
import tifffile
import torch
from sklearn.metrics import roc_auc_score
from tinystudy import CONFIG, NAMES, Child, files, markers, place, run_chain, whole, write_study

from pipeline.config.model import MERGED, MULTILABEL, load_config
from pipeline.errors import ConfigError, RunConflictError
from pipeline.nn.merging import Merging, as_bytes
from pipeline.run.layout import Run
from pipeline.run.samples import target_of
from pipeline.run.takeout import take_out
from pipeline.run.verify import verify
from pipeline.scoring.reliability import LIKELIEST, Reliability
from pipeline.steps.evaluate import evaluate
from pipeline.steps.merge import merge

CHANGES = {"training": {"targets": "all"}, "inference": {"merged": True, "doubt": True, "region": "all"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("merged")


@pytest.fixture(scope="module")
def finished(folder: Path) -> Run:
    return run_chain(write_study(folder, CHANGES), folder / "run")


def expected(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Ids and doubt of the whole capture at once."""
    told = run.model_store(MERGED).read_json("merging.json")
    weights = Merging(**{name: tuple(values) for name, values in told.items()})
    said = {name: torch.from_numpy(whole(run.probabilities(name, "tiny"))) for name in run.plan.targets}
    target = target_of(run, MULTILABEL)
    alone = torch.stack([said[name][0] for name in run.config.classes.names])
    ids, wrong = weights.decide(weights.logits(said[MULTILABEL], alone, target), target)
    return ids.numpy(), as_bytes(wrong).numpy()


def test_what_is_stored_is_what_the_weights_make_of_all_probabilities(finished: Run) -> None:
    ids, doubt = expected(finished)
    assert np.array_equal(whole(finished.segmentation(MERGED, "tiny")), ids)
    assert np.array_equal(whole(finished.doubt("tiny")), doubt)
    assert len(np.unique(ids)) == len(NAMES)
    assert doubt.min() < 50 < doubt.max()
    assert verify(finished.store.url) == []


def test_objects_that_are_told_apart_leave_merging_to_the_classes(tmp_path: Path) -> None:
    *others, bright = CONFIG["classes"]["members"]
    apart = {"classes": {"members": [*others, {**bright, "instances": True, "rim_nm": 8}]}}
    run = run_chain(write_study(tmp_path, {**CHANGES, **apart}), tmp_path / "run", score=False)
    merge(run.store.url)
    assert set(np.unique(whole(run.segmentation(MERGED, "tiny")))) <= {1, 2, 3}


def test_doubt_is_higher_where_the_merged_segmentation_is_wrong(finished: Run) -> None:
    wrong = whole(finished.segmentation(MERGED, "tiny")) != whole(finished.truth("tiny"))
    doubt = whole(finished.doubt("tiny")).astype(float)
    assert wrong.any()
    assert doubt[wrong].mean() > doubt[~wrong].mean() + 25


def test_viewers_find_it_among_the_labels_with_coarser_levels(finished: Run) -> None:
    labels = finished.capture_store("tiny").read_json("labels/zarr.json")["attributes"]["ome"]["labels"]
    assert "segmentation-merged" in labels
    volume = finished.segmentation(MERGED, "tiny")
    assert [name for _, name, _ in volume.classes] == list(NAMES)
    assert len(volume.levels) == len(finished.doubt("tiny").levels) == len(finished.image("tiny").levels)


def test_it_is_the_third_side_of_every_table(finished: Run) -> None:
    scores = finished.scores
    assert scores is not None
    assert list(scores.sides) == ["binary", "multilabel", "merged"]
    truth, ids = whole(finished.truth("tiny")), whole(finished.segmentation(MERGED, "tiny"))
    test = np.zeros(truth.shape, bool)
    for block in finished.plan.captures[0].split().test:
        test[block.slices] = True
    for number, row in enumerate(scores.sides["merged"].classes, start=1):
        both = ((truth == number) & (ids == number) & test).sum()
        size = ((truth == number) & test).sum() + ((ids == number) & test).sum()
        assert row.f1 == pytest.approx(2 * both / size)
    evaluation = finished.evaluation_store
    assert "f1_merged" in evaluation.read("scores.csv").decode().splitlines()[0]
    assert "F1 merged" in evaluation.read("scores.md").decode()
    assert set(json.loads(evaluation.read("scores.json"))["weighted_f1"]) == {"binary", "multilabel", "merged"}


def test_shards_and_workers_leave_it_as_it_is(folder: Path, finished: Run) -> None:
    grid = {"shard_zyx": [4, 40, 56], **CHANGES["inference"]}
    other = run_chain(
        write_study(folder, {**CHANGES, "inference": grid}, name="other.yaml"), folder / "other", workers=3, score=False
    )
    assert len(markers(place(other), "merge/tiny")) > 3
    assert np.array_equal(whole(other.segmentation(MERGED, "tiny")), whole(finished.segmentation(MERGED, "tiny")))
    assert np.array_equal(whole(other.doubt("tiny")), whole(finished.doubt("tiny")))


def test_what_is_done_is_left_alone_and_what_is_lost_is_made_again(finished: Run) -> None:
    url, before = finished.store.url, files(place(finished))
    made = markers(place(finished), "merge")
    assert merge(url) == 0
    assert markers(place(finished), "merge") == made
    shard = next(path for path in sorted((place(finished) / "doubt.zarr/tiny/0/c").rglob("*")) if path.is_file())
    shard.write_bytes(shard.read_bytes()[:-1])
    weights = place(finished) / "models/merged/merging.json"
    weights.unlink()
    assert {damage.step for damage in verify(url)} == {"merge"}
    assert merge(url) == 1
    assert files(place(finished)) == before


def test_nothing_is_scored_before_it_is_merged(folder: Path) -> None:
    config = write_study(folder, {**CHANGES, "inference": {"merged": False}}, name="without.yaml")
    run = run_chain(config, folder / "without", score=False)
    with pytest.raises(ConfigError, match=r"inference\.merged"):
        merge(run.store.url)
    predictions = markers(place(run), "train")
    asked = write_study(folder, CHANGES, name="without.yaml")
    again = run_chain(asked, folder / "without", update=True, score=False)
    assert markers(place(again), "train") == predictions
    for marker in (place(again) / "done/merge/tiny").glob("*.json"):
        marker.unlink()
    with pytest.raises(RunConflictError, match="vemseg merge"):
        evaluate(again.store.url)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"inference": {"merged": True}}, "inference.merged"),
        ({"inference": {"doubt": True}, "training": {"targets": "all"}}, "inference.doubt"),
    ],
)
def test_a_configuration_with_nothing_to_merge_is_refused(tmp_path: Path, changes: dict, key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        load_config(write_study(tmp_path, changes))


def test_scores_say_how_far_probabilities_and_doubt_can_be_believed(finished: Run) -> None:
    told = json.loads(finished.evaluation_store.read("scores.json"))["trust"]
    assert set(told["calibration"]) == set(finished.plan.targets)
    errors = told["calibration"][MULTILABEL]
    assert set(errors) == {LIKELIEST, *NAMES}
    # By hand, of every voxel instead of some: from what is stored.
    probabilities = whole(finished.probabilities(MULTILABEL, "tiny")) / 255
    truth = whole(finished.truth("tiny"))
    (test,) = finished.plan.captures[0].split().test
    for number, name in enumerate(NAMES):
        expected = Reliability.counted(probabilities[number][test.slices], truth[test.slices] == number + 1).error
        assert errors[name]["after"] == pytest.approx(expected, abs=0.02)
    doubt, ids = whole(finished.doubt("tiny"))[test.slices], whole(finished.segmentation(MERGED, "tiny"))[test.slices]
    area = roc_auc_score((ids != truth[test.slices]).ravel(), doubt.ravel())
    assert told["doubt"]["doubt"]["roc_area"] == pytest.approx(area)
    notes = finished.scores.notes
    assert any("calibration" in note for note in notes)
    assert any(note.startswith("doubt: area under the ROC curve") for note in notes)
    assert finished.evaluation_store.exists("figures/reliability.png")


@pytest.mark.parametrize("what", ["segmentation-merged", "doubt"])
def test_it_can_be_taken_out_as_a_file_that_says_what_it_holds(finished: Run, tmp_path: Path, what: str) -> None:
    list(take_out(finished.store.url, tmp_path / "out.tif", what=what))
    volume = finished.doubt("tiny") if what == "doubt" else finished.segmentation(MERGED, "tiny")
    assert np.array_equal(tifffile.imread(tmp_path / "out.tif"), whole(volume))
    note = (tmp_path / "out.tif.README.txt").read_text()
    assert ("how likely" in note) == (what == "doubt")


@pytest.mark.parametrize("writes", [1, 4])
def test_killed_again_and_again_it_ends_with_the_same_bytes(finished: Run, tmp_path: Path, writes: int) -> None:
    copy = Path(shutil.copytree(place(finished), tmp_path / "run"))
    labels = "volume.zarr/tiny/labels/segmentation-merged"
    for made in ("done/merge", "models/merged", "doubt.zarr/tiny/0/c", f"{labels}/0/c"):
        shutil.rmtree(copy / made)
    kills = 0
    while True:
        # A process notes its start as well, so that a little more is needed to get on.
        child = Child(tmp_path / "log", "merge", "--run", copy, f"die-after={writes + kills}")
        ended = child.end()
        if ended.code == 0:
            break
        assert ended.code == -SIGKILL, ended.text
        kills += 1
    assert kills >= 5
    assert files(copy) == files(place(finished))
