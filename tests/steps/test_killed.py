"""Whatever kills a step at whatever moment, starting it again ends with the files of a study that was left in peace.

The steps run in processes that really die: by SIGKILL at random times and between any two writes, by SIGTERM where a
step traps it. Files are compared byte for byte; only events, which hold times, are left out.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tinystudy import Child, files, markers, place, run_chain, write_study

from pipeline.run.layout import Run
from pipeline.steps.augment import augment
from pipeline.steps.infer import infer
from pipeline.steps.plan import plan

KILLS = 20
# A checkpoint after every step, so that a kill meets one that is being written.
OFTEN = {"training": {"targets": "multilabel", "checkpoint_minutes": 1e-6, "steps": 12, "validations": 3}}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("killed"), OFTEN)


@pytest.fixture(scope="module")
def undisturbed(small: Path) -> tuple[dict[str, bytes], float]:
    """The files of a chain of steps that nobody disturbed, and how long it took (s)."""
    log = small.parent / "undisturbed.log"
    Child(log, "chain", small, small.parent / "warm").end()  # the first also starts the fork server
    started = time.monotonic()
    finished = Child(log, "chain", small, small.parent / "undisturbed").end()
    assert finished.code == 0, finished.text
    return files(small.parent / "undisturbed"), time.monotonic() - started


def test_two_undisturbed_runs_are_the_same(undisturbed: tuple[dict[str, bytes], float], small: Path) -> None:
    assert files(small.parent / "warm") == undisturbed[0]


def test_sigkill_at_random_times(undisturbed: tuple[dict[str, bytes], float], small: Path, tmp_path: Path) -> None:
    """The chain is killed, and started again over what it left; a chain that has got to its end makes way for a new."""
    expected, duration_s = undisturbed
    rng, kills, chains = random.Random(0), 0, 0
    while kills < KILLS:
        run, code = tmp_path / f"run{chains}", None
        chains += 1
        while code != 0:
            child = Child(tmp_path / "log", "chain", small, run)
            if kills < KILLS:
                time.sleep(rng.uniform(0.0, 0.7 * duration_s))
                child.process.kill()
            ended = child.end()
            code = ended.code
            assert code in (0, -signal.SIGKILL), ended.text
            kills += code != 0
        assert files(run) == expected


@pytest.mark.parametrize("share", [0.02, 0.2, 0.45, 0.7, 0.97])
def test_sigkill_between_two_writes(
    undisturbed: tuple[dict[str, bytes], float], small: Path, tmp_path: Path, share: float
) -> None:
    """Killed at a share of its writes and, when started again, at the next write at once."""
    expected, _ = undisturbed
    for writes in (round(share * len(expected)), 1):
        ended = Child(tmp_path / "log", "chain", small, tmp_path / "run", f"die-after={writes}").end()
        assert ended.code == -signal.SIGKILL, ended.text
    ended = Child(tmp_path / "log", "chain", small, tmp_path / "run").end()
    assert ended.code == 0, ended.text
    assert files(tmp_path / "run") == expected


def test_sigterm_in_training_saves_it(tmp_path: Path) -> None:
    """Exit code 75 and a state; the training that goes on ends with the very bytes of one that never stopped."""
    # Far from any checkpoint of its own, so that only the signal can have made the state.
    slow = write_study(tmp_path / "study", {"training": OFTEN["training"] | {"steps": 60, "checkpoint_minutes": 60.0}})
    run = tmp_path / "run"
    plan(str(slow), str(run))
    augment(str(run))
    codes = []
    for attempt in range(20):
        child = Child(tmp_path / "log", "train", "--run", run, "--target", "multilabel")
        if attempt < 2:
            _wait_for(lambda: " steps/s" in (tmp_path / "log").read_text(), child)
            os.kill(child.process.pid or 0, (signal.SIGTERM, signal.SIGINT)[attempt])
        ended = child.end()
        codes.append(ended.code)
        if ended.code == 0:
            break
        assert ended.code == 75, ended.text
        assert "is saved" in ended.text
        assert (run / "models/multilabel/last/state.safetensors").exists()
        assert not (run / "done/train/multilabel.json").exists()
    assert codes == [75, 75, 0]
    assert not (run / "models/multilabel/last/state.safetensors").exists()
    peaceful = run_chain(slow, tmp_path / "peaceful", score=False)
    assert files(run / "models") == files(place(peaceful) / "models")


def test_sigterm_in_inference_repeats_no_shard(copied: Run, tmp_path: Path) -> None:
    run = place(copied)
    expected = files(run / "volume.zarr/tiny/labels/segmentation")
    for marker in (run / "done/infer/multilabel").rglob("*.json"):
        marker.unlink()
    ended = Child(tmp_path / "log", "infer", "--run", run, "--target", "multilabel", "stop-after=2").end()
    assert ended.code == 75, ended.text
    first = markers(run, "infer/multilabel")
    assert 0 < len(first) < 4
    assert infer(str(run), target="multilabel") == 4 - len(first)
    assert {name: time for name, time in markers(run, "infer/multilabel").items() if name in first} == first
    assert files(run / "volume.zarr/tiny/labels/segmentation") == expected


def _wait_for(condition: Callable[[], bool], child: Child) -> None:
    end = time.monotonic() + 60
    while child.process.is_alive() and time.monotonic() < end:
        if Path(child.log).exists() and condition():
            return
        time.sleep(0.005)
    raise AssertionError(child.end().text)
