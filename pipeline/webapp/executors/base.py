"""What the queue asks of whoever runs a workflow, and why a stage failed, in words for its user."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from pipeline.argo.nodes import POD, Node
from pipeline.argo.view import Logs
from pipeline.webapp.jobs import Job
from pipeline.webapp.stages import Stage

Handle = dict[str, Any]
"""How an executor finds a stage again that it began, maybe in another life: plain JSON."""
TAIL_LINES = 20
_END = re.compile(r"^vemseg: (?P<reason>.+)$")  # how the command line ends with an error that a user can mend
_PATH = re.compile(r"(?<![\w.:/>])(?:file://)?/(?:[^\s/:;,'\"()<>]+/)+([^\s/:;,'\"()<>]*)")
"""A path of a file on this machine; what belongs to an address, such as of a bucket, is none."""
_KILLED = 137
_NO_MEMORY = "It needed more memory than there is. Try a smaller volume, or ask whoever runs this server for more."
Verdict = Literal["running", "succeeded", "failed", "lost"]


@dataclass(frozen=True)
class Look:
    """A stage at one moment: its verdict, its nodes, and for one that failed, why.

    A lost one has ended without an end of its own, such as by a crash; to begin it again goes on where it was.
    """

    verdict: Verdict
    nodes: Mapping[str, Node] = field(default_factory=dict)
    reason: str = ""
    log_tail: tuple[str, ...] = ()


class Executor(Protocol):
    """Begins stages, looks after them and ends them. Methods return soon; they are called from one thread.

    workers: how many of its processes share a volume.
    """

    workers: int

    def start(self, job: Job, stage: Stage) -> Handle:
        """Begin a stage, or go on with it; one that is at work already is taken over.

        Raises InputError for what will not work the next time either, VemsegError otherwise.
        """

    def look(self, job: Job, stage: Stage, handle: Handle) -> Look:
        """How it is doing. Raises VemsegError where that cannot be told just now."""

    def stop(self, job: Job, stage: Stage, handle: Handle, *, at_once: bool) -> None:
        """Ask it to end; `at_once` does not ask. It has ended once a look says so."""


def reason_of(
    nodes: Mapping[str, Node], logs: Logs, around: Sequence[str], folder: Path
) -> tuple[str, tuple[str, ...]]:
    """The reason, and the last lines of the log that tells it; both without the server's folders.

    nodes and logs: of the workflow. around: what whoever runs it has said, for one that failed before any node.
    folder: the job's, as its steps see it.
    """
    failed = [node for node in nodes.values() if node.type == POD and node.failed]
    failed.sort(key=lambda node: node.finished_at or 0.0)
    tail = logs.last_lines(failed[-1], TAIL_LINES) if failed else list(around)
    ends = [match["reason"] for line in tail if (match := _END.match(line))]
    if ends:
        reason = ends[-1]
    elif failed and failed[-1].exit_code == _KILLED:
        reason = _NO_MEMORY
    else:
        last = next((line for line in (failed[-1].message if failed else "", *tail[-1:]) if line), "it says no more")
        reason = f"Something went wrong in vemseg itself ({last})."
    return without_folder(reason, folder), tuple(without_folder(line, folder) for line in tail)


def without_folder(text: str, folder: Path) -> str:
    """A text in which files of a job are named from its folder, and all others by their last name alone."""
    for place in (f"{folder}/upload/unpacked/", f"{folder}/upload/", f"{folder}/", str(folder)):
        text = text.replace(f"file://{place}", "").replace(place, "")
    return without_paths(text)


def without_paths(text: str) -> str:
    """A text in which no file is named with the server's folders."""
    return _PATH.sub(r"\1", text)


def last_lines(log: Path) -> list[str]:
    """The last lines of a file; none where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 16384))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-TAIL_LINES:]
