"""A training keeps the number of threads that it began with, wherever it goes on.

Another number sums in another order, and the weights differ in their last bits: then the resumed training would not be
the uninterrupted one. Each life here is a process of its own with a number of its own; it is stopped, or killed after
so many writes to the run, the first of which is the state before the first step.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from signal import SIGKILL

import pytest
from tinystudy import write_study

CODE = "import sys; from pathlib import Path; from tinystudy import _command; _command(Path(sys.argv[1]), sys.argv[2:])"
TRAIN = ("train", "--target", "multilabel")
WEIGHTS = "models/multilabel/model.safetensors"


def vemseg(threads: int, log: Path, *words: str | Path) -> tuple[int, str]:
    tests = Path(__file__).parent.parent
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": f"{tests}:{tests.parent}"}
    ended = subprocess.run([sys.executable, "-c", CODE, str(log), *map(str, words)], env=environment, timeout=240)
    return ended.returncode, log.read_text()


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("threads")
    often = {"validations": 8, "checkpoint_minutes": 1e-4}
    config = write_study(folder, {"training": often, "network": {"features": [8, 12]}})
    for words in (("plan", "--config", config), ("augment",)):
        code, text = vemseg(1, folder / "log", *words, "--run", folder / "run")
        assert code == 0, text
    return folder / "run"


def trained(planned: Path, folder: Path, *lives: tuple[int, str]) -> tuple[Path, list[str]]:
    """The run, and what each life said; a life is its number of threads and when it is stopped or killed."""
    shutil.copytree(planned, folder)
    said = []
    for threads, end in lives:
        code, text = vemseg(threads, folder.with_suffix(".log"), *TRAIN, "--run", folder, *([end] if end else []))
        assert code == {"": 0, "stop": 75, "die": -SIGKILL}[end.partition("-")[0]], text
        said.append(text)
    return folder, said


@pytest.fixture(scope="module")
def one_thread(planned: Path) -> bytes:
    """The weights of a training that was never interrupted, in one thread; another number gives others."""
    one, two = (trained(planned, planned.with_name(f"{count}"), (count, ""))[0] for count in (1, 2))
    weights = (one / WEIGHTS).read_bytes()
    if weights == (two / WEIGHTS).read_bytes():
        pytest.skip("on this machine the number of threads makes no difference")
    return weights


@pytest.mark.slow
@pytest.mark.parametrize(
    "ends", [("stop-after=3",), ("die-after=1",), ("die-after=5",), ("die-after=3", "stop-after=2")], ids="-".join
)
def test_a_training_goes_on_with_the_threads_it_began_with(
    planned: Path, one_thread: bytes, tmp_path: Path, ends: tuple[str, ...]
) -> None:
    lives = [(1, ends[0]), *((2, end) for end in (*ends[1:], ""))]
    resumed, said = trained(planned, tmp_path / "run", *lives)
    assert (resumed / WEIGHTS).read_bytes() == one_thread
    assert json.loads((resumed / "models/multilabel/model.json").read_text())["threads"] == 1
    for text in said[1:]:
        assert "goes on with the number of threads that it began with, 1, and not 2" in text
