"""A training keeps the number of threads that it began with, wherever it goes on.

Another number sums in another order, and the weights differ in their last bits: then the resumed training would not be
the uninterrupted one. Each life here is a process of its own with a number of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

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
    config = write_study(folder, {"training": {"validations": 8}, "network": {"features": [8, 12]}})
    for words in (("plan", "--config", config), ("augment",)):
        code, text = vemseg(1, folder / "log", *words, "--run", folder / "run")
        assert code == 0, text
    return folder / "run"


def trained(planned: Path, folder: Path, *lives: tuple[int, str]) -> tuple[bytes, list[str]]:
    """The weights, and what each life said; a life is its number of threads and when it is stopped."""
    shutil.copytree(planned, folder / "run")
    said = []
    for threads, stop in lives:
        code, text = vemseg(threads, folder / "log", *TRAIN, "--run", folder / "run", *([stop] if stop else []))
        assert code == (75 if stop else 0), text
        said.append(text)
    return (folder / "run" / WEIGHTS).read_bytes(), said


@pytest.mark.slow
def test_a_training_goes_on_with_the_threads_it_began_with(planned: Path, tmp_path: Path) -> None:
    for name in ("one", "two", "resumed"):
        (tmp_path / name).mkdir()
    one, _ = trained(planned, tmp_path / "one", (1, ""))
    two, _ = trained(planned, tmp_path / "two", (2, ""))
    if one == two:
        pytest.skip("on this machine the number of threads makes no difference")
    resumed, (_, second) = trained(planned, tmp_path / "resumed", (1, "stop-after=3"), (2, ""))
    assert resumed == one
    assert "goes on with the number of threads that it began with, 1, and not 2" in second
