"""Argo's graph of nodes, in which each node's `children` are those that follow it, and what it says of a DAG."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from pipeline.workflow.nodes import DAG, ERROR, FAILED, RETRY, SUCCEEDED, TASK_GROUP, Node


def last_nodes(nodes: Mapping[str, Node], name: str) -> list[str]:
    """The nodes below `name` that its followers follow: the turns of a loop, the leaves of a DAG, the last try."""
    node = nodes[name]
    if node.type == TASK_GROUP:
        return [end for child in node.children for end in last_nodes(nodes, child)] or [name]
    if node.type == DAG:
        return [end for child in node.outbound for end in last_nodes(nodes, child)]
    if node.type == RETRY and node.children:
        return node.children[-1:]
    return [name]


def leaf_phases(nodes: Mapping[str, Node], dag: Node, leaves: list[str]) -> dict[str, str] | None:
    """The phase of each leaf of a DAG; `None` while any node of it is at work or about to begin.

    Follows every branch with the phase of its last node that ran: one that never ran hands on the phase it was reached
    with, so a leaf omitted because of a failure counts as failed. A leaf that no branch has reached yet has "".
    """
    found = dict.fromkeys(leaves, "")
    waiting = deque((child, SUCCEEDED) for child in dag.children)
    seen = set(waiting)
    while waiting:
        name, phase = waiting.popleft()
        node = nodes.get(name)
        if node is None or not node.fulfilled:
            return None
        if node.phase in (SUCCEEDED, FAILED, ERROR):
            phase = node.phase
        if name in found and found[name] not in (FAILED, ERROR):
            found[name] = phase
        for follower in _followers(nodes, node):
            if (follower, phase) not in seen:
                seen.add((follower, phase))
                waiting.append((follower, phase))
    return found


def _followers(nodes: Mapping[str, Node], node: Node) -> list[str]:
    if node.type == RETRY:  # its tries say nothing that it does not say itself
        return [name for attempt in node.children for name in nodes[attempt].children]
    return node.children
