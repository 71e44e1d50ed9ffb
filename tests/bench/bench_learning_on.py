"""Learning on against learning anew: macro F1 of a study after its steps, and after half and a quarter of them.

Two cases on the demo's phantom: a class is added to a model of five; and a model meets another specimen, of other
seed. What begins with a model learns at a lower rate (`--rate`), since it has less far to go.

    python -m tests.bench.bench_learning_on [FOLDER] [--steps 450] [--rate 0.003]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

VEMSEG = Path(sys.executable).with_name("vemseg")
FIVE = {"cytosol": [1, 2, 5, 7], "mitochondria": [3], "membrane": [4], "endoplasmic_reticulum": [6], "myelin": [8]}
SIX = {**FIVE, "cytosol": [1, 2, 7], "vesicles": [5]}
DEMO_RATE = 6e-3


def say(*words: str) -> None:
    """Run a command of vemseg; it must succeed."""
    told = subprocess.run([str(VEMSEG), *words], capture_output=True, text=True)
    if told.returncode:
        raise SystemExit(f"vemseg {' '.join(words)}\n{told.stdout}\n{told.stderr}")


def scores(capture: Path, run: Path, classes: dict[str, list[int]], **training: Any) -> dict[str, float]:
    """F1 of each class, and their mean, of the joint network of a study."""
    study = yaml.safe_load((capture / "study.yaml").read_text())
    study["classes"]["members"] = [{"name": name, "ids": ids} for name, ids in classes.items()]
    study["training"] |= {"targets": "multilabel", **training}
    del study["boosting"]
    study["evaluation"] = {"renders": False}
    config = capture / f"{run.name}.yaml"
    config.write_text(yaml.safe_dump(study))
    say("run", "study", "-p", f"config={config}", "-p", f"run={run}")
    rows = json.loads((run / "evaluation/scores.json").read_text())["rows"]
    found = {row["name"]: row["multilabel"]["f1"] for row in rows if row["name"] in classes}
    return found | {"macro": sum(found.values()) / len(found)}


def show(what: str, found: dict[str, float], *names: str) -> None:
    """A line: the mean, and some classes."""
    print(f"{what:44} " + "  ".join(f"{name} {found[name]:.3f}" for name in ("macro", *names)), flush=True)


def compare(folder: Path, steps: int, rate: float) -> None:
    """Both cases, a line a study."""
    for seed in (0, 1):
        say(
            "phantom", str(folder / f"capture{seed}"), "--shape", "16,256,640", "--seed", str(seed), "--example", "demo"
        )
    first, second = folder / "capture0", folder / "capture1"
    anew = {"steps": steps, "learning_rate": DEMO_RATE}
    show(f"five classes, anew, {steps} steps", scores(first, folder / "five", FIVE, **anew))
    show(f"sixth class, anew, {steps} steps", scores(first, folder / "six", SIX, **anew), "vesicles")
    show(f"other specimen, anew, {steps} steps", scores(second, folder / "other", FIVE, **anew))
    for share in (2, 4):
        on = {"steps": steps // share, "learning_rate": rate, "start_from": str(folder / "five")}
        found = scores(first, folder / f"six-on-{share}", SIX, **on)
        show(f"sixth class, learnt on, {steps // share} steps", found, "vesicles")
        found = scores(second, folder / f"other-on-{share}", FIVE, **on)
        show(f"other specimen, learnt on, {steps // share} steps", found)


def main() -> None:
    """Measure in a folder that is asked for, or in one that is thrown away."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--steps", type=int, default=450)
    parser.add_argument("--rate", type=float, default=3e-3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        compare(asked.folder or Path(place), asked.steps, asked.rate)


if __name__ == "__main__":
    main()
