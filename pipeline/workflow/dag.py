"""Deciding what runs next, with Argo's rules and no processes: phases in, pods that are ready out.

`Engine.advance` walks the workflow from its entry point, as Argo's controller does each time something changes:
what has ended is passed over, what may start is returned as a `Pod`. The caller starts pods, and reports back with
`started` and `finished`. The rules follow the controller's `operator.go` and `dag.go` (Argo Workflows 4.0); the ones
that surprise are:

* a failed task does not stop its siblings: a DAG ends when no node of it is left to run;
* an omitted or skipped task passes on the phase of what came before it, so a DAG whose last task is omitted
  because of a failure has failed;
* an empty loop is one Skipped node; a loop's group is Failed or Error as the last of its turns that failed;
* the state of a retried node is that of its last try.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from pipeline.workflow import expressions, graph, retries, scope, templating
from pipeline.workflow.check import RESULTS, ancestors, dependencies
from pipeline.workflow.expressions import DEPENDS, FINE, ExpressionError
from pipeline.workflow.locks import Locks
from pipeline.workflow.model import Parameter, Retry, Task, Template, Workflow
from pipeline.workflow.nodes import (
    DAG,
    ERROR,
    FAILED,
    OMITTED,
    PENDING,
    POD,
    RETRY,
    RUNNING,
    SKIPPED,
    SKIPPED_TYPE,
    SUCCEEDED,
    TASK_GROUP,
    Node,
    combined,
)
from pipeline.workflow.templating import TemplateError
from pipeline.workflow.yamlfile import as_text

_DEEPEST = 100  # nested templates, as in Argo


@dataclass(frozen=True)
class Pod:
    """One container to run.

    `node` and `node_template` are the same for all tries of a node, and with `upstream`, which identifies the runs of
    all that came before, they say whether an earlier run did the same.
    """

    name: str
    template: Template
    node: str
    node_template: Template
    upstream: str
    wants_result: bool
    outlives_deadline: bool  # part of the exit handler


@dataclass
class _Dag:
    """A DAG node at work: its template after substitution, and the turns of the loops met so far."""

    name: str
    template: Template
    upstream: str
    leaves: list[str]
    tags: frozenset[str]
    turns: dict[str, list[tuple[str, Task]]] = field(default_factory=dict)


class Engine:
    """The nodes of one run and the rules that move them.

    `recall` is asked before a pod is handed out: it may return the finished node of an earlier run that did the same,
    whose outcome is then taken over.
    """

    def __init__(
        self,
        workflow: Workflow,
        parameters: Mapping[str, str],
        *,
        name: str,
        uid: str,
        config_maps: Mapping[str, str] | None = None,
        semaphores: Mapping[str, int] | None = None,
        recall: Callable[[Pod], Node | None] = lambda _pod: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.workflow, self.name, self.uid, self.recall, self.clock = workflow, name, uid, recall, clock
        self.nodes: dict[str, Node] = {}
        self.phase, self.message = PENDING, ""
        self.wake_at: float | None = None  # when a back-off ends
        self.changes = 0  # counts everything that happened to the nodes
        self._config_maps = config_maps or {}
        self._locks = Locks(semaphores or {})
        self._active: set[str] = set()  # pods pending or running, but for those that wait for a lock
        self._dags: dict[str, _Dag] = {}
        self._ready: list[Pod] = []
        self._depth = 0
        self._created_at = clock()
        self._walked = -1  # `changes` after the last walk
        self.globals = self._global_scope(parameters)
        self._arguments = tuple(replace(p, value=parameters[p.name]) for p in workflow.parameters)

    # What the caller uses

    def advance(self) -> list[Pod]:
        """Let everything happen that can; return the pods that may start now."""
        if self.wake_at is not None and self.clock() >= self.wake_at:
            self._walked = -1
        while self._walked != self.changes and not self.finished_at_all:
            self._walked = self.changes
            self.wake_at = None
            self._walk()
        ready, self._ready = self._ready, []
        return ready

    @property
    def is_stuck(self) -> bool:
        """Whether, with no pod at work, nothing would ever happen again."""
        return not self.finished_at_all and self.wake_at is None and self._walked == self.changes

    @property
    def finished_at_all(self) -> bool:
        return self.phase in (SUCCEEDED, FAILED, ERROR)

    @property
    def deadline(self) -> float | None:
        """When the workflow's own time is up."""
        limit = self.workflow.active_deadline_seconds
        return None if limit is None else self._created_at + limit

    def started(self, name: str) -> None:
        """Report that a pod's process runs."""
        self.nodes[name].started_at = self.clock()
        self._mark(self.nodes[name], RUNNING)

    def finished(
        self,
        name: str,
        phase: str,
        message: str = "",
        *,
        exit_code: int | None = None,
        outputs: Mapping[str, str] | None = None,
        result: str | None = None,
    ) -> None:
        """Report how a pod ended."""
        node = self.nodes[name]
        node.exit_code, node.outputs, node.result = exit_code, dict(outputs or {}), result
        self._mark(node, phase, message)

    # The walk

    def _walk(self) -> None:
        self.phase = RUNNING
        root = self._execute(self.name, self.workflow.entrypoint, self._arguments)
        if root is None or not root.fulfilled:
            return
        phase = root.phase if root.failed else SUCCEEDED
        self.message = root.message
        if self.workflow.on_exit is not None:
            self.globals |= self._outcome(phase)
            handler = self._execute(f"{self.name}.onExit", self.workflow.on_exit, self._arguments)
            if handler is None or not handler.fulfilled:
                return
            if phase == SUCCEEDED and handler.failed:
                phase, self.message = handler.phase, handler.message
        self.phase = phase
        self.changes += 1

    def _execute(
        self,
        name: str,
        template_name: str,
        arguments: tuple[Parameter, ...],
        boundary: str | None = None,
        parent: str | None = None,
        upstream: str = "",
    ) -> Node | None:
        """Bring one node as far as it can get; `None` while it may not begin because of a parallelism limit."""
        node = self.nodes.get(name)
        if node is not None and (node.fulfilled or self._is_at_work(node)):
            return node
        if node is None and not self._has_room(boundary):
            return None
        make = _Maker(self, name, template_name, boundary, parent or boundary, upstream)
        self._depth += 1
        try:
            if self._depth > _DEEPEST:
                raise TemplateError(f"templates are nested more than {_DEEPEST} deep")
            template = self._resolved(name, template_name, arguments)
            if template.locks and not self._locked(make, template):
                return self.nodes[name]
            if template.retry is not None:
                return self._execute_retries(make, template, template.retry)
            return self._execute_once(make, template)
        except TemplateError as error:
            return self._mark(self.nodes.get(name) or make.node(SKIPPED_TYPE, ERROR), ERROR, str(error))
        finally:
            self._depth -= 1

    def _is_at_work(self, node: Node) -> bool:
        """Whether nothing can be done for a node but wait for its process."""
        if node.type == RETRY and node.children:
            node = self.nodes[node.children[-1]]
        return node.type == POD and not node.fulfilled and not node.waiting_for

    def _execute_once(self, make: _Maker, template: Template) -> Node:
        return self._execute_dag(make, template) if template.dag is not None else self._execute_pod(make, template)

    def _resolved(self, name: str, template_name: str, arguments: tuple[Parameter, ...]) -> Template:
        """The template with its inputs settled and their tags replaced."""
        if name in self._dags:
            return self._dags[name].template
        template = scope.inputs(self.workflow.templates[template_name], arguments, self._config_map)
        known: dict[str, str | None] = {**self.globals, "node.name": name, "pod.name": name}
        template = templating.fill(template, known)
        for parameter in template.inputs:
            known[f"inputs.parameters.{parameter.name}"] = parameter.value
        for output in template.outputs:
            known[f"outputs.parameters.{output.name}.path"] = output.path
        known["inputs.parameters"] = as_text([{"name": p.name, "value": p.value} for p in template.inputs])
        return templating.fill(template, known)

    def _has_room(self, boundary: str | None) -> bool:
        """Whether the parallelism of the workflow and of the DAG around lets one more node begin."""
        limit = self.workflow.parallelism
        if limit and len(self._active) >= limit:
            return False
        around = self._dags.get(boundary or "")
        if around is None or around.template.parallelism is None:
            return True
        active = [n for n in self.nodes.values() if n.boundary == boundary and n.phase in (PENDING, RUNNING)]
        return sum(n.type in (POD, DAG) for n in active) < around.template.parallelism

    def _locked(self, make: _Maker, template: Template) -> bool:
        """Take the template's locks for this node, all or none; without them the node stays Pending."""
        lacking = self._locks.take(make.name, template.locks)
        node = self.nodes.get(make.name)
        if lacking is None:
            if node is not None and node.waiting_for:
                del self.nodes[make.name]  # it begins anew, with its rightful type
                make.created_at = node.created_at
            return True
        node = node or make.node(POD if template.dag is None else DAG, PENDING)
        node.waiting_for = lacking
        self._active.discard(node.name)
        self._mark(node, PENDING, f"Waiting for {lacking}")
        return False

    # Pods and their tries

    def _execute_pod(self, make: _Maker, template: Template) -> Node:
        node = self.nodes.get(make.name)
        if node is not None:
            return node
        node = make.node(POD, PENDING)
        outlives = self._is_after_exit(make.name)
        if self.deadline is not None and self.clock() >= self.deadline and not outlives:
            return self._mark(node, FAILED, "Step exceeded its deadline")
        try:
            templating.refuse_tags((template.container, template.outputs))
        except TemplateError as error:
            return self._mark(node, ERROR, str(error))
        node_name, node_template = make.tries_of or (make.name, template)
        wanted = self._result_is_read(make)
        pod = Pod(make.name, template, node_name, node_template, make.upstream, wanted, outlives)
        earlier = self.recall(pod)
        if earlier is not None:
            return self._take_over(node, earlier)
        self._ready.append(pod)
        return node

    def _take_over(self, node: Node, earlier: Node) -> Node:
        facts = "started_at finished_at outputs result exit_code progress digest run_id"
        for fact in facts.split():
            setattr(node, fact, getattr(earlier, fact))
        return self._mark(node, earlier.phase, earlier.message)

    def _result_is_read(self, make: _Maker) -> bool:
        """Whether a task beside this one reads what it prints; only then is it kept."""
        around = self._dags.get(make.boundary or "")
        if around is None:
            return False
        task = make.name.removeprefix(f"{around.name}.").split("(")[0]
        return f"tasks.{task}.outputs.result" in around.tags

    def _execute_retries(self, make: _Maker, template: Template, retry: Retry) -> Node:
        node = self.nodes.get(make.name) or make.node(RETRY, RUNNING)
        tries = [self.nodes[name] for name in node.children]
        last = tries[-1] if tries else None
        if last is not None and last.fulfilled:
            if not last.failed:
                return self._end_retries(node, last, SUCCEEDED, "")
            try:
                verdict = retries.verdict(retry, tries, self.clock(), self.deadline)
            except (ExpressionError, TemplateError) as error:
                return self._end_retries(node, last, ERROR, f"{retry.where}: {error}")
            if isinstance(verdict, str):
                return self._end_retries(node, last, last.phase, verdict)
            if verdict > self.clock():
                self.wake_at = min(at for at in (verdict, self.wake_at, self.deadline) if at is not None)
                return self._mark(node, RUNNING, f"Backoff for {verdict - (last.finished_at or 0):.0f} seconds")
            self._mark(node, RUNNING, "")
        if last is None or last.fulfilled:
            if last is not None and not self._has_room(make.boundary):
                return node
            make = make.attempt(len(tries), template)
            node.children.append(make.name)
        else:
            make = make.attempt(len(tries) - 1, template)
        self._execute_once(make, templating.fill(template, retries.tags(tries)))
        return node

    def _end_retries(self, node: Node, last: Node, phase: str, message: str) -> Node:
        node.outputs, node.result, node.exit_code = last.outputs, last.result, last.exit_code
        node.digest, node.run_id = last.digest, last.run_id
        return self._mark(node, phase, message)

    # DAGs and their tasks

    def _execute_dag(self, make: _Maker, template: Template) -> Node:
        assert template.dag is not None
        node = self.nodes.get(make.name) or make.node(DAG, RUNNING)
        if make.name not in self._dags:
            needed = {name for task in template.dag.tasks for name in dependencies(task)}
            leaves = sorted(task.name for task in template.dag.tasks if task.name not in needed)
            tags = frozenset(templating.tags(template.dag)) | frozenset(templating.tags(template.outputs))
            self._dags[make.name] = _Dag(make.name, template, make.upstream, leaves, tags)
        dag = self._dags[make.name]
        visited: set[str] = set()
        for leaf in dag.leaves:
            self._execute_task(dag, leaf, visited)
        leaf_phases = graph.leaf_phases(self.nodes, node, [f"{dag.name}.{leaf}" for leaf in dag.leaves])
        phase = RUNNING if leaf_phases is None else self._phase_of_leaves(dag, leaf_phases)
        if phase != RUNNING:
            self._end_dag(dag, node, phase)
        return node

    def _end_dag(self, dag: _Dag, node: Node, phase: str) -> None:
        assert dag.template.dag is not None
        node.outbound = [f"{dag.name}.{leaf}" for leaf in dag.leaves if f"{dag.name}.{leaf}" in self.nodes]
        ends = [self.nodes.get(f"{dag.name}.{task.name}") for task in dag.template.dag.tasks]
        node.run_id = combined(end.run_id for end in ends if end is not None)
        message = ""
        if phase == SUCCEEDED:
            try:
                known = self._scope_of(dag, [task.name for task in dag.template.dag.tasks])
                node.outputs = {output.name: _passed_on(output, known) for output in dag.template.outputs}
            except TemplateError as error:
                phase, message = ERROR, str(error)
        self._mark(node, phase, message)

    def _execute_task(self, dag: _Dag, task_name: str, visited: set[str]) -> None:
        """Bring a task, and before it all that it depends on, as far as it can get."""
        if task_name in visited:
            return
        visited.add(task_name)
        assert dag.template.dag is not None
        task = dag.template.dag.task(task_name)
        name = f"{dag.name}.{task_name}"
        if name in self.nodes and self.nodes[name].fulfilled:
            return
        needed = dependencies(task)
        for other in needed:
            self._execute_task(dag, other, visited)
        if name not in self.nodes and not self._may_begin(dag, task, needed):
            return
        try:
            turns = self._turns(dag, task)
        except TemplateError as error:
            self._put_aside(dag, task, ERROR, str(error))
            return
        upstream = combined([dag.upstream, *(self.nodes[f"{dag.name}.{other}"].run_id for other in needed)])
        if not task.is_loop:
            self._execute_turn(dag, *turns[0], parent=dag.name, upstream=upstream)
        elif not turns:
            self._put_aside(dag, task, SKIPPED, "Skipped, empty params")
        else:
            self._execute_loop(dag, task, turns, upstream)

    def _may_begin(self, dag: _Dag, task: Task, needed: list[str]) -> bool:
        """Whether all that the task waits for has ended, and as its `depends` wants; else it is omitted."""
        assert dag.template.dag is not None
        results = {}
        for other in needed:
            node = self.nodes.get(f"{dag.name}.{other}")
            if node is None or not node.fulfilled:
                return False
            results[other] = self._results(node, dag.template.dag.task(other))
        if needed and not expressions.evaluate_bool(task.depends, DEPENDS, results):
            self._put_aside(dag, task, OMITTED, "omitted: depends condition not met")
            return False
        return True

    def _results(self, node: Node, task: Task) -> dict[str, bool]:
        """What `depends` may ask of an ended task."""
        turns = [self.nodes[name].phase for name in node.children] if node.type == TASK_GROUP else []
        true = {"Errored" if node.phase == ERROR else node.phase}
        if SUCCEEDED in turns:
            true.add("AnySucceeded")
        if turns and set(turns) == {FAILED}:
            true.add("AllFailed")
        if node.phase in (SUCCEEDED, SKIPPED, *task.continue_on):
            true.add(FINE)
        return {result: result in true for result in (*RESULTS, FINE)}

    def _turns(self, dag: _Dag, task: Task) -> list[tuple[str, Task]]:
        """The task, or the turns of its loop, after substitution; worked out once."""
        if task.name not in dag.turns:
            assert dag.template.dag is not None
            resolved = scope.resolve(task, self._scope_of(dag, ancestors(dag.template.dag, task)))
            dag.turns[task.name] = scope.turns(resolved) if task.is_loop else [(task.name, resolved)]
        return dag.turns[task.name]

    def _execute_loop(self, dag: _Dag, task: Task, turns: list[tuple[str, Task]], upstream: str) -> None:
        name = f"{dag.name}.{task.name}"
        group = self.nodes.get(name)
        if group is None:
            self._connect(dag, task, name)
            group = _Maker(self, name, task.template, dag.name, dag.name, upstream).node(TASK_GROUP, RUNNING)
        for turn_name, turn in turns:
            if self._execute_turn(dag, turn_name, turn, parent=name, upstream=upstream) is None:
                return
        ended = [self.nodes[f"{dag.name}.{turn_name}"] for turn_name, _ in turns]
        if all(node.fulfilled for node in ended):
            group.run_id = combined(node.run_id for node in ended)
            self._mark(group, next((node.phase for node in reversed(ended) if node.failed), SUCCEEDED))

    def _execute_turn(self, dag: _Dag, turn_name: str, turn: Task, parent: str, upstream: str) -> Node | None:
        name = f"{dag.name}.{turn_name}"
        node = self.nodes.get(name)
        if node is not None and node.fulfilled:
            return node
        if node is None:
            self._connect(dag, turn, name, parent)
            make = _Maker(self, name, turn.template, dag.name, parent, upstream)
            try:
                if not scope.proceeds(turn.when):
                    return self._mark(make.node(SKIPPED_TYPE, SKIPPED), SKIPPED, f"when '{turn.when}' evaluated false")
            except TemplateError as error:
                return self._mark(make.node(SKIPPED_TYPE, ERROR), ERROR, str(error))
        return self._execute(name, turn.template, turn.arguments, dag.name, parent, upstream)

    def _put_aside(self, dag: _Dag, task: Task, phase: str, message: str) -> None:
        """End a task that never runs."""
        name = f"{dag.name}.{task.name}"
        node = _Maker(self, name, task.template, dag.name, dag.name, dag.upstream).node(SKIPPED_TYPE, phase)
        self._connect(dag, task, name)
        self._mark(node, phase, message)

    # The graph

    def _connect(self, dag: _Dag, task: Task, name: str, parent: str | None = None) -> None:
        """Enter `name` as follower of its group, of the last nodes that its task waits for, or of the DAG."""
        if parent is not None and parent != dag.name:
            before = [parent]
        else:
            needed = dependencies(task)
            ends = [end for other in needed for end in graph.last_nodes(self.nodes, f"{dag.name}.{other}")]
            before = ends or [dag.name]
        for other in before:
            if name not in self.nodes[other].children:
                self.nodes[other].children.append(name)

    def _phase_of_leaves(self, dag: _Dag, leaf_phases: dict[str, str]) -> str:
        """The phase of a DAG from those that its last tasks have, or were reached with; "" for one not reached."""
        assert dag.template.dag is not None
        result = SUCCEEDED
        for leaf in dag.leaves:
            phase = leaf_phases[f"{dag.name}.{leaf}"]
            if phase == "":
                result = RUNNING
                if not dag.template.dag.fail_fast:
                    break
            elif phase in (FAILED, ERROR) and phase not in dag.template.dag.task(leaf).continue_on:
                result = phase
                if dag.template.dag.fail_fast:
                    break
        return result

    # Substitution

    def _scope_of(self, dag: _Dag, tasks: list[str]) -> dict[str, str | None]:
        assert dag.template.dag is not None
        known = dict(self.globals)
        for name in tasks:
            node = self.nodes.get(f"{dag.name}.{name}")
            if node is not None:
                turns = [self.nodes[child] for child in node.children] if node.type == TASK_GROUP else []
                template = self.workflow.templates[dag.template.dag.task(name).template]
                known |= scope.of_task(name, node, turns, template)
        return known

    def _global_scope(self, parameters: Mapping[str, str]) -> dict[str, str | None]:
        known = scope.parameter_scope(parameters)
        listed = [{"name": name, "value": value} for name, value in parameters.items()]
        known["workflow.parameters"] = known["workflow.parameters.json"] = as_text(listed)
        known["workflow.name"], known["workflow.uid"] = self.name, self.uid
        known["workflow.namespace"], known["workflow.serviceAccountName"] = "local", "local"
        known["workflow.mainEntrypoint"] = self.workflow.entrypoint
        known["workflow.creationTimestamp"] = scope.timestamp(self._created_at)
        return known

    def _outcome(self, phase: str) -> dict[str, str | None]:
        """What only the exit handler can know."""
        failures = [
            {
                "displayName": node.display_name,
                "message": node.message,
                "templateName": node.template,
                "phase": node.phase,
                "podName": node.name,
                "finishedAt": scope.timestamp(node.finished_at or 0.0),
            }
            for node in self.nodes.values()
            if node.failed and not self._is_after_exit(node.name)
        ]
        text = json.dumps(as_text(failures), ensure_ascii=False)  # quoted once more, as Argo does it
        took = f"{self.clock() - self._created_at:.6f}"
        return {"workflow.status": phase, "workflow.failures": text, "workflow.duration": took}

    def _is_after_exit(self, name: str) -> bool:
        """Whether a node is the exit handler or part of it."""
        handler = f"{self.name}.onExit"
        return name == handler or name.startswith((f"{handler}.", f"{handler}("))

    def _config_map(self, parameter: Parameter) -> str | None:
        key = parameter.config_map_key
        return self._config_maps[key] if key is not None and key in self._config_maps else parameter.default

    # Bookkeeping

    def _mark(self, node: Node, phase: str, message: str | None = None) -> Node:
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

    def add(self, node: Node) -> Node:
        self.nodes[node.name] = node
        if node.type == POD and not node.fulfilled:
            self._active.add(node.name)
        self.changes += 1
        return node


@dataclass
class _Maker:
    """What is known of a node before it is made."""

    engine: Engine
    name: str
    template: str
    boundary: str | None
    parent: str | None
    upstream: str
    created_at: float | None = None
    tries_of: tuple[str, Template] | None = None  # the node that is tried, and its template before the try is filled in

    def node(self, node_type: str, phase: str) -> Node:
        now = self.engine.clock()
        created = now if self.created_at is None else self.created_at
        started = None if node_type == POD else now
        return self.engine.add(
            Node(self.name, node_type, self.template, phase, self.parent, self.boundary, "", created, started)
        )

    def attempt(self, index: int, template: Template) -> _Maker:
        name = f"{self.name}({index})"
        return replace(self, name=name, parent=self.name, created_at=None, tries_of=(self.name, template))


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
