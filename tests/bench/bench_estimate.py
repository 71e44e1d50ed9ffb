"""Foretold and real wall time of three studies: one class, five classes, and the eight of the demo, with boosting.

Each study is made in a folder of its own, foretold by `vemseg estimate` and run by `vemseg run study`, one after the
other. Nothing else should run on the machine: what is foretold was measured on it.

    python -m tests.bench.bench_estimate [FOLDER] [--only slices]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile

from pipeline.argo.local import cores
from pipeline.phantom import PHANTOM_CLASSES, make_phantom
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


def proposed(folder: Path, shape_zyx: tuple[int, int, int], classes: tuple[str, ...], *words: str) -> None:
    """A study of some of the phantom's classes, the rest together, as `vemseg init` proposes it."""
    folder.mkdir(parents=True)
    phantom = make_phantom(shape_zyx, seed=3)
    kept = [PHANTOM_CLASSES.index(name) + 1 for name in classes]
    ids = np.where(np.isin(phantom.labels, kept), phantom.labels, 0) + 1
    tifffile.imwrite(folder / "raw.tif", phantom.raw)
    tifffile.imwrite(folder / "labels.tif", ids.astype(np.uint8))
    named = [f"--class={name}={number + 1}" for name, number in zip(classes, kept, strict=True)]
    asked = ["init", "raw.tif", "labels.tif", "--class=rest=1", *named, "--voxel-size-nm", "8,4,4", *words]
    (folder / "study.yaml").write_text(say(folder, *asked))


def one_class(folder: Path) -> None:
    """Mitochondria alone, in three minutes."""
    proposed(folder, (20, 320, 384), ("mitochondria",), "--minutes", "3")


def five_classes(folder: Path) -> None:
    """Five classes with their binary networks, in five minutes."""
    proposed(folder, (24, 256, 320), ("cytosol", "mitochondria", "membrane", "myelin"), "--minutes", "5", "--binary")


def demo(folder: Path) -> None:
    """What `make demo` runs."""
    say(folder.parent, "phantom", folder.name, "--shape", "16,256,640", "--example", "demo")


STUDIES: dict[str, Callable[[Path], None]] = {"one class": one_class, "five classes": five_classes, "demo": demo}


def seconds_told(config: Path) -> float:
    """What `vemseg estimate` says of a study on this machine, not rounded."""
    checked = check(str(config), whole=False)
    return estimate(checked.config, checked.decision, checked.geometries, cores(), measured).seconds


def measure(name: str, folder: Path) -> None:
    """Print what was foretold of a study and what it took."""
    STUDIES[name](folder)
    told = seconds_told(folder / "study.yaml")
    begun = time.monotonic()
    say(folder, "run", "study", "-p", "config=study.yaml", "-p", "run=run")
    took = time.monotonic() - begun
    print(f"{name:14} foretold {told:5.0f} s, took {took:5.0f} s: {told / took - 1:+.0%}", flush=True)


def main() -> None:
    """Measure the studies that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--only", choices=STUDIES)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        for name in [asked.only] if asked.only else STUDIES:
            measure(name, (asked.folder or Path(place)) / name.replace(" ", "-"))


if __name__ == "__main__":
    main()
