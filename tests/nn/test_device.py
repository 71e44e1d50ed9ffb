"""Freed memory is kept for the next tensor, also when that is asked for after torch is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

PAGE_FAULTS_OF_LATER_TENSORS = """
import resource, sys, torch
from pipeline.nn.device import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit("not taken")
for _ in range(10):
    torch.ones(2**23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(2**23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(mode: str) -> int:
    command = [sys.executable, "-c", PAGE_FAULTS_OF_LATER_TENSORS, mode]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    if "not taken" in child.stderr:
        pytest.skip("this C library has no mallopt")
    return int(child.stdout)


def test_tensors_of_a_later_step_cost_no_page_faults():
    kept = page_faults("keep")
    assert kept < 200
    assert kept < page_faults("default")
