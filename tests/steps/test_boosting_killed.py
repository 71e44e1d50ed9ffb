"""Whatever kills a step of boosting, starting it again ends with the files of a run that was left in peace.

As in test_killed, processes really die, and files are compared byte for byte.
"""

from __future__ import annotations

import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from tinystudy import BOOSTING, ZSSR, Child, files, markers, place, run_chain, write_study

# A checkpoint after every step, so that a kill meets one that is being written.
OFTEN = {
    "training": {"checkpoint_minutes": 1e-6},
    "boosting": BOOSTING["boosting"] | {"methods": ["bicubic", "zssr"]},
}
STEPS = {
    "degrade": ["boost", "degrade"],
    "train": ["boost", "train"],
    "apply": ["boost", "apply", "--method", "zssr"],
    "infer": ["infer", "--target", "multilabel", "--variant", "zssr"],
}
MADE = ("boosted.zarr", "models", "volume.zarr", "done")


def made(run: Path) -> dict[str, bytes]:
    return {name: data for name, data in files(run).items() if name.startswith(MADE)}


@pytest.fixture(scope="module")
def peaceful(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    return place(run_chain(write_study(folder, OFTEN), folder / "run", score=False))


@pytest.fixture
def planned(peaceful: Path, tmp_path: Path) -> Path:
    """The same run as it was before anything was boosted."""
    shutil.copytree(peaceful, tmp_path / "run")
    for name in (
        "done/boost",
        "done/infer/multilabel-zssr",
        "done/infer/multilabel-bicubic",
        "models/super-resolution",
    ):
        shutil.rmtree(tmp_path / "run" / name)
    for path in (tmp_path / "run" / "boosted.zarr").rglob("c/**/*"):
        if path.is_file():
            path.unlink()
    return tmp_path / "run"


def command(log: Path, words: list[str], run: Path, *last: str) -> Child:
    return Child(log, *words, "--run", run, *last)


def test_sigkill_at_random_moments(peaceful: Path, planned: Path, tmp_path: Path) -> None:
    """Of each step: at some time, between two writes, and at the first write after that."""
    rng, kills = random.Random(0), 0
    for words in (*STEPS.values(), ["boost", "apply", "--method", "bicubic"]):
        log, write = tmp_path / "log", rng.randint(1, 6)
        child = command(log, words, planned)
        time.sleep(rng.uniform(0.1, 1.0))
        child.process.kill()
        kills += child.end().code != 0
        for last in (f"die-after={write}", "die-after=1"):
            ended = command(log, words, planned, last).end()
            assert ended.code in (0, -signal.SIGKILL), ended.text
            kills += ended.code != 0
        ended = command(log, words, planned).end()
        assert ended.code == 0, ended.text
    ended = command(log, ["infer", "--target", "multilabel", "--variant", "bicubic"], planned).end()
    assert ended.code == 0, ended.text
    assert kills >= 8
    assert made(planned) == made(peaceful)


def test_sigterm_in_training_saves_it(peaceful: Path, planned: Path, tmp_path: Path) -> None:
    """At the write of a state of its own: exit code 75, and the training goes on from there."""
    log = tmp_path / "log"
    assert command(log, STEPS["degrade"], planned).end().code == 0
    ended = command(log, STEPS["train"], planned, "stop-after=5").end()
    assert ended.code == 75, ended.text
    assert "is saved" in ended.text
    state = planned / "models/super-resolution/tiny/last/state.safetensors"
    assert state.exists()
    ended = command(log, STEPS["train"], planned).end()
    assert ended.code == 0, ended.text
    assert "goes on at step" in ended.text
    assert not state.exists()
    assert files(planned / "models/super-resolution") == files(peaceful / "models/super-resolution")


def test_a_state_that_outlived_its_training_goes(peaceful: Path, planned: Path, tmp_path: Path) -> None:
    """Killed after the mark was written and before the state was deleted."""
    log = tmp_path / "log"
    for step in ("degrade", "train"):
        assert command(log, STEPS[step], planned).end().code == 0
    state = planned / "models/super-resolution/tiny/last/state.safetensors"
    state.write_bytes(b"left behind")
    assert command(log, STEPS["train"], planned).end().code == 0
    assert files(planned / "models/super-resolution") == files(peaceful / "models/super-resolution")


def test_sigterm_while_boosting_repeats_no_shard(peaceful: Path, planned: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    for step in ("degrade", "train"):
        assert command(log, STEPS[step], planned).end().code == 0
    ended = command(log, STEPS["apply"], planned, "stop-after=2").end()
    assert ended.code == 75, ended.text
    first = markers(planned, "boost/zssr")
    assert 0 < len(first) < len(markers(peaceful, "boost/zssr"))
    assert command(log, STEPS["apply"], planned).end().code == 0
    after = markers(planned, "boost/zssr")
    assert {name: after[name] for name in first} == first
    # What is predicted of them lies below them.
    boosted = [files(run / "boosted.zarr/zssr", without=["tiny/labels"]) for run in (planned, peaceful)]
    assert boosted[0] == boosted[1]


def test_a_state_of_other_settings_is_not_gone_on_from(peaceful: Path, planned: Path, tmp_path: Path) -> None:
    """A training that was stopped, and planned anew with another network, starts at its beginning."""
    log = tmp_path / "log"
    assert command(log, STEPS["degrade"], planned).end().code == 0
    assert command(log, STEPS["train"], planned, "stop-after=5").end().code == 75
    boosting = OFTEN["boosting"] | {"zssr": ZSSR | {"features": 6}}
    other = write_study(peaceful.parent, OFTEN | {"boosting": boosting}, name="other.yaml")
    for words in (["plan", "--config", str(other), "--update"], STEPS["train"]):
        ended = command(log, words, planned).end()
        assert ended.code == 0, ended.text
    assert "goes on at step" not in ended.text
