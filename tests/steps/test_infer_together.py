"""Several networks predict a shard one after the other: every file is what each network writes on its own.

The judge is a copy of the same trained run, predicted a target at a time.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tinystudy import Child, files, markers, write_study

from pipeline.errors import ConfigError
from pipeline.nn.blockwise import BlockInput, BlockPredictor
from pipeline.steps.augment import augment
from pipeline.steps.infer import infer
from pipeline.steps.plan import plan
from pipeline.steps.train import train

TARGETS = ("multilabel", "dark", "grey", "bright")
ALL = ",".join(TARGETS)
# Probabilities, too, and two blocks a shard.
CHANGES = {
    "training": {"targets": "all", "steps": 2, "binary_steps": 2, "validations": 1},
    "inference": {"merged": True, "region": "all", "block_zyx": [4, 32, 40], "shard_zyx": [4, 32, 80]},
}
SHARDS, BLOCKS = 4, 8

Copied = Callable[[str], Path]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose networks are trained, and nothing is predicted."""
    folder = tmp_path_factory.mktemp("together")
    run = folder / "trained"
    plan(str(write_study(folder, CHANGES)), str(run))
    augment(str(run))
    for target in TARGETS:
        train(str(run), target=target)
    return run


@pytest.fixture(scope="module")
def apart(trained: Path) -> dict[str, bytes]:
    """The files of the run, each target predicted on its own."""
    run = trained.parent / "apart"
    shutil.copytree(trained, run)
    for target in TARGETS:
        assert infer(str(run), target=target) == SHARDS
    return files(run)


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.mark.parametrize("workers", [1, 3])
def test_all_files_and_markers_are_those_of_targets_apart(workers: int, run: Path, apart: dict[str, bytes]) -> None:
    assert sum(infer(str(run), target=ALL, worker=n, workers=workers) for n in range(workers)) == SHARDS * len(TARGETS)
    assert files(run) == apart
    assert infer(str(run), target=ALL) == 0


def test_a_block_is_read_once_for_all_networks(
    run: Path, apart: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, cores = BlockPredictor.read, []

    def noted(*arguments: object) -> BlockInput:
        block = read(*arguments)  # type: ignore[arg-type]
        cores.append(block.core)
        return block

    monkeypatch.setattr(BlockPredictor, "read", noted)
    infer(str(run), target=ALL)
    assert len(cores) == len(set(cores)) == BLOCKS


def test_networks_that_memory_has_no_room_for_take_turns(run: Path, apart: dict[str, bytes]) -> None:
    leave_no_room(run)
    infer(str(run), target=ALL)
    assert {name: content for name, content in files(run).items() if name != "config.yaml"} == {
        name: content for name, content in apart.items() if name != "config.yaml"
    }
    names = {path.name for path in (run / "events").glob("infer-*")}
    assert names == {f"infer-{target}-0.jsonl" for target in TARGETS}


def leave_no_room(run: Path) -> None:
    """Have memory hold one network at a time."""
    config = run / "config.yaml"
    text, given = re.subn(r"memory_gb: [\d.]+", "memory_gb: 0.000001", config.read_text())
    assert given == 1
    config.write_text(text)


def test_what_is_stopped_with_the_last_shard_of_a_network_does_not_begin_the_next(run: Path, tmp_path: Path) -> None:
    leave_no_room(run)
    writes = 5 * SHARDS  # of the multilabel network: see below
    ended = Child(tmp_path / "log", "infer", "--run", run, "--target", ALL, f"stop-after={writes - 1}").end()
    assert ended.code == 75, ended.text
    assert len(markers(run, "infer")) == SHARDS


# The multilabel network writes ids, probabilities of three classes and a marker; each other one three objects.
@pytest.mark.parametrize("signal_after", ["die-after=5", "die-after=25", "stop-after=7"])
def test_what_was_stopped_between_two_networks_goes_on_there(
    signal_after: str, run: Path, apart: dict[str, bytes], tmp_path: Path
) -> None:
    command = ("infer", "--run", run, "--target", ALL)
    ended = Child(tmp_path / "log", *command, signal_after).end()
    assert ended.code in ((-9,) if signal_after.startswith("die") else (75,)), ended.text
    before = markers(run, "infer")
    assert 0 < len(before) < SHARDS * len(TARGETS)
    assert len(before) % len(TARGETS), f"stopped between two shards, and not two networks: {sorted(before)}"
    ended = Child(tmp_path / "log", *command).end()
    assert ended.code == 0, ended.text
    after = markers(run, "infer")
    assert {name: after[name] for name in before} == before
    assert files(run) == apart


def test_a_target_predicted_before_is_left_alone_by_the_others(run: Path, apart: dict[str, bytes]) -> None:
    infer(str(run), target="grey")
    before = markers(run, "infer")
    assert infer(str(run), target=ALL) == SHARDS * (len(TARGETS) - 1)
    assert {name: at for name, at in markers(run, "infer").items() if name in before} == before
    assert files(run) == apart


def test_a_target_that_the_run_does_not_have_is_refused(run: Path) -> None:
    with pytest.raises(ConfigError, match="'purple'"):
        infer(str(run), target="multilabel,purple")
    assert markers(run, "infer") == {}


@pytest.mark.parametrize(
    ("pods_per_workflow", "together"), [(300, [ALL]), (3, [])], ids=["one workflow", "nested ones"]
)
def test_what_is_foretold_is_what_the_workflow_will_do(
    pods_per_workflow: int, together: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, outputs = write_study(tmp_path, CHANGES), tmp_path / "outputs"
    plan(str(study), str(tmp_path / "run"), outputs=outputs, pods_per_workflow=pods_per_workflow, at_once=1)
    assert json.loads((outputs / "infer-together").read_text()) == together
    foretold = re.findall(r"\binfer ([\w,]+) ", capsys.readouterr().out)
    assert foretold == (together or list(TARGETS))
