"""Deciding what runs next, with Argo's rules and no processes: phases in, pods that are ready out.

`Engine.advance` walks the workflow from its entry point, as Argo's controller does each time something changes:
what has ended is passed over, what may start is returned as a `Pod`. The caller starts pods, and reports back with
`started` and `finished`. Here are the rules for templates: limits, locks, retries, the exit handler; those for the
tasks of a DAG are in `dag`. Both follow the controller's `operator.go` and `dag.go` (Argo Workflows 4.0); the ones that
surprise are:

* a failed task does not stop its siblings: a DAG ends when no node of it is left to run;
* an omitted or skipped task passes on the phase of what came before it, so a DAG whose last task is omitted
  because of a failure has failed;
* an empty loop is one Skipped node; a loop's group is Failed or Error as the last of its turns that failed;
* the state of a retried node is that of its last try.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pipeline.argo import expressions, templating
from pipeline.argo.dag import DagRun
from pipeline.argo.expressions import EXPR, ExpressionError
from pipeline.argo.model import Parameter, Retry, Template, Workflow
from pipeline.argo.nodes import (
    DAG,
    ERROR,
    FAILED,
    PENDING,
    POD,
    RETRY,
    RUNNING,
    SKIPPED_TYPE,
    SUCCEEDED,
    Ledger,
    NewNode,
    Node,
)
from pipeline.argo.templating import TemplateError
from pipeline.argo.yamlfile import as_text

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
        self.ledger = Ledger(clock, semaphores or {})
        self.phase, self.message = PENDING, ""
        self.wake_at: float | None = None  # when a back-off ends
        self._config_maps = config_maps or {}
        self._dags: dict[str, DagRun] = {}
        self._ready: list[Pod] = []
        self._depth = 0
        self._created_at = clock()
        self._walked = -1  # `changes` after the last walk
        self.globals = templating.of_run(parameters, name, uid, workflow.entrypoint, self._created_at)
        self._arguments = tuple(replace(p, value=parameters[p.name]) for p in workflow.parameters)

    # What the caller uses

    @property
    def nodes(self) -> dict[str, Node]:
        return self.ledger.nodes

    @property
    def changes(self) -> int:
        """Counts everything that happened to the nodes."""
        return self.ledger.changes

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
        self.ledger.mark(self.nodes[name], RUNNING)

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
        self.ledger.mark(node, phase, message)

    # The walk

    def _walk(self) -> None:
        self.phase = RUNNING
        root = self.execute(NewNode(self.ledger, self.name, self.workflow.entrypoint), self._arguments)
        if root is None or not root.fulfilled:
            return
        phase = root.phase if root.failed else SUCCEEDED
        self.message = root.message
        if self.workflow.on_exit is not None:
            failed = [node for node in self.nodes.values() if node.failed and not self._is_after_exit(node.name)]
            self.globals |= templating.of_end(phase, failed, self.clock() - self._created_at)
            new = NewNode(self.ledger, f"{self.name}.onExit", self.workflow.on_exit)
            handler = self.execute(new, self._arguments)
            if handler is None or not handler.fulfilled:
                return
            if phase == SUCCEEDED and handler.failed:
                phase, self.message = handler.phase, handler.message
        self.phase = phase
        self.ledger.changes += 1

    def execute(self, new: NewNode, arguments: tuple[Parameter, ...]) -> Node | None:
        """Bring one node as far as it can get; `None` while it may not begin because of a parallelism limit."""
        node = self.nodes.get(new.name)
        if node is not None and (node.fulfilled or self._is_at_work(node)):
            return node
        if node is None and not self._has_room(new.boundary):
            return None
        self._depth += 1
        try:
            if self._depth > _DEEPEST:
                raise TemplateError(f"templates call each other more than {_DEEPEST} deep; does one call itself?")
            template = self._resolved(new.name, new.template, arguments)
            return self._execute_locked(new, template)
        except TemplateError as error:
            failed = self.nodes.get(new.name) or new.make(SKIPPED_TYPE, ERROR)
            return self.ledger.mark(failed, ERROR, str(error))
        finally:
            self._depth -= 1

    def _execute_locked(self, new: NewNode, template: Template) -> Node:
        if template.locks:
            locked = self.ledger.lock(new, template)
            if locked is None:
                return self.nodes[new.name]
            new = locked
        if template.retry is not None:
            return self._execute_retries(new, template, template.retry)
        return self._execute_once(new, template)

    def _is_at_work(self, node: Node) -> bool:
        """Whether nothing can be done for a node but wait for its process."""
        if node.type == RETRY and node.children:
            node = self.nodes[node.children[-1]]
        return node.type == POD and not node.fulfilled and not node.waiting_for

    def _execute_once(self, new: NewNode, template: Template) -> Node:
        return self._execute_dag(new, template) if template.dag is not None else self._execute_pod(new, template)

    def _execute_dag(self, new: NewNode, template: Template) -> Node:
        node = self.nodes.get(new.name) or new.make(DAG, RUNNING)
        if new.name not in self._dags:
            self._dags[new.name] = DagRun(self, new.name, template, new.upstream)
        self._dags[new.name].advance()
        return node

    def _resolved(self, name: str, template_name: str, arguments: tuple[Parameter, ...]) -> Template:
        """The template with its inputs settled and their tags replaced."""
        if name in self._dags:
            return self._dags[name].template
        template = templating.inputs(self.workflow.templates[template_name], arguments, self._config_map)
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
        if limit and self.ledger.active_pods >= limit:
            return False
        around = self._dags.get(boundary or "")
        if around is None or around.template.parallelism is None:
            return True
        return self.ledger.active_in(boundary) < around.template.parallelism

    # Pods and their tries

    def _execute_pod(self, new: NewNode, template: Template) -> Node:
        node = self.nodes.get(new.name)
        if node is not None:
            return node
        node = new.make(POD, PENDING)
        outlives = self._is_after_exit(new.name)
        if self.deadline is not None and self.clock() >= self.deadline and not outlives:
            return self.ledger.mark(node, FAILED, "Step exceeded its deadline")
        try:
            templating.refuse_tags((template.container, template.outputs))
        except TemplateError as error:
            return self.ledger.mark(node, ERROR, str(error))
        node_name, node_template = new.tries_of or (new.name, template)
        around = self._dags.get(new.boundary or "")
        wants_result = around is not None and around.reads_result_of(new.name)
        pod = Pod(new.name, template, node_name, node_template, new.upstream, wants_result, outlives)
        earlier = self.recall(pod)
        if earlier is not None:
            return self._take_over(node, earlier)
        self._ready.append(pod)
        return node

    def _take_over(self, node: Node, earlier: Node) -> Node:
        facts = "started_at finished_at outputs result exit_code progress digest run_id"
        for fact in facts.split():
            setattr(node, fact, getattr(earlier, fact))
        return self.ledger.mark(node, earlier.phase, earlier.message)

    def _execute_retries(self, new: NewNode, template: Template, retry: Retry) -> Node:
        node = self.nodes.get(new.name) or new.make(RETRY, RUNNING)
        tries = [self.nodes[name] for name in node.children]
        last = tries[-1] if tries else None
        if last is not None and last.fulfilled:
            if not last.failed:
                return self._end_retries(node, last, SUCCEEDED, "")
            try:
                verdict = _verdict(retry, tries, self.clock(), self.deadline)
            except (ExpressionError, TemplateError) as error:
                return self._end_retries(node, last, ERROR, f"{retry.where}: {error}")
            if isinstance(verdict, str):
                return self._end_retries(node, last, last.phase, verdict)
            if verdict > self.clock():
                self.wake_at = min(at for at in (verdict, self.wake_at, self.deadline) if at is not None)
                waited = verdict - (last.finished_at or 0)
                return self.ledger.mark(node, RUNNING, f"Backoff for {waited:.0f} seconds")
            self.ledger.mark(node, RUNNING, "")
        if last is None or last.fulfilled:
            if last is not None and not self._has_room(new.boundary):
                return node
            attempt = new.attempt(len(tries), template)
            node.children.append(attempt.name)
        else:
            attempt = new.attempt(len(tries) - 1, template)
        self._execute_once(attempt, templating.fill(template, _tags_of_try(tries)))
        return node

    def _end_retries(self, node: Node, last: Node, phase: str, message: str) -> Node:
        node.outputs, node.result, node.exit_code = last.outputs, last.result, last.exit_code
        node.digest, node.run_id = last.digest, last.run_id
        return self.ledger.mark(node, phase, message)

    def _is_after_exit(self, name: str) -> bool:
        """Whether a node is the exit handler or part of it."""
        handler = f"{self.name}.onExit"
        return name == handler or name.startswith((f"{handler}.", f"{handler}("))

    def _config_map(self, parameter: Parameter) -> str | None:
        key = parameter.config_map_key
        return self._config_maps[key] if key is not None and key in self._config_maps else parameter.default


def _verdict(retry: Retry, tries: list[Node], now: float, deadline: float | None) -> str | float:
    """Say why there is no further try, or else the time at which it may begin (all times in seconds since 1970).

    The rules and their messages are Argo's, but for one: a failure that is not to be retried is told at once, not
    after the back-off. Raises `ExpressionError` or `TemplateError` for a strategy that cannot be evaluated.
    """
    last = tries[-1]
    if deadline is not None and now >= deadline:
        return f"retry exceeded workflow deadline {templating.timestamp(deadline)}"
    begin, futile = _backoff(retry, tries, now)
    if futile:
        return futile
    if retry.policy not in ("Always", "OnFailure" if last.phase == FAILED else "OnError"):
        return last.message
    if retry.limit is not None and len(tries) > templating.whole_number(retry.limit, "retryStrategy.limit"):
        return "No more retries left"
    if retry.expression:
        known = {"lastRetry": _facts(last), "retries": str(len(tries) - 1)}
        if not expressions.evaluate_bool(retry.expression, EXPR, known):
            return "retryStrategy.expression evaluated to false"
    return begin


def _backoff(retry: Retry, tries: list[Node], now: float) -> tuple[float, str]:
    """When the next try may begin, and why waiting for it would be futile, if it would."""
    if retry.backoff_duration is None:
        return 0.0, ""
    wait = templating.seconds(retry.backoff_duration, "backoff.duration")
    if retry.backoff_factor is not None:
        factor = templating.whole_number(retry.backoff_factor, "backoff.factor")
        wait *= float(factor) ** min(len(tries) - 1, 100) if factor > 0 else 1
    if retry.backoff_cap is not None:
        wait = min(wait, templating.seconds(retry.backoff_cap, "backoff.cap"))
    begin = (tries[-1].finished_at or 0.0) + wait
    if retry.backoff_max_duration is not None:
        longest = templating.seconds(retry.backoff_max_duration, "backoff.maxDuration")
        end = (tries[0].started_at or tries[0].created_at) + longest
        if now > end:
            return begin, "Max duration limit exceeded"
        if begin > end:
            return begin, "Backoff would exceed max duration limit"
    return begin, ""


def _tags_of_try(tries: list[Node]) -> dict[str, str | None]:
    """The tags `retries` and `lastRetry.*` inside a try; the first has none before it."""
    ended = [attempt for attempt in tries if attempt.fulfilled]
    facts = {"exitCode": "0", "status": "", "message": "", "duration": "0"}
    if ended:
        facts = _facts(ended[-1]) | ({"exitCode": "0"} if ended[-1].exit_code is None else {})
    return {"retries": str(len(ended)), **{f"lastRetry.{key}": value for key, value in facts.items()}}


def _facts(last: Node) -> dict[str, str]:
    """`lastRetry` of a retry expression: all texts; an exit code that nobody knows is -1."""
    end = last.finished_at or 0.0
    ran = int(end) - int(last.started_at or end)  # a status on a cluster keeps whole seconds
    code = -1 if last.exit_code is None else last.exit_code
    return {"exitCode": str(code), "status": last.phase, "message": last.message, "duration": str(ran)}
