"""Blockwise inference of this build against that of another one, in no more memory.

A stack of 25 x 700 x 700, and a block in the interior of a large cube, where no face saves a halo. Each side runs in a
process of its own, one after the other in turn; times are processor time, so that other programs count little.

    git worktree add ../before fbc39db && python -m tests.bench.bench_builds ../before
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.volume.geometry import Zyx
from tests.bench.table import Row, options, show

HERE = Path(__file__).parents[2]


@dataclass(frozen=True)
class Case:
    """A volume, and the blocks of either build that take about the same memory."""

    volume: str
    title: str
    block_zyx: Zyx
    block_before_zyx: Zyx
    least: float


CASES = (
    Case("stack", "25 × 700 × 700", (25, 700, 700), (25, 256, 256), 1.4),
    Case("cube", "inside a large cube", (512, 320, 320), (128, 128, 128), 2.0),
)


def predicted_by(checkout: Path, volume: str, block_zyx: Zyx, threads: int) -> dict[str, float]:
    """What a build takes: voxels, processor_s and peak_gb."""
    script = Path(__file__).with_name("predict_blocks.py")
    command = [sys.executable, str(script), volume, *map(str, block_zyx), "--threads", str(threads)]
    told = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(checkout)}, capture_output=True, check=True)
    costs: dict[str, float] = json.loads(told.stdout)
    return costs


def rows(before: Path, threads: int, repetitions: int) -> Iterator[Row]:
    """Each case, the builds in turn."""
    for case in CASES:
        mine, theirs = [], []
        for _ in range(repetitions):
            mine.append(predicted_by(HERE, case.volume, case.block_zyx, threads))
            theirs.append(predicted_by(before, case.volume, case.block_before_zyx, threads))
        peaks = [max(costs["peak_gb"] for costs in side) for side in (mine, theirs)]
        seconds = (tuple(each["processor_s"] / each["voxels"] * 1e6 for each in side) for side in (mine, theirs))
        note = f"peak memory {peaks[0]:.2f} and {peaks[1]:.2f} GB"
        yield Row(f"inference, {case.title}", "the build before", "s/Mvoxel", *seconds, case.least, note=note)


def main() -> None:
    parser = options(__doc__, repetitions=3)
    parser.add_argument("before", type=Path, help="a checkout of the other build")
    asked = parser.parse_args()
    show(rows(asked.before.resolve(), asked.threads, asked.repetitions), asked)


if __name__ == "__main__":
    main()
