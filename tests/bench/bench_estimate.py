"""Foretold and real time of three studies, and how wrong the time left was meanwhile.

The studies: one class, five classes with a network each, and the eight of the demo with boosting. Each is made in a
folder of its own, foretold by `vemseg estimate` and run by `vemseg run study`, one after the other. Nothing else should
run on the machine: what is foretold was measured on it. Where others do, `--computed` holds all of it to one core and
reckons in seconds that the study's own processes computed. `--short` takes studies of a minute or two.

    python -m tests.bench.bench_estimate [FOLDER] [--short] [--computed] [--only demo] [--record]

The time left is what `vemseg run` shows, recorded each second and foretold anew from the record (`--record` keeps it
as FOLDER/STUDY.json.gz). It should be within 25 % of the truth from a fifth of the way on, or, near the end, within
10 % of the whole.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import yaml

from pipeline.argo.nodes import RUNNING, Node
from pipeline.argo.view import Logs, View
from pipeline.cli.studyview import LINES_OF_PLAN, steps_of
from pipeline.phantom import PHANTOM_CLASSES, make_phantom
from pipeline.run.foresight import Foresight, StepLook
from tests.bench.studies import say, seconds_told

SECONDS_BETWEEN_LOOKS = 1.0
TENTHS = [tenth / 10 for tenth in range(1, 10)]
FROM = 0.2
"""Of the way, from where on the time left is held to what it promises."""


# --- the studies


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


def one_class(folder: Path, *, short: bool) -> None:
    """Mitochondria alone, in three minutes."""
    proposed(folder, (12, 224, 320) if short else (20, 320, 384), ("mitochondria",), "--minutes", "1" if short else "3")


def five_classes(folder: Path, *, short: bool) -> None:
    """Five classes with their binary networks, in five minutes."""
    shape, minutes = ((16, 192, 256), "1.5") if short else ((24, 256, 320), "5")
    proposed(folder, shape, ("cytosol", "mitochondria", "membrane", "myelin"), "--minutes", minutes, "--binary")


def demo(folder: Path, *, short: bool) -> None:
    """What `make demo` runs."""
    say(folder.parent, "phantom", folder.name, "--shape", "8,160,448" if short else "16,256,640", "--example", "demo")
    if short:
        config = folder / "study.yaml"
        study = yaml.safe_load(config.read_text())
        study["training"] |= {"steps": 120, "binary_steps": 40}
        study["boosting"]["zssr"]["most_steps"] = 100
        config.write_text(yaml.safe_dump(study))


STUDIES: dict[str, Callable[..., None]] = {"one class": one_class, "five classes": five_classes, "demo": demo}


# --- looking on


@dataclass
class Record:
    """What was seen of a study each second; a look is a step's template and item, done, total, begin and end."""

    computed: list[tuple[float, float, int]] = field(default_factory=list)
    """Wall time, seconds that its processes have computed, and how many of them are at work."""
    looks: list[list[tuple[str, str, int, int, float | None, float | None, bool]]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    """Of the plan step."""


class Recorder(View):
    """Looks on while `vemseg run` runs, and writes what it saw to a file."""

    def __init__(self, place: Path) -> None:
        self._place, self._at, self._record = place, 0.0, Record([(time.time(), computed_s(), 0)], [[]])

    def show(self, nodes: Mapping[str, Node], logs: Logs) -> None:
        """See `View`."""
        if time.time() - self._at >= SECONDS_BETWEEN_LOOKS:
            self.end(nodes, logs)

    def end(self, nodes: Mapping[str, Node], logs: Logs) -> None:
        """See `View`."""
        self._at = time.time()
        steps = steps_of(nodes)
        at_work = sum(node.phase == RUNNING for step in steps for node in step.current)
        self._record.computed.append((self._at, computed_s(), at_work))
        looks = []
        for step in steps:
            begun = [pod.started_at for pod in step.pods if pod.started_at]
            ended = [pod.finished_at or self._at for pod in step.pods if pod.started_at]
            times = (min(begun), max(ended)) if begun else (None, None)
            looks.append((*step.key, *step.progress, *times, step.is_done))
            if step.template == "plan" and step.is_done:
                self._record.log = logs.last_lines(step.current[-1], LINES_OF_PLAN)
        self._record.looks.append(looks)
        self._place.write_text(json.dumps(asdict(self._record)))


def computed_s() -> float:
    """Processor time of this process and all that it has started, those at work included."""

    def ticks(process: str) -> int:
        place = Path("/proc") / process
        try:
            own_and_ended = sum(map(int, (place / "stat").read_text().rpartition(")")[2].split()[11:15]))
            children = [child for path in place.glob("task/*/children") for child in path.read_text().split()]
        except OSError:  # ended meanwhile: its parent counts it
            return 0
        return own_and_ended + sum(map(ticks, children))

    return ticks(str(os.getpid())) / os.sysconf("SC_CLK_TCK")


def run_recorded(words: list[str], place: Path) -> None:
    """Do what the command line does, with a recorder for its view."""
    from pipeline.cli import main, studyview

    studyview.for_people = lambda _console: Recorder(place)  # type: ignore[assignment]
    sys.argv[1:] = words
    main.main()


# --- what was told, and what it was


@dataclass(frozen=True)
class Clock:
    """Seconds since the study began, at moments of wall time."""

    wall: list[float]
    seconds: list[float]

    @classmethod
    def of(cls, record: Record, *, computed: bool) -> Clock:
        """Of the wall, or that of processes which have a core each."""
        wall, spent, at_work = (np.array(column, float) for column in zip(*record.computed, strict=True))
        passed = np.diff(spent) / np.maximum(at_work[1:], 1) if computed else np.diff(wall)
        return cls(wall.tolist(), [0.0, *np.cumsum(passed).tolist()])

    def at(self, moment: float) -> float:
        """Of a moment."""
        return float(np.interp(moment, self.wall, self.seconds))


def times_left(record: Record, clock: Clock) -> list[tuple[float, float, float]]:
    """How far the study was, of 1, what was told of the time left, and what was true; seconds."""
    foresight, whole, told = Foresight(), clock.seconds[-1], []
    for moment, looks in zip(clock.wall, record.looks, strict=True):
        if foresight.expects_nothing and any(one[0] == "plan" and one[6] for one in looks):
            foresight.expect(record.log)
        foresight.see(_look(one, clock) for one in looks)
        left, now = foresight.seconds_left_in_all(), clock.at(moment)
        if left is not None:
            told.append((now / whole, left, whole - now))
    return told


def _look(one: Any, clock: Clock) -> StepLook:
    template, item, done, total, begun, ended, is_done = one
    seconds = clock.at(ended) - clock.at(begun) if begun is not None else 0.0
    return StepLook((template, item), done, total, seconds, is_done)


def off(left: float, true: float, whole: float) -> float:
    """Of what is promised: 1 is as wrong as may be."""
    return abs(left - true) / max(0.25 * true, 0.1 * whole)


# --- the benchmark


def measure(name: str, folder: Path, *, short: bool, computed: bool, kept: Path | None) -> None:
    """Print what was foretold of a study, what it took, and how wrong the time left was at each tenth of the way."""
    STUDIES[name](folder, short=short)
    told = seconds_told(folder / "study.yaml")
    looks = folder / "looks.json"
    words = ["run", "study", "-p", "config=study.yaml", "-p", "run=run"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    begun = time.monotonic()
    command = [sys.executable, "-m", "tests.bench.bench_estimate", "--watch", str(looks), *words]
    if subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL).returncode:
        raise SystemExit(f"the study {name} failed: see {folder / 'run'}")
    took = time.monotonic() - begun
    if kept:
        (kept / f"{folder.name}.json.gz").write_bytes(gzip.compress(looks.read_bytes(), mtime=0))
    show(name, Record(**json.loads(looks.read_text())), told, None if computed else took)


def show(name: str, record: Record, told: float, took: float | None) -> None:
    """Print what came of a study; `took` is None where processor time is the clock."""
    clock = Clock.of(record, computed=took is None)
    took = took or clock.seconds[-1]
    print(f"{name:14} foretold {told:5.0f} s, took {took:5.0f} s: {told / took - 1:+.0%}")
    lefts, whole = times_left(record, clock), clock.seconds[-1]
    for tenth in TENTHS:
        way, left, true = min(lefts, key=lambda one: abs(one[0] - tenth))
        print(f"    at {way:4.0%}: {left:5.0f} s left, {true:5.0f} in truth: {left / true - 1:+.0%}")
    worst = max((one for one in lefts if one[0] >= FROM), key=lambda one: off(*one[1:], whole))
    kept = off(*worst[1:], whole)
    print(
        f"    worst from {FROM:.0%} on: at {worst[0]:.0%} {worst[1]:.0f} s for {worst[2]:.0f} s, {kept:.2f} of what "
        f"may be wrong",
        flush=True,
    )


def main() -> None:
    """Measure the studies that are asked for."""
    if sys.argv[1:2] == ["--watch"]:
        run_recorded(sys.argv[3:], Path(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--only", choices=STUDIES)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--computed", action="store_true")
    parser.add_argument("--record", action="store_true")
    asked = parser.parse_args()
    if asked.computed:  # threads that wait for each other compute, too
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as place:
        root = (asked.folder or Path(place)).resolve()
        for name in [asked.only] if asked.only else STUDIES:
            folder = root / name.replace(" ", "-")
            root.mkdir(parents=True, exist_ok=True)
            measure(name, folder, short=asked.short, computed=asked.computed, kept=root if asked.record else None)


if __name__ == "__main__":
    main()
