"""A training that two processes share is the training of one process with the same batches.

The processes are real and meet through gloo, on the CPU. Two processes take sums in another order, so that losses agree
to the tolerance stated here and not bit for bit; with the same number of processes a training that was stopped or
killed is bit for bit the uninterrupted one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from signal import SIGKILL

import numpy as np
import pytest
import yaml
from tinystudy import Child, write_study

from pipeline.nn.checkpoint import unpack

TRAIN = ("train", "--target", "multilabel")
LOSS_TOLERANCE = 1e-4
"""Relative, of mean losses over up to 16 steps in float32."""
WEIGHT_TOLERANCE = 1e-3
"""Of the largest weight of a tensor."""


@pytest.fixture(scope="module", params=["pool", "on_the_fly"])
def planned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose trainings two processes share, up to its training."""
    folder = tmp_path_factory.mktemp("ranks")
    changes = {
        "training": {
            **{"batch_size": 4, "validations": 8, "steps": 16, "precision": "float32"},
            **{"devices": 2, "checkpoint_minutes": 1e-4},
        },
        "augmentation": {"source": request.param},
        "network": {"deep_supervision": request.param == "pool"},
    }
    config = write_study(folder, changes)
    log = folder / "log"
    assert Child(log, "plan", "--config", config, "--run", folder / "run").end().code == 0, log.read_text()
    if request.param == "pool":
        assert Child(log, "augment", "--run", folder / "run").end().code == 0, log.read_text()
    return folder / "run"


def with_settings(planned: Path, to: Path, **training: int) -> Path:
    """The run with other settings of its training."""
    shutil.copytree(planned, to)
    config = yaml.safe_load((to / "config.yaml").read_text())
    config["training"] |= training
    (to / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return to


def train(run: Path, end: str = "") -> str:
    ended = Child(run.with_suffix(".log"), *TRAIN, "--run", run, *([end] if end else [])).end(240)
    assert ended.code == {"": 0, "stop": 75, "die": -SIGKILL}[end.partition("-")[0]], ended.text
    return ended.text


def weights(run: Path) -> bytes:
    return (run / "models/multilabel/model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def shared(planned: Path) -> tuple[Path, str]:
    """The training of two processes, and what it said."""
    run = with_settings(planned, planned.with_name("shared"), devices=2)
    return run, train(run)


@pytest.mark.slow
def test_two_processes_train_as_one_does_with_the_same_batches(planned: Path, shared: tuple[Path, str]) -> None:
    two, said = shared
    assert "shares each batch among 2 processes" in said
    one = with_settings(planned, planned.with_name("alone"), devices=1)
    train(one)
    histories = [json.loads((run / "models/multilabel/history.json").read_text()) for run in (one, two)]
    losses = np.array([[row["loss"] for row in history] for history in histories])
    assert losses.shape == (2, 8)
    assert losses[0, -1] < 0.8 * losses[0, 0]  # there is a curve to follow
    np.testing.assert_allclose(losses[1], losses[0], rtol=LOSS_TOLERANCE)
    alone, together = (unpack(weights(run), "weights")[0] for run in (one, two))
    for name, tensor in alone.items():
        assert (tensor - together[name]).abs().max() <= WEIGHT_TOLERANCE * max(1.0, float(tensor.abs().max())), name
    described = json.loads((two / "models/multilabel/model.json").read_text())
    assert (described["devices"], described["threads"]) == (2, 1)


@pytest.mark.slow
@pytest.mark.parametrize("end", ["stop-after=3", "die-after=5"])
def test_a_shared_training_goes_on_bit_for_bit(
    planned: Path, shared: tuple[Path, str], tmp_path: Path, end: str
) -> None:
    run = with_settings(planned, tmp_path / "run", devices=2)
    train(run, end)
    assert "goes on at step" in train(run)
    assert weights(run) == weights(shared[0])


@pytest.mark.slow
def test_one_rank_alone_writes_and_reports(shared: tuple[Path, str]) -> None:
    run, said = shared
    assert said.count("train multilabel: step 16: validation") == 1
    rows = [json.loads(line) for line in (run / "events/train-multilabel.jsonl").read_text().splitlines()]
    assert [row["event"] for row in rows].count("validated") == 8
    assert len({row["pid"] for row in rows if row["event"] == "started"}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("dies", [1, 0])
def test_no_rank_is_left_when_one_of_them_dies(planned: Path, tmp_path: Path, dies: int) -> None:
    """The first ends as the other died; the other ends with the first."""
    run = with_settings(planned, tmp_path / "run", devices=2, steps=100_000)
    child = Child(tmp_path / "log", *TRAIN, "--run", run)
    assert child.process.pid is not None
    while not (child.log.exists() and "steps, loss" in child.log.read_text()):
        assert child.process.is_alive(), child.log.read_text()
        time.sleep(0.1)
    (other,) = ranks_of(child.process.pid)
    os.kill(other if dies else child.process.pid, SIGKILL)
    ended = child.end()
    assert ended.code == (128 + SIGKILL if dies else -SIGKILL)
    assert ("rank 1 of the training ended with code -9" in ended.text) == bool(dies)
    for _ in range(600):
        if not is_running(other):
            return
        time.sleep(0.1)
    pytest.fail("the other rank goes on")


FIRST = """
import os
from functools import partial
from types import SimpleNamespace
from pipeline.config.model import parse_config
from pipeline.run.ranks import ranks_joined
if __name__ == "__main__":
    with ranks_joined(2, {0}, SimpleNamespace(say=print)):
        import torch
        torch.distributed.barrier()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("met", "code", "said"),
    [
        ("partial(os.read, 99, 1)", 74, "vemseg: Bad file descriptor"),  # as of storage that does not answer
        ("partial(parse_config, 'a: 1', 'x.yaml')", 2, "vemseg: x.yaml"),
        ("partial(os._exit, 9)", 9, "vemseg: rank 1 of the training ended with code 9"),
    ],
)
def test_what_another_rank_alone_meets_ends_all_with_its_words(met: str, code: int, said: str, tmp_path: Path) -> None:
    """Such as a sample that cannot be read: each rank reads its own."""
    (tmp_path / "first.py").write_text(FIRST.replace("{0}", met))
    ended = subprocess.run(
        [sys.executable, "first.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, "Traceback" in ended.stderr) == (code, False), ended.stderr
    assert said in ended.stderr


def ranks_of(pid: int) -> list[int]:
    """The processes that a training has started for its ranks; multiprocessing has one more that keeps its books."""
    children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [each for each in children if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]


def is_running(pid: int) -> bool:
    """Whether it is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False
