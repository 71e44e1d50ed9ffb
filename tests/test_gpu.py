"""The script for GPU machines, as far as a CPU can do it: its checks, and what it measures, at a tiny size."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.gpu.checks import CHECKS
from tests.gpu.speed import SPEEDS, largest_block
from tests.gpu.task import CPU, Outcome, Task, markdown

ROOT = Path(__file__).parents[1]


def told(tmp_path: Path, *words: str) -> tuple[int, list[dict[str, object]]]:
    """Exit code, and what was found."""
    place = tmp_path / "gpu.json"
    command = [sys.executable, "-m", "tests.gpu", "--json", str(place), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found: list[dict[str, object]] = json.loads(place.read_text())["found"] if place.exists() else []
    return done.returncode, found


@pytest.mark.slow
def test_all_that_a_cpu_can_do_passes(tmp_path: Path) -> None:
    """Compiling takes a minute, and is left to `make gpu`."""
    words = ("--device", "cpu", "--tiny", "--skip", "compile", "--before", str(ROOT))
    code, found = told(tmp_path, *words)
    assert [(each["what"], each["note"]) for each in found if each["passed"] is False] == []
    assert code == 0
    names = [str(each["what"]) for each in found]
    checked = ["prediction, bfloat16", "training, mixed bfloat16", "checkpoint and resume", "channels last"]
    assert {*checked, "super-resolution", "SIGTERM: exit code 75", "decisions: cores"} <= set(names)
    speeds = {str(each["what"]): each for each in found if each["unit"] == "Mvoxel/s"}
    assert {"prediction, float32", "prediction, the build before", "training, batch of 2"} <= speeds.keys()
    assert all(isinstance(each["found"], float) and each["found"] > 0 for each in speeds.values())
    shares = [each["found"] for each in found if "kernels' share" in str(each["what"])]
    assert shares
    assert all(isinstance(share, float) and 0 < share < 1.05 for share in shares)


def test_a_python_without_torch_is_named(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')  # -S: without installed packages
    bare.chmod(0o755)
    command = [str(ROOT / "tests/gpu/run"), "--device", "cpu", "--tiny"]
    done = subprocess.run(command, env={"PYTHON": str(bare), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, f"gpu: {bare} has no torch; set PYTHON to one that has\n")


def test_a_difference_beyond_its_tolerance_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that the device has otherwise than the CPU; a loss that does not go on where it was."""
    task = Task.tiny(CPU)
    honest, asked = Task.network, []

    def other(self: Task) -> torch.nn.Module:
        asked.append(self)
        network = honest(self)
        if len(asked) == 2:
            network.heads[0].weight.data *= 1.01
        return network

    monkeypatch.setattr(Task, "network", other)
    first = next(iter(CHECKS["predictions"](task)))
    assert first.passed is False


def test_what_was_not_found_has_not_passed() -> None:
    assert Outcome("check", None, most=1).passed is False
    assert Outcome("check", 1.0, most=1).passed is True
    assert Outcome("speed", 3.0, "Mvoxel/s").passed is None
    assert "FAIL" in markdown([Outcome("check", 2.0, most=1)])


def test_parts_that_there_are_not_and_devices_that_there_are_not_are_refused(tmp_path: Path) -> None:
    assert told(tmp_path, "--device", "cpu", "--only", "nonsense") == (2, [])
    if not torch.cuda.is_available():
        assert told(tmp_path, "--device", "cuda") == (2, [])
    code, found = told(tmp_path, "--device", "cpu", "--tiny", "--only", "decisions,training", "--minutes", "0")
    assert code == 1
    assert [each["what"] for each in found] == ["decisions", "training"]
    assert SPEEDS.keys() == {"prediction", "training"}


def test_blocks_are_the_largest_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task(CPU)
    roomy = largest_block(task)
    monkeypatch.setattr("tests.gpu.speed.CPU_BYTES", 2**28)
    assert largest_block(task)[1] < roomy[1]
