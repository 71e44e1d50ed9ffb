"""How far a job is, as its user sees it: a few steps in words, read from the nodes of its workflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.workflow.nodes import POD, RETRY, SUCCEEDED, Node

if TYPE_CHECKING:
    from pipeline.webapp.stages import Stage

StepState = Literal["waiting", "running", "done", "failed"]


@dataclass(frozen=True)
class Step:
    """A step of a job: `done` of `total` pieces are done (total 0: it does not say), `seconds` is how long it took.

    name: of its workflow and template, such as segment.infer; label: in words.
    """

    name: str
    label: str
    state: StepState = "waiting"
    done: int = 0
    total: int = 0
    seconds: float | None = None


def progress(stage: Stage, nodes: Mapping[str, Node], now: float) -> tuple[Step, ...]:
    """The steps of a stage as they are by the nodes of its workflow at a time (seconds since 1970)."""
    steps = stage.steps.items()
    return tuple(_step(f"{stage.name}.{template}", template, label, nodes, now) for template, label in steps)


def _step(name: str, template: str, label: str, nodes: Mapping[str, Node], now: float) -> Step:
    tries = {node.parent: node for node in nodes.values() if node.type == POD}  # the last of each node
    items = [node for node in nodes.values() if node.template == template and _is_item(node, nodes)]
    if not items:
        return Step(name, label)
    counted = [_count(tries.get(node.name, node), node.phase == SUCCEEDED) for node in items]
    return Step(
        name,
        label,
        _state(items),
        sum(done for done, _ in counted),
        sum(total for _, total in counted),
        _seconds(items, now),
    )


def _is_item(node: Node, nodes: Mapping[str, Node]) -> bool:
    """Whether it is a piece of work, and not one of its tries."""
    around = nodes.get(node.parent or "")
    return node.type == RETRY or (node.type == POD and (around is None or around.type != RETRY))


def _state(items: list[Node]) -> StepState:
    if any(node.failed for node in items):
        return "failed"
    if all(node.fulfilled for node in items):
        return "done"
    return "running" if any(node.started_at or node.fulfilled for node in items) else "waiting"


def _count(node: Node, has_succeeded: bool) -> tuple[int, int]:
    done, _, total = node.progress.partition("/")
    if not total.isdigit():
        return (0, 0)
    return (int(total) if has_succeeded else int(done), int(total))


def _seconds(items: list[Node], now: float) -> float | None:
    started = [node.started_at for node in items if node.started_at is not None]
    if not started:
        return None
    ended = [node.finished_at for node in items]
    return max(now if end is None else end for end in ended) - min(started)
