"""Nodes of a running workflow: the same names, types and phases as in Argo's `status.nodes`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

PENDING, RUNNING = "Pending", "Running"
SUCCEEDED, FAILED, ERROR = "Succeeded", "Failed", "Error"
SKIPPED, OMITTED = "Skipped", "Omitted"
FULFILLED = frozenset({SUCCEEDED, FAILED, ERROR, SKIPPED, OMITTED})

POD, DAG, RETRY, TASK_GROUP, SKIPPED_TYPE = "Pod", "DAG", "Retry", "TaskGroup", "Skipped"

STOPPED = "stopped"  # how the message of a node begins that the user interrupted


@dataclass
class Node:
    """One node. Times are seconds since 1970; `children` are the nodes that follow it in Argo's graph."""

    name: str
    type: str
    template: str
    phase: str
    parent: str | None = None  # where it hangs in the tree: its dag, task group or retry node
    boundary: str | None = None  # the dag it belongs to
    message: str = ""
    created_at: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None
    children: list[str] = field(default_factory=list)
    outbound: list[str] = field(default_factory=list)  # of a dag: its last tasks
    outputs: dict[str, str] = field(default_factory=dict)
    result: str | None = None
    exit_code: int | None = None
    progress: str = ""  # "done/total", as the process reports it
    waiting_for: str = ""  # the lock that a pending node lacks
    digest: str = ""  # of all that the pod's result depends on
    run_id: str = ""  # changes whenever something in or below the node really ran

    @property
    def fulfilled(self) -> bool:
        return self.phase in FULFILLED

    @property
    def failed(self) -> bool:
        return self.phase in (FAILED, ERROR)

    @property
    def display_name(self) -> str:
        """The name without the dags that it is in."""
        prefix = f"{self.boundary}." if self.boundary else ""
        return self.name.removeprefix(prefix)


def combined(run_ids: Iterable[str]) -> str:
    """One identity for several."""
    return hashlib.sha256("\n".join(run_ids).encode()).hexdigest()[:16]
