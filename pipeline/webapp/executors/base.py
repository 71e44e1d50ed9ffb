"""What the queue asks of whoever runs a workflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pipeline.webapp.jobs import Job
from pipeline.webapp.stages import Stage
from pipeline.workflow.nodes import Node

Handle = dict[str, Any]
"""How an executor finds a stage again that it began, maybe in another life: plain JSON."""
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
