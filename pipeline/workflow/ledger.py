"""The nodes of one run: making them, ending them, and knowing which are at work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from pipeline.workflow.locks import Locks
from pipeline.workflow.model import Template
from pipeline.workflow.nodes import DAG, PENDING, POD, RUNNING, Node


class Ledger:
    """All nodes by name, and the locks that they hold. `changes` counts everything that happened to them."""

    def __init__(self, clock: Callable[[], float], locks: Locks) -> None:
        self.nodes: dict[str, Node] = {}
        self.changes = 0
        self.clock = clock
        self._locks = locks
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
