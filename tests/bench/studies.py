"""Studies that benchmarks make, foretell and run by the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pipeline.argo.local import cores
from pipeline.proposal.estimate import estimate
from pipeline.proposal.speed import measured
from pipeline.run.check import check

VEMSEG = Path(sys.executable).with_name("vemseg")


def say(folder: Path, *words: str) -> str:
    """What a command of vemseg prints; it must succeed."""
    told = subprocess.run([str(VEMSEG), *words], cwd=folder, capture_output=True, text=True)
    if told.returncode:
        raise SystemExit(f"vemseg {' '.join(words)}\n{told.stdout}\n{told.stderr}")
    return told.stdout


def seconds_told(config: Path) -> float:
    """What `vemseg estimate` says of a study on this machine, not rounded."""
    checked = check(str(config), whole=False)
    return estimate(checked.config, checked.decision, checked.geometries, cores(), measured).seconds
