"""Blockwise inference of this build against that of another one, in no more memory.

A stack of 25 x 700 x 700, and a block in the interior of a large cube, where no face saves a halo. Each side runs in a
process of its own, one after the other in turn; times are processor time, so that other programs count little. Printed
is the median ratio with the least and the largest one, and each side's speed and peak memory.

    git worktree add ../before fbc39db && python -m tests.bench.bench_builds ../before
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pipeline.volume.geometry import Zyx

HERE = Path(__file__).parents[2]


@dataclass(frozen=True)
class Case:
    """A volume, and the blocks of either build that take about the same memory."""

    volume: str
    block_zyx: Zyx
    block_before_zyx: Zyx
    least: float


CASES = (
    Case("stack", (25, 700, 700), (25, 256, 256), 1.4),
    Case("cube", (512, 320, 320), (128, 128, 128), 2.0),
)


def predicted_by(checkout: Path, volume: str, block_zyx: Zyx, threads: int) -> dict[str, float]:
    """What a build takes: voxels, processor_s and peak_gb."""
    script = Path(__file__).with_name("predict_blocks.py")
    command = [sys.executable, str(script), volume, *map(str, block_zyx), "--threads", str(threads)]
    told = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(checkout)}, capture_output=True, check=True)
    costs: dict[str, float] = json.loads(told.stdout)
    return costs


def speed(costs: dict[str, float]) -> float:
    """Million voxels a second of processor time."""
    return costs["voxels"] / costs["processor_s"] / 1e6


def compare(case: Case, before: Path, threads: int, repetitions: int) -> None:
    pairs = [
        (
            predicted_by(HERE, case.volume, case.block_zyx, threads),
            predicted_by(before, case.volume, case.block_before_zyx, threads),
        )
        for _ in range(repetitions)
    ]
    ratios = sorted(speed(ours) / speed(theirs) for ours, theirs in pairs)
    print(f"{case.volume}: this build / the one before {statistics.median(ratios):.2f} (at least {case.least:g}),")
    print(f"    from {ratios[0]:.2f} to {ratios[-1]:.2f}; blocks of {case.block_zyx} and {case.block_before_zyx}")
    for name, costs in zip(("this build", "before"), zip(*pairs, strict=True), strict=True):
        rate, peak_gb = statistics.median(map(speed, costs)), max(each["peak_gb"] for each in costs)
        print(f"    {name}: {rate:.3f} million voxels a second of processor time, peak {peak_gb:.2f} GB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path, help="a checkout of the other build")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch, the same for both (default 1)")
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    for case in CASES:
        compare(case, arguments.before.resolve(), arguments.threads, arguments.repetitions)


if __name__ == "__main__":
    main()
