"""The image's layers: that of torch holds all that torch asks for, in exact versions, and nothing of the project."""

from __future__ import annotations

import re
import runpy
import shutil
from importlib.metadata import requires
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the pins have been cut up as the image's first stage does it."""
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(REPOSITORY / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(REPOSITORY / "containers/pins.py"), run_name="__main__")
    return tmp_path


def test_the_layer_of_torch_is_pinned_whole(pins: Path) -> None:
    lines = (pins / "torch.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    there = {_plain(line.partition("==")[0]) for line in lines}
    # Its CUDA libraries it names with exact versions itself; setuptools comes with the environment.
    asked = {
        _plain(re.split(r"[^\w.-]", line)[0])
        for line in requires("torch") or []
        if "extra ==" not in line and not re.match(r"nvidia|triton|cuda|setuptools", line)
    }
    assert "torch" in there
    assert asked <= there


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
