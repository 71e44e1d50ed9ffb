"""The tasks of one DAG: which of them may begin, what becomes of the others, and how the DAG ends.

The rules are those of the controller's `dag.go` (Argo Workflows 4.0); see `engine`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Protocol

from pipeline.argo import expressions, loops, templating
from pipeline.argo.check import RESULTS, ancestors, dependencies
from pipeline.argo.expressions import DEPENDS, FINE
from pipeline.argo.model import Parameter, Task, Template, Workflow
from pipeline.argo.nodes import (
    DAG,
    ERROR,
    FAILED,
    OMITTED,
    RETRY,
    RUNNING,
    SKIPPED,
    SKIPPED_TYPE,
    SUCCEEDED,
    TASK_GROUP,
    Ledger,
    NewNode,
    Node,
    combined,
)
from pipeline.argo.templating import TemplateError


class Host(Protocol):
    """What a DAG needs of the engine that it is a part of."""

    workflow: Workflow
    ledger: Ledger
    globals: dict[str, str | None]

    def execute(self, new: NewNode, arguments: tuple[Parameter, ...]) -> Node | None: ...


class DagRun:
    """A DAG node at work; `template` is its template after substitution, `upstream` identifies what came before it."""

    def __init__(self, host: Host, name: str, template: Template, upstream: str) -> None:
        assert template.dag is not None
        self.host, self.name, self.template, self.dag, self.upstream = host, name, template, template.dag, upstream
        self._ledger, self._nodes = host.ledger, host.ledger.nodes
        needed = {other for task in self.dag.tasks for other in dependencies(task)}
        self._leaves = sorted(task.name for task in self.dag.tasks if task.name not in needed)
        self._tags = frozenset(templating.tags(template.dag)) | frozenset(templating.tags(template.outputs))
        self._turns_of: dict[str, list[tuple[str, Task]]] = {}  # of the tasks met so far

    def advance(self) -> None:
        """Bring every task as far as it can get, and the DAG to its end when nothing is left to run."""
        node = self._nodes[self.name]
        visited: set[str] = set()
        for leaf in self._leaves:
            self._execute_task(leaf, visited)
        leaf_phases = _leaf_phases(self._nodes, node, [self._path(leaf) for leaf in self._leaves])
        phase = RUNNING if leaf_phases is None else self._phase_of_leaves(leaf_phases)
        if phase != RUNNING:
            self._end(node, phase)

    def reads_result_of(self, node_name: str) -> bool:
        """Whether some task here reads what a node prints; only then is it kept."""
        task = node_name.removeprefix(f"{self.name}.").split("(")[0]
        return any(f"tasks.{task}.outputs.result" in tag for tag in self._tags)

    def _path(self, task_name: str) -> str:
        return f"{self.name}.{task_name}"

    def _node(self, task_name: str) -> Node | None:
        return self._nodes.get(self._path(task_name))

    def _end(self, node: Node, phase: str) -> None:
        node.outbound = [self._path(leaf) for leaf in self._leaves if self._path(leaf) in self._nodes]
        ends = [self._node(task.name) for task in self.dag.tasks]
        node.run_id = combined(end.run_id for end in ends if end is not None)
        message = ""
        if phase == SUCCEEDED:
            try:
                known = self._scope_of([task.name for task in self.dag.tasks])
                node.outputs = {output.name: _passed_on(output, known) for output in self.template.outputs}
            except TemplateError as error:
                phase, message = ERROR, str(error)
        self._ledger.mark(node, phase, message)

    def _execute_task(self, task_name: str, visited: set[str]) -> None:
        """Bring a task, and before it all that it depends on, as far as it can get."""
        if task_name in visited:
            return
        visited.add(task_name)
        task = self.dag.task(task_name)
        node = self._node(task_name)
        if node is not None and node.fulfilled:
            return
        needed = dependencies(task)
        for other in needed:
            self._execute_task(other, visited)
        if node is None and not self._may_begin(task, needed):
            return
        try:
            turns = self._turns(task)
        except TemplateError as error:
            self._put_aside(task, ERROR, str(error))
            return
        upstream = combined([self.upstream, *(self._nodes[self._path(other)].run_id for other in needed)])
        if not task.is_loop:
            self._execute_turn(*turns[0], parent=self.name, upstream=upstream)
        elif not turns:
            self._put_aside(task, SKIPPED, "Skipped, empty params")
        else:
            self._execute_loop(task, turns, upstream)

    def _may_begin(self, task: Task, needed: list[str]) -> bool:
        """Whether all that the task waits for has ended, and as its `depends` wants; else it is omitted."""
        results = {}
        for other in needed:
            node = self._node(other)
            if node is None or not node.fulfilled:
                return False
            results[other] = self._results(node, self.dag.task(other))
        if needed and not expressions.evaluate_bool(task.depends, DEPENDS, results):
            self._put_aside(task, OMITTED, "omitted: depends condition not met")
            return False
        return True

    def _results(self, node: Node, task: Task) -> dict[str, bool]:
        """What `depends` may ask of an ended task."""
        turns = [self._nodes[name].phase for name in node.children] if node.type == TASK_GROUP else []
        true = {"Errored" if node.phase == ERROR else node.phase}
        if SUCCEEDED in turns:
            true.add("AnySucceeded")
        if turns and set(turns) == {FAILED}:
            true.add("AllFailed")
        if node.phase in (SUCCEEDED, SKIPPED, *task.continue_on):
            true.add(FINE)
        return {result: result in true for result in (*RESULTS, FINE)}

    def _turns(self, task: Task) -> list[tuple[str, Task]]:
        """The task, or the turns of its loop, after substitution; worked out once."""
        if task.name not in self._turns_of:
            resolved = loops.resolve(task, self._scope_of(ancestors(self.dag, task)))
            self._turns_of[task.name] = loops.turns(resolved) if task.is_loop else [(task.name, resolved)]
        return self._turns_of[task.name]

    def _execute_loop(self, task: Task, turns: list[tuple[str, Task]], upstream: str) -> None:
        name = self._path(task.name)
        group = self._nodes.get(name)
        if group is None:
            self._connect(task, name)
            group = NewNode(self._ledger, name, task.template, self.name, self.name, upstream).make(TASK_GROUP, RUNNING)
        for turn_name, turn in turns:
            if self._execute_turn(turn_name, turn, parent=name, upstream=upstream) is None:
                return
        ended = [self._nodes[self._path(turn_name)] for turn_name, _ in turns]
        if all(node.fulfilled for node in ended):
            group.run_id = combined(node.run_id for node in ended)
            self._ledger.mark(group, next((node.phase for node in reversed(ended) if node.failed), SUCCEEDED))

    def _execute_turn(self, turn_name: str, turn: Task, parent: str, upstream: str) -> Node | None:
        name = self._path(turn_name)
        node = self._nodes.get(name)
        if node is not None and node.fulfilled:
            return node
        new = NewNode(self._ledger, name, turn.template, self.name, parent, upstream)
        if node is None:
            self._connect(turn, name, parent)
            try:
                if not loops.proceeds(turn.when):
                    skipped = new.make(SKIPPED_TYPE, SKIPPED)
                    return self._ledger.mark(skipped, SKIPPED, f"when '{turn.when}' evaluated false")
            except TemplateError as error:
                return self._ledger.mark(new.make(SKIPPED_TYPE, ERROR), ERROR, str(error))
        return self.host.execute(new, turn.arguments)

    def _put_aside(self, task: Task, phase: str, message: str) -> None:
        """End a task that never runs."""
        name = self._path(task.name)
        node = NewNode(self._ledger, name, task.template, self.name, self.name, self.upstream).make(SKIPPED_TYPE, phase)
        self._connect(task, name)
        self._ledger.mark(node, phase, message)

    def _connect(self, task: Task, name: str, parent: str | None = None) -> None:
        """Enter `name` as follower of its group, of the last nodes that its task waits for, or of the DAG."""
        if parent is not None and parent != self.name:
            before = [parent]
        else:
            needed = dependencies(task)
            ends = [end for other in needed for end in _last_nodes(self._nodes, self._path(other))]
            before = ends or [self.name]
        for other in before:
            if name not in self._nodes[other].children:
                self._nodes[other].children.append(name)

    def _phase_of_leaves(self, leaf_phases: dict[str, str]) -> str:
        """The phase of a DAG from those that its last tasks have, or were reached with; "" for one not reached."""
        result = SUCCEEDED
        for leaf in self._leaves:
            phase = leaf_phases[self._path(leaf)]
            if phase == "":
                result = RUNNING
                if not self.dag.fail_fast:
                    break
            elif phase in (FAILED, ERROR) and phase not in self.dag.task(leaf).continue_on:
                result = phase
                if self.dag.fail_fast:
                    break
        return result

    def _scope_of(self, tasks: list[str]) -> dict[str, str | None]:
        known = dict(self.host.globals)
        for name in tasks:
            node = self._node(name)
            if node is not None:
                turns = [self._nodes[child] for child in node.children] if node.type == TASK_GROUP else []
                template = self.host.workflow.templates[self.dag.task(name).template]
                known |= templating.of_task(name, node, turns, template)
        return known


def _passed_on(output: Parameter, known: Mapping[str, str | None]) -> str:
    """The value of a DAG's output: that of the task's output it names, else its default."""
    assert output.source is not None
    match = templating.TAG.fullmatch(output.source)
    value = known.get(match[1]) if match is not None else templating.fill(output.source, known)
    if value is None:
        value = output.default
    if value is None:
        raise TemplateError(f"output parameter {output.name!r}: nothing is known as {output.source}")
    return value


def _last_nodes(nodes: Mapping[str, Node], name: str) -> list[str]:
    """The nodes below `name` that its followers follow: the turns of a loop, the leaves of a DAG, the last try."""
    node = nodes[name]
    if node.type == TASK_GROUP:
        return [end for child in node.children for end in _last_nodes(nodes, child)] or [name]
    if node.type == DAG:
        return [end for child in node.outbound for end in _last_nodes(nodes, child)]
    if node.type == RETRY and node.children:
        return node.children[-1:]
    return [name]


def _leaf_phases(nodes: Mapping[str, Node], dag: Node, leaves: list[str]) -> dict[str, str] | None:
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
