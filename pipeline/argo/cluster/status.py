"""A Workflow's status as the view takes it: the nodes of `status.nodes`, hung into a tree; and following it to its end.

Argo's graph says which node follows which. Where a node hangs in the tree is in its name: `a(1:x)` is a turn of the
loop `a`, `b(0)` a try of `b`, and everything else hangs on its DAG, which `boundaryID` names.

A watch ends for many reasons that say nothing of the workflow: the API server closes it after some minutes or has
forgotten where it was (410 Gone), a proxy falls silent, the server is restarted. All are met in one way: look at the
workflow anew, and watch anew. No change is missed for good, for a Workflow object holds its whole state.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from pipeline.argo.cluster.api import NotFoundError, Workflows
from pipeline.argo.nodes import DAG, PENDING, POD, RETRY, TASK_GROUP, Node, Outcome
from pipeline.argo.yamlfile import Object
from pipeline.errors import ClusterError, InputError

PATIENCE_SECONDS = 900.0  # how long a cluster may be out of reach
_PAUSE_SECONDS = (1.0, 2.0, 5.0, 10.0)

ENDED = ("Succeeded", "Failed", "Error")
_TURN_OR_TRY = re.compile(r"(.*)\([^()]*\)", re.DOTALL)
_SAME_TYPES = {"Steps": DAG, "StepGroup": TASK_GROUP}
_NOT_REPORTED = ("0/1", "1/1")  # what Argo makes of a pod that reports no progress
_LONGEST_NAME = 252 - 10  # Kubernetes' limit less "-" and the longest hash


@dataclass(frozen=True)
class Status:
    """One look at a workflow. `pods` gives the pod's name for the nodes that are pods."""

    name: str
    phase: str
    message: str
    nodes: dict[str, Node]
    pods: dict[str, str]

    @property
    def has_ended(self) -> bool:
        return self.phase in ENDED

    def outcome(self, *, interrupted: bool = False) -> Outcome:
        return Outcome(self.phase, self.message, self.nodes, interrupted)


def status_of(workflow: Object) -> Status:
    """Read a Workflow object."""
    name, status = workflow["metadata"]["name"], workflow.get("status") or {}
    annotations = workflow["metadata"].get("annotations") or {}
    named_by_id = annotations.get("workflows.argoproj.io/pod-name-format") == "v1"
    found: Object = status.get("nodes") or {}
    by_time = sorted(found.values(), key=lambda node: (node.get("startedAt") or "", _natural(node["name"])))
    names = {node["id"]: node["name"] for node in found.values()}
    types = {node["name"]: node["type"] for node in found.values()}
    nodes = {node["name"]: _node(node, names, types) for node in by_time}
    pods = {
        node["name"]: node["id"] if named_by_id else pod_name(name, node["name"], _template(node))
        for node in by_time
        if node["type"] == POD
    }
    return Status(name, status.get("phase") or PENDING, status.get("message") or "", nodes, pods)


def pod_name(workflow: str, node: str, template: str) -> str:
    """The name that Argo gives the pod of a node: workflow, template and the FNV-1a hash of the node's name."""
    if workflow == node:
        return workflow
    prefix = workflow if ".inline" in node else f"{workflow}-{template}"
    value = 0x811C9DC5
    for byte in node.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return f"{prefix[:_LONGEST_NAME]}-{value}"


def _node(node: Object, names: dict[str, str], types: dict[str, str]) -> Node:
    outputs = node.get("outputs") or {}
    progress = node.get("progress", "") if node["type"] == POD else ""
    exit_code = outputs.get("exitCode")
    boundary = names.get(node.get("boundaryID", ""))
    phase = node.get("phase") or PENDING
    started_at = _seconds(node.get("startedAt"))
    return Node(
        name=node["name"],
        type=str(_SAME_TYPES.get(node["type"], node["type"])),
        template=_template(node),
        phase=phase,
        parent=_parent(node["name"], types) or boundary,
        boundary=boundary,
        message=node.get("message", ""),
        created_at=started_at or 0.0,
        started_at=None if phase == PENDING else started_at,
        finished_at=_seconds(node.get("finishedAt")),
        exit_code=int(exit_code) if exit_code is not None else None,
        progress="" if progress in _NOT_REPORTED else progress,
    )


def _parent(name: str, types: dict[str, str]) -> str | None:
    match = _TURN_OR_TRY.fullmatch(name)
    around = match[1] if match else ""
    return around if types.get(around) in (TASK_GROUP, RETRY, "StepGroup") else None


def _template(node: Object) -> str:
    return str(node.get("templateName") or (node.get("templateRef") or {}).get("template") or "")


def _seconds(time: str | None) -> float | None:
    """Seconds since 1970 of a time as Kubernetes writes it."""
    return datetime.fromisoformat(time).timestamp() if time else None


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts `a(2)` before `a(10)`."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def follow(
    workflows: Workflows,
    name: str,
    *,
    note: Callable[[str], None],
    patience_seconds: float = PATIENCE_SECONDS,
) -> Iterator[Status]:
    """Yield the workflow's status now and at each change, until it has ended.

    `note` is told of lost connections. Raises `ClusterError` when the cluster does not answer for `patience_seconds`,
    `InputError` when there is no such workflow (any more).
    """
    lost_at, failures, seen = time.monotonic(), 0, False
    while True:
        try:
            for status in _until_the_stream_ends(workflows, name):
                if failures:
                    note("the cluster answers again")
                failures, lost_at, seen = 0, time.monotonic(), True
                yield status
                if status.has_ended:
                    return
        except NotFoundError as error:
            raise (InputError(f"workflow {name} was deleted while it ran") if seen else error) from error
        except ClusterError as error:
            if time.monotonic() - lost_at >= patience_seconds:
                raise
            if not failures:
                note(f"{error}; the workflow goes on, and so does the attempt to reach it")
            failures += 1
        time.sleep(_PAUSE_SECONDS[min(failures, len(_PAUSE_SECONDS) - 1)])


def _until_the_stream_ends(workflows: Workflows, name: str) -> Iterator[Status]:
    yield status_of(workflows.get(name))
    try:
        for changed in workflows.changes(name):
            yield status_of(changed)
    except (ClusterError, InputError):
        return  # the next look tells what is really wrong; where watching is not allowed, looking will do
