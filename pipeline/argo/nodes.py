"""The nodes of a running workflow, with the names, types and phases of Argo's `status.nodes`.

What a node is, the book that keeps all of a run and the locks that they hold, and how a workflow ended.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from pipeline.argo.model import Template

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


class Locks:
    """Who holds which lock. `limits` gives the places of each semaphore by `name/key`; one where it is not given.

    On a cluster the limit comes from a ConfigMap and is shared by all workflows of the namespace; here it is shared
    by the nodes of one run.
    """

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._limits = limits
        self._holders: dict[str, set[str]] = {}

    def take(self, holder: str, names: tuple[str, ...]) -> str | None:
        """Give `holder` all locks, or none and the text that says which one is taken."""
        for name in names:
            holders = self._holders.setdefault(name, set())
            limit = self._limits.get(name, 1)
            if holder not in holders and len(holders) >= limit:
                return f"{name} lock. Lock status: {max(limit - len(holders), 0)}/{limit}"
        for name in names:
            self._holders[name].add(holder)
        return None

    def free(self, holder: str) -> None:
        """Give back all that `holder` holds."""
        for holders in self._holders.values():
            holders.discard(holder)


class Ledger:
    """All nodes by name, and the locks that they hold. `changes` counts everything that happened to them."""

    def __init__(self, clock: Callable[[], float], semaphores: Mapping[str, int]) -> None:
        self.nodes: dict[str, Node] = {}
        self.changes = 0
        self.clock = clock
        self._locks = Locks(semaphores)
        self._active: set[str] = set()  # pods pending or running, but for those that wait for a lock

    @property
    def active_pods(self) -> int:
        return len(self._active)

    def active_in(self, boundary: str | None) -> int:
        """How many pods and DAGs of the DAG `boundary` are at work."""
        active = [n for n in self.nodes.values() if n.boundary == boundary and n.phase in (PENDING, RUNNING)]
        return sum(node.type in (POD, DAG) for node in active)

    def add(self, node: Node) -> Node:
        self.nodes[node.name] = node
        if node.type == POD and not node.fulfilled:
            self._active.add(node.name)
        self.changes += 1
        return node

    def mark(self, node: Node, phase: str, message: str | None = None) -> Node:
        """Set phase and message; what has ended frees its locks."""
        if (node.phase, node.message) == (phase, message) and not node.fulfilled:
            return node
        node.phase, node.message = phase, node.message if message is None else message
        if node.fulfilled:
            node.finished_at = node.finished_at or self.clock()
            node.run_id = node.run_id or node.phase
            self._active.discard(node.name)
            self._locks.free(node.name)
        self.changes += 1
        return node

    def lock(self, new: NewNode, template: Template) -> NewNode | None:
        """Take the template's locks for a node, all or none; `None` where the node stays Pending without them."""
        lacking = self._locks.take(new.name, template.locks)
        node = self.nodes.get(new.name)
        if lacking is None:
            if node is not None and node.waiting_for:
                del self.nodes[new.name]  # it begins anew, with its rightful type
                return replace(new, created_at=node.created_at)
            return new
        node = node or new.make(POD if template.dag is None else DAG, PENDING)
        node.waiting_for = lacking
        self._active.discard(node.name)
        self.mark(node, PENDING, f"Waiting for {lacking}")
        return None


@dataclass(frozen=True)
class NewNode:
    """What is known of a node before it is made. `upstream` identifies the runs of all that came before it.

    `boundary` is the DAG that it is in, `parent` the node that it comes after; an entry point has neither.
    """

    ledger: Ledger
    name: str
    template: str
    boundary: str | None = None
    parent: str | None = None
    upstream: str = ""
    created_at: float | None = None
    tries_of: tuple[str, Template] | None = None  # the node that is tried, and its template before the try is filled in

    def make(self, node_type: str, phase: str) -> Node:
        now = self.ledger.clock()
        created = now if self.created_at is None else self.created_at
        started = None if node_type == POD else now
        node = Node(self.name, node_type, self.template, phase, self.parent, self.boundary, "", created, started)
        return self.ledger.add(node)

    def attempt(self, index: int, template: Template) -> NewNode:
        """The same for one try of the node."""
        name = f"{self.name}({index})"
        return replace(self, name=name, parent=self.name, created_at=None, tries_of=(self.name, template))
