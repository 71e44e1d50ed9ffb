"""A change of weights, configuration or input is noticed, and what it does not touch is not computed again.

What was computed is read from the times of the done-markers: each is written once, after its data.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tinystudy import (
    CONFIG,
    NAMES,
    Finished,
    files,
    markers,
    place,
    run_chain,
    tissue,
    whole,
    write_study,
    write_tiff,
)

from pipeline.errors import RunConflictError
from pipeline.nn.checkpoint import pack, unpack
from pipeline.nn.description import WEIGHTS, sealed
from pipeline.run.inputs import NOTES, SETTLED_SECONDS, Inputs
from pipeline.run.layout import Run
from pipeline.run.markers import Marker, Output
from pipeline.run.provenance import model
from pipeline.steps.augment import augment
from pipeline.steps.evaluate import evaluate
from pipeline.steps.infer import infer
from pipeline.steps.plan import plan
from pipeline.steps.train import train
from pipeline.volume.sources import TRUSTED

ALL_TARGETS: dict[str, Any] = {"training": {"targets": "all"}}


def done(run: Run) -> dict[str, int]:
    return markers(place(run), ".")


def repeated(run: Run, before: dict[str, int]) -> set[str]:
    """Steps (for train and infer with their target) that were done anew."""
    after = done(run)
    # A changed configuration is a changed plan, whatever follows from it.
    changed = {name for name, time in after.items() if before.get(name) != time} - {"plan/plan.json"}
    return {"/".join(name.split("/")[:2]).removesuffix(".json") for name in changed}


def replan(run: Run, config: Path) -> set[str]:
    """Go through all steps with a changed configuration; returns what was done anew."""
    before = done(run)
    run_chain(config, place(run), update=True)
    return repeated(run, before)


@pytest.fixture
def again(study: Path, copied: Run, tmp_path: Path) -> Path:
    """A copy of the study's folder whose files have kept their times, beside a copy of its run."""
    shutil.copytree(study.parent, tmp_path / "study")
    return tmp_path / "study"


def change(folder: Path, **changes: Any) -> Path:
    training = ALL_TARGETS["training"] | changes.pop("training", {})
    return write_study(folder, {"training": training, **changes})


def test_nothing_is_repeated_without_a_change(copied: Run, again: Path) -> None:
    before = files(place(copied))
    assert replan(copied, again / "study.yaml") == set()
    assert files(place(copied)) == before


def test_another_configuration_is_refused_and_nothing_changes(copied: Run, again: Path) -> None:
    before = files(place(copied), without=())
    with pytest.raises(RunConflictError, match="--update"):
        plan(str(change(again, seed=1)), str(place(copied)))
    assert files(place(copied), without=()) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"inference": {"workers": 3, "memory_gb": 2.0}},
        {"training": {"checkpoint_minutes": 1.0}},
        {"training": {"targets": "multilabel"}},
        {"classes": {"members": [member | {"color": "#123456"} for member in CONFIG["classes"]["members"]]}},
    ],
    ids=["workers", "checkpoints", "targets", "colours"],
)
def test_what_changes_no_result_repeats_nothing_but_tables(copied: Run, again: Path, changes: dict[str, Any]) -> None:
    # The marks of a capture vouch for the new colours in the metadata of its labels, and for the list of these.
    vouching = {"plan/tiny"} if "classes" in changes or "targets" in changes.get("training", {}) else set()
    voxels = files(place(copied) / "volume.zarr/tiny/labels/truth/0")
    assert replan(copied, change(again, **changes)) - vouching <= {"evaluate/scores"}
    assert files(place(copied) / "volume.zarr/tiny/labels/truth/0") == voxels
    colors = {member.color for member in copied.config.classes.members}
    for labels in (copied.truth("tiny"), copied.segmentation("multilabel", "tiny")):
        assert {color for _, _, color in labels.classes} == colors


def test_figures_are_drawn_anew_from_what_is_there(copied: Run, again: Path) -> None:
    assert replan(copied, change(again, evaluation={"figure_slices": [2]})) == {"evaluate/scores"}
    drawn = [key for key in copied.evaluation_store.list("figures") if "/slice_" in key]
    assert drawn == ["figures/slice_multilabel_tiny_0002.png"]


def test_binary_steps_concern_the_binary_networks(copied: Run, again: Path) -> None:
    anew = replan(copied, change(again, training={"binary_steps": 5}))
    # What is predicted follows from the weights: a best model that has stayed the same predicts nothing anew.
    assert {name for name in anew if name.startswith("train/")} == {"train/dark", "train/grey", "train/bright"}
    assert "infer/multilabel" not in anew


def test_inspect_does_not_pass_off_what_is_outdated(copied: Run, again: Path, vemseg: Callable[..., Finished]) -> None:
    assert "earlier plan" not in vemseg("inspect", place(copied)).text
    plan(str(change(again, training={"binary_steps": 5})), str(place(copied)), update=True)
    shown = vemseg("inspect", place(copied)).text.splitlines()
    outdated = {
        name for name in ("multilabel", *NAMES, "scores") for line in shown if name in line and "earlier plan" in line
    }
    assert outdated == {"dark", "grey", "bright", "scores"}


def test_a_changed_input_is_taken_in_and_all_follows(copied: Run, again: Path) -> None:
    raw, _ = tissue(seed=5)
    write_tiff(again / "raw.tif", raw)
    anew = {name.split("/")[0] for name in replan(copied, change(again, training={"targets": "multilabel"}))}
    assert anew == {"plan", "augment", "train", "infer", "evaluate"}
    fresh = run_chain(again / "study.yaml", place(copied).with_name("fresh"), score=False)
    weights = "models/multilabel/model.safetensors"
    assert copied.store.read(weights) == fresh.store.read(weights)


def test_a_new_time_stamp_or_place_of_the_same_input_repeats_nothing(copied: Run, again: Path) -> None:
    for name in ("raw.tif", "labels.tif"):
        os.utime(again / name, ns=(1, 1))
    assert replan(copied, change(again)) == set()
    moved = again.rename(again.with_name("moved"))
    assert replan(copied, change(moved)) == set()


def test_an_input_that_was_exchanged_behind_its_time_stamp_is_noticed(copied: Run, again: Path) -> None:
    """The same size and time of the last change, another content."""
    before = (again / "raw.tif").stat()
    raw, _ = tissue(seed=5)
    write_tiff(again / "raw.tif", raw)
    os.utime(again / "raw.tif", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (again / "raw.tif").stat().st_size == before.st_size
    old = copied.plan.captures[0].digest
    plan(str(change(again)), str(place(copied)), update=True)
    assert Run.open(place(copied)).plan.captures[0].digest != old


def test_an_input_that_is_known_is_not_read_again(copied: Run, again: Path) -> None:
    """The note of its content holds for as long as the file system says the same of it, and it is whole."""
    time.sleep(SETTLED_SECONDS + 0.1)
    inputs = Inputs(copied.store.url)
    content = inputs.content("raw.tif", again, TRUSTED)
    inputs.note(copied.store)
    known = Inputs(copied.store.url)
    assert known.content("raw.tif", again, TRUSTED) == content
    text = (again / "raw.tif").read_bytes()
    (again / "raw.tif").write_bytes(text[:-1] + b"x")
    assert Inputs(copied.store.url).content("raw.tif", again, TRUSTED) != content
    notes = copied.store.read(NOTES)
    copied.store.write(NOTES, notes.replace(b"0", b"1", 1))
    (again / "raw.tif").write_bytes(text)
    assert Inputs(copied.store.url).content("raw.tif", again, TRUSTED) == content


def test_changed_weights_repeat_their_own_target_only(copied: Run) -> None:
    store = copied.model_store("grey")
    tensors, facts = unpack(store.read("model.safetensors"), "weights")
    name = next(name for name in tensors if name.endswith("bias"))
    weights = pack({**tensors, name: tensors[name] + 0.5}, facts)
    told = store.read_json("model.json") | {WEIGHTS: sha256(weights).hexdigest()}
    with model(copied, "grey").making():
        store.write("model.safetensors", weights)
        store.write("history.json", store.read("history.json"))
        store.write_json("model.json", sealed(told))
    before = done(copied)
    url = str(place(copied))
    with pytest.raises(RunConflictError, match="not predicted yet"):
        evaluate(url)
    assert infer(url, target="multilabel") == infer(url, target="dark") == 0
    assert infer(url, target="grey") == 4
    evaluate(url)
    assert repeated(copied, before) == {"infer/grey", "evaluate/scores"}


def test_another_grid_and_back_leaves_no_mark_on_empty_arrays(copied: Run, again: Path) -> None:
    """The second change of shards finds markers that fit it, but not the data that they once spoke of."""
    url = str(place(copied))
    before = files(place(copied) / "volume.zarr")
    plan(str(change(again, inference={"shard_zyx": [4, 64, 64]})), url, update=True)
    plan(str(change(again)), url, update=True)
    assert infer(url, target="multilabel") == 4
    shards = {name for name in before if "/segmentation/0/c/" in name}
    after = files(place(copied) / "volume.zarr")
    assert {name: after.get(name) for name in shards} == {name: before[name] for name in shards}


def test_only_the_voxels_asked_for_are_there_after_another_choice(copied: Run, again: Path) -> None:
    url, settings = str(place(copied)), {"region": "all"}
    plan(str(change(again, inference=settings)), url, update=True)
    infer(url, target="multilabel")
    plan(str(change(again)), url, update=True)
    infer(url, target="multilabel")
    run = Run.open(url)
    asked = sum(block.voxels for block in run.plan.capture("tiny").split().test)
    assert np.count_nonzero(whole(run.segmentation("multilabel", "tiny"))) == asked


@pytest.mark.parametrize(
    "work", ["plan/tiny/ingest", "plan/tiny/split", "plan/pool", "plan/tiny/pred", "augment", "train", "infer"]
)
def test_back_to_the_earlier_plan_after_a_kill(
    work: str, copied: Run, again: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between its new data and their mark, a step leaves no earlier mark beside them."""
    before = files(place(copied))
    write = Marker.write

    def killed(marker: Marker, facts: Mapping[str, Any], outputs: Mapping[str, Output]) -> None:
        if marker.key.startswith(f"done/{work}"):
            raise InterruptedError(work)
        write(marker, facts, outputs)

    another = change(
        again,
        seed=3,
        classes={"ignore_ids": [9]},
        split={"fractions": {"train": 0.5, "validation": 0.25, "test": 0.25}},
        augmentation={"pool_samples": 9},
        inference={"shard_zyx": [4, 32, 32]},
        training={"targets": "multilabel"},
    )
    with monkeypatch.context() as patched:
        patched.setattr(Marker, "write", killed)
        with pytest.raises(InterruptedError, match=work):
            run_chain(another, place(copied), update=True, score=False)
    run_chain(change(again), place(copied), update=True)
    assert files(place(copied)) == before


def test_no_prediction_by_the_model_of_an_earlier_plan(copied: Run, again: Path) -> None:
    url = str(place(copied))
    plan(str(change(again, seed=3)), url, update=True)
    with pytest.raises(RunConflictError, match="train --run"):
        infer(url, target="multilabel")


def test_no_training_on_an_incomplete_pool(copied: Run, again: Path) -> None:
    url = str(place(copied))
    plan(str(change(again, augmentation={"pool_samples": 9})), url, update=True)
    with pytest.raises(RunConflictError, match="augment"):
        train(url, target="multilabel")
    augment(url)
    train(url, target="multilabel")


def test_a_failed_update_leaves_no_plan_that_its_volumes_contradict(copied: Run, again: Path) -> None:
    _, labels = tissue()
    write_tiff(again / "labels.tif", labels.clip(max=2))
    with pytest.raises(ValueError, match="bright"):
        plan(str(again / "study.yaml"), str(place(copied)), update=True)
    with pytest.raises(RunConflictError, match="vemseg plan"):
        evaluate(str(place(copied)))


def test_a_damaged_marker_is_not_done(copied: Run) -> None:
    marker = next((place(copied) / "done/infer/dark").rglob("*.json"))
    marker.write_bytes(b'{"digest": ')
    assert infer(str(place(copied)), target="dark") == 1
    assert json.loads(marker.read_text())["facts"]


STEPS = {
    "plan": [],
    "augment": [],
    "train": ["--target", "multilabel"],
    "infer": ["--target", "multilabel"],
    "evaluate": [],
}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_is_done_takes_less_than_two_seconds(step: str, copied: Run, again: Path) -> None:
    """A whole process: CPU time, which a busy machine leaves as it is, and no import of torch."""
    words = [step, "--run", str(place(copied)), *STEPS[step]]
    if step == "plan":
        words += ["--config", str(again / "study.yaml")]
    before = files(place(copied))
    started = sum(os.times()[2:4])
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pipeline", *words], capture_output=True, text=True, check=True
    )
    assert sum(os.times()[2:4]) - started < 2.0
    assert not [line for line in ended.stderr.splitlines() if line.endswith("| torch")]
    assert files(place(copied)) == before
