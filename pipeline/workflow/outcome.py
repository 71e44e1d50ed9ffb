"""How a workflow ended, here or on a cluster, and the exit code that says so."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.workflow.nodes import POD, SUCCEEDED, Node

INTERRUPTED = 75  # exit code: stopped with all state saved
_LONG_AGO_KILLED = (75, 137, 143)  # exit codes that say nothing of the work itself


@dataclass(frozen=True)
class Outcome:
    """`phase` is the workflow's (Running where `interrupted`), `nodes` go by name."""

    phase: str
    message: str
    nodes: dict[str, Node]
    interrupted: bool


def exit_code(outcome: Outcome) -> int:
    """The exit code for a run: 0, 75 when interrupted, else that of the pod that failed for a reason of its own."""
    if outcome.interrupted:
        return INTERRUPTED
    if outcome.phase == SUCCEEDED:
        return 0
    failed = [n for n in outcome.nodes.values() if n.type == POD and n.failed and n.exit_code]
    failed.sort(key=lambda node: (node.exit_code in _LONG_AGO_KILLED, node.finished_at or 0.0))
    return (failed[0].exit_code or 1) if failed else 1
