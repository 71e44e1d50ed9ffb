"""A tiny study as the chain of commands that its pods run, with every state that a run has between two of them."""

from __future__ import annotations

import json
import re
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from tinystudy import BOOSTING, Child, files, write_study

from pipeline.errors import MissingLibraryError
from pipeline.figures.render.drawing import require_opengl

# A checkpoint after every step, so that a fault meets one that is being written.
OFTEN = {
    "training": {"targets": "multilabel", "checkpoint_minutes": 1e-6, "steps": 12, "validations": 3},
    "boosting": BOOSTING["boosting"] | {"methods": ["bicubic", "zssr"]},
}
LONGEST_S = 480.0
"""For a step on a busy machine, or on a storage that errs and is asked again after a while."""
PAGE, OF_PAGE = "evaluation/report.html", "done/report/page.json"


@dataclass(frozen=True)
class Step:
    """One command of the chain: its name, its words, and whether it is told the run by ``--run``."""

    name: str
    words: tuple[str, ...]
    by_option: bool = True

    def start(self, log: Path, run: Path | str, *last: str) -> Child:
        """The command at work on a run, in a process of its own."""
        where = ("--run", str(run)) if self.by_option else (str(run),)
        return Child(log, *self.words, *where, *last)


@dataclass
class Chain:
    """The steps, the run before each and after the last, and how long each takes."""

    config: Path
    steps: list[Step]
    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)

    def before(self, step: Step, to: Path) -> Path:
        """A copy of the run as it was before a step."""
        if to.exists():
            shutil.rmtree(to)
        return Path(shutil.copytree(self._state(self.steps.index(step)), to))

    def after(self, step: Step) -> dict[str, bytes]:
        """The files of the run after a step, the report without what it says of times."""
        return comparable(self._state(self.steps.index(step) + 1))

    def finished(self, to: Path) -> Path:
        """A copy of the run after the last step."""
        return Path(shutil.copytree(self._state(len(self.steps)), to))

    def _state(self, number: int) -> Path:
        return self.folder / f"state{number:02d}"


def comparable(run: Path) -> dict[str, bytes]:
    """The files of a run that two runs have in common; of the report what it says of results, not of times."""
    found = files(run)
    if PAGE in found:
        found[PAGE] = _without_times(found[PAGE].decode()).encode()
    if OF_PAGE in found:
        found[OF_PAGE] = str(json.loads(found[OF_PAGE])["digest"]).encode()
    return found


def _without_times(page: str) -> str:
    """The page but for its part on time, and the times of day elsewhere."""
    page = re.sub(r"(?s)<h3>Time</h3>.*?(?=<h3>|</section>)", "", page)
    return re.sub(r"\d{4}-\d\d-\d\d|\d\d?:\d\d(:\d\d)?|([\d.]+ (s|min|h)\b ?)+", "", page)


def undisturbed_chain(folder: Path) -> Chain:
    """Run the chain once, in peace, and keep every state."""
    config = write_study(folder / "study", OFTEN)
    steps = [
        Step("plan", ("plan", "--config", str(config))),
        Step("augment", ("augment",)),
        Step("train", ("train", "--target", "multilabel")),
        Step("infer", ("infer", "--target", "multilabel")),
        Step("boost degrade", ("boost", "degrade")),
        Step("boost train", ("boost", "train")),
        Step("boost apply, bicubic", ("boost", "apply", "--method", "bicubic")),
        Step("boost apply, zssr", ("boost", "apply", "--method", "zssr")),
        Step("infer, bicubic", ("infer", "--target", "multilabel", "--variant", "bicubic")),
        Step("infer, zssr", ("infer", "--target", "multilabel", "--variant", "zssr")),
        Step("evaluate", ("evaluate",)),
        Step("boost compare", ("boost", "compare")),
        Step("report", ("report",), by_option=False),
    ]
    if _can_render():
        steps.insert(-1, Step("render", ("render",), by_option=False))
    chain = Chain(config, steps, folder)
    Child(folder / "log", "--version").end()  # starts the server that the others are forked from
    run = folder / "state00"
    run.mkdir()
    for number, step in enumerate(steps):
        following = Path(shutil.copytree(run, folder / f"state{number + 1:02d}"))
        began = time.monotonic()
        ended = step.start(folder / "log", following).end(timeout_s=LONGEST_S)
        chain.seconds[step.name] = time.monotonic() - began
        assert ended.code == 0, ended.text
        run = following
    return chain


def until_done(step: Step, log: Path, run: Path | str, *last: str) -> int:
    """Start a step again and again, as a workflow's retry does, while it ends with a code that is worth it.

    Returns how often that was.
    """
    for tries in range(1, 21):
        ended = step.start(log, run, *last).end(timeout_s=LONGEST_S)
        if ended.code == 0:
            return tries
        assert ended.code in (74, 75), f"{step.name}: {ended.text}"
    raise AssertionError(f"{step.name}: not done after {tries} tries: {ended.text}")


def _can_render() -> bool:
    try:
        require_opengl()
    except MissingLibraryError:
        return False
    return True
