"""The scheduler alone, with scripted pods and a clock of its own: order, limits, back-off, deadlines.

Random DAGs are compared with a plain recursive rule for what becomes of each task.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.argo import Workflow
from pipeline.argo.check import RESULTS
from pipeline.argo.engine import Engine, Pod
from pipeline.argo.model import Container, Dag, Task, Template
from pipeline.argo.nodes import ERROR, FAILED, OMITTED, PENDING, SUCCEEDED
from pipeline.argo.yamlfile import Where

Make = Callable[[str], Workflow]
WHERE = Where("test.yaml", 1)


class Script:
    """Drives an engine: each pod ends as `outcome` says (phase, exit code), one after the other or all at once."""

    def __init__(self, workflow: Workflow, **options: object) -> None:
        self.now = 1000.0
        self.engine = Engine(workflow, {}, name="w", uid="u", clock=lambda: self.now, **options)  # type: ignore[arg-type]
        self.started: list[str] = []

    def ready(self) -> list[Pod]:
        pods = self.engine.advance()
        for pod in pods:
            self.engine.started(pod.name)
            self.started.append(pod.name.removeprefix("w."))
        return pods

    def end(self, name: str, code: int = 0) -> None:
        self.engine.finished(f"w.{name}", FAILED if code else SUCCEEDED, f"code {code}", exit_code=code)

    def run(self, codes: dict[str, int]) -> None:
        while pods := self.ready():
            for pod in pods:
                name = pod.name.removeprefix("w.")
                self.end(name, codes.get(name, 0))

    def phase(self, name: str) -> str:
        return self.engine.nodes[f"w.{name}"].phase


def test_pods_begin_when_what_they_wait_for_has_ended(make: Make) -> None:
    script = Script(
        make(
            """
            templates:
            - name: main
              dag:
                tasks:
                - {name: a, template: t}
                - {name: b, template: t}
                - {name: c, template: t, depends: a && b}
            - {name: t, container: {command: [echo]}}
            """
        )
    )
    assert [pod.name for pod in script.ready()] == ["w.a", "w.b"]
    script.end("a")
    assert script.ready() == []
    script.end("b")
    assert [pod.name for pod in script.ready()] == ["w.c"]
    script.end("c")
    assert script.ready() == []
    assert script.engine.phase == SUCCEEDED


BACKOFF = """
templates:
- name: main
  dag: {tasks: [{name: a, template: t}]}
- name: t
  retryStrategy:
    limit: 10
    expression: asInt(lastRetry.exitCode) == 75
    backoff: {duration: 10s, factor: 3, cap: 1m, maxDuration: 5m}
  container: {command: [echo]}
"""


def test_backoff_grows_to_its_cap_and_gives_up_after_its_longest_duration(make: Make) -> None:
    script = Script(make(BACKOFF))
    waits = []
    script.ready()
    for attempt in range(10):
        script.end(f"a({attempt})", 75)
        assert script.ready() == []
        if script.engine.finished_at_all:
            break
        assert script.engine.wake_at is not None
        waits.append(script.engine.wake_at - script.now)
        script.now = script.engine.wake_at - 0.1
        assert script.ready() == []
        script.now += 0.1
        assert len(script.ready()) == 1
    assert waits == [10, 30, 60, 60, 60, 60]
    assert script.engine.nodes["w.a"].message == "Backoff would exceed max duration limit"


def test_a_failure_of_its_own_is_told_at_once(make: Make) -> None:
    script = Script(make(BACKOFF))
    script.ready()
    script.end("a(0)", 2)
    script.ready()
    assert script.engine.phase == FAILED
    assert script.engine.nodes["w.a"].message == "retryStrategy.expression evaluated to false"


LOOP = """
%s
templates:
- name: main
  %s
  dag: {tasks: [{name: a, template: t, withSequence: {count: 7}}]}
- name: t
  %s
  container: {command: [echo]}
"""


@pytest.mark.parametrize(
    ("workflow", "dag", "template", "options", "limit"),
    [
        ("parallelism: 3", "", "", {}, 3),
        ("", "parallelism: 2", "", {}, 2),
        ("", "", "synchronization: {mutexes: [{name: m}]}", {}, 1),
        ("", "", "synchronization: {semaphores: [{configMapKeyRef: {name: c, key: k}}]}", {}, 1),
        (
            "",
            "",
            "synchronization: {semaphores: [{configMapKeyRef: {name: c, key: k}}]}",
            {"semaphores": {"c/k": 4}},
            4,
        ),
        ("", "", "", {}, 7),
    ],
)
def test_never_more_at_once_than_a_limit_allows(
    workflow: str, dag: str, template: str, options: dict[str, object], limit: int, make: Make
) -> None:
    spec = "\n".join(line for line in (LOOP % (workflow, dag, template)).splitlines() if line.strip())
    script = Script(make(spec), **options)
    running = [pod.name for pod in script.ready()]
    most = len(running)
    while running:
        script.end(running.pop(0).removeprefix("w."))
        running += [pod.name for pod in script.ready()]
        most = max(most, len(running))
    assert most == limit
    assert len(script.started) == 7
    assert script.engine.phase == SUCCEEDED


def test_a_lock_is_kept_through_retries_and_freed_after_the_last(make: Make) -> None:
    script = Script(
        make(
            """
            templates:
            - name: main
              dag: {tasks: [{name: a, template: t}, {name: b, template: t}]}
            - name: t
              synchronization: {mutexes: [{name: m}]}
              retryStrategy: {limit: 1}
              container: {command: [echo]}
            """
        )
    )
    assert [pod.name for pod in script.ready()] == ["w.a(0)"]
    assert script.phase("b") == PENDING
    assert "mutex m" in script.engine.nodes["w.b"].message
    script.end("a(0)", 1)
    assert [pod.name for pod in script.ready()] == ["w.a(1)"]
    script.end("a(1)", 1)
    assert [pod.name for pod in script.ready()] == ["w.b(0)"]


def test_after_the_workflows_deadline_nothing_begins_but_the_exit_handler(make: Make) -> None:
    script = Script(
        make(
            """
            activeDeadlineSeconds: 10
            onExit: t
            templates:
            - name: main
              dag: {tasks: [{name: a, template: t}, {name: b, template: t, depends: a}]}
            - {name: t, container: {command: [echo]}}
            """
        )
    )
    script.ready()
    script.now += 11
    script.end("a")
    assert [pod.name for pod in script.ready()] == ["w.onExit"]
    assert script.phase("b") == FAILED
    script.engine.finished("w.onExit", SUCCEEDED, exit_code=0)
    script.ready()
    assert script.engine.phase == FAILED


def test_the_exit_handler_knows_what_happened(make: Make) -> None:
    workflow = make(
        """
        onExit: bye
        templates:
        - name: main
          dag: {tasks: [{name: a, template: t}]}
        - {name: t, container: {command: [echo]}}
        - name: bye
          container:
            command: [echo, "{{workflow.status}}", "{{workflow.failures}}", "{{workflow.name}} {{workflow.uid}}"]
        """
    )
    script = Script(workflow)
    script.ready()
    script.end("a", 3)
    (pod,) = script.ready()
    assert pod.template.container is not None
    _, status, failures, names = pod.template.container.command
    assert (status, names) == (FAILED, "w u")
    listed = {failure["displayName"]: failure["message"] for failure in json.loads(json.loads(failures))}
    assert listed == {"w": "", "a": "code 3"}
    script.engine.finished(pod.name, FAILED, "no")
    script.ready()
    assert script.engine.phase == FAILED
    assert script.engine.message == ""


def test_a_failed_exit_handler_fails_a_workflow_that_succeeded(make: Make) -> None:
    script = Script(make("onExit: main\ntemplates: [{name: main, container: {command: [echo]}}]"))
    (pod,) = script.ready()
    script.engine.finished(pod.name, SUCCEEDED)
    (pod,) = script.ready()
    assert pod.name == "w.onExit"
    script.engine.finished(pod.name, ERROR, "lost")
    script.ready()
    assert (script.engine.phase, script.engine.message) == (ERROR, "lost")


def test_a_thousand_pods_are_scheduled_in_seconds(make: Make) -> None:
    script = Script(make((LOOP % ("", "", "")).replace("count: 7", "count: 1000").replace("\n  \n", "\n").strip()))
    pods = script.ready()
    assert len(pods) == 1000
    for pod in pods[:50]:
        script.end(pod.name.removeprefix("w."))
        script.ready()
    assert script.phase("a") == "Running"


# Random DAGs against a plain rule

_results = st.sampled_from([*RESULTS[:5], ""])


@st.composite
def _dags(draw: st.DrawFn) -> tuple[Dag, dict[str, int]]:
    tasks = []
    for index in range(draw(st.integers(1, 8))):
        names = [task.name for task in tasks]
        chosen = draw(st.lists(st.sampled_from(names), unique=True, max_size=3)) if names else []
        terms = [f"{name}.{result}" if (result := draw(_results)) else name for name in chosen]
        depends = draw(st.sampled_from([" && ", " || "])).join(terms)
        tasks.append(Task(WHERE, f"t{index}", "work", depends=depends))
    codes = {task.name: draw(st.sampled_from([0, 0, 1])) for task in tasks}
    return Dag(WHERE, tuple(tasks)), codes


def _expected(dag: Dag, codes: dict[str, int]) -> dict[str, str]:
    """What becomes of each task, from its `depends` text alone."""
    phases: dict[str, str] = {}
    for task in dag.tasks:  # a task only depends on those before it
        text = task.depends
        for name in sorted(phases, reverse=True):
            for result in RESULTS[:5]:
                phase = {"Errored": ERROR}.get(result, result)
                text = text.replace(f"{name}.{result}", str(phases[name] == phase))
            text = text.replace(name, str(phases[name] == SUCCEEDED))
        runs = not text or eval(text.replace("&&", "and").replace("||", "or"))
        phases[task.name] = OMITTED if not runs else FAILED if codes[task.name] else SUCCEEDED
    return phases


@given(_dags())
@settings(deadline=None)
def test_random_dags(drawn: tuple[Dag, dict[str, int]]) -> None:
    dag, codes = drawn
    work = Template(WHERE, "work", container=Container(WHERE, ("echo",)))
    workflow = Workflow(WHERE, "w", "", "main", {"main": Template(WHERE, "main", dag=dag), "work": work})
    script = Script(workflow)
    script.run(codes)
    expected = _expected(dag, codes)
    assert {task.name: script.phase(task.name) for task in dag.tasks} == expected
    assert sorted(script.started) == sorted(name for name, phase in expected.items() if phase != OMITTED)
    assert script.engine.finished_at_all
    if all(phase == SUCCEEDED for phase in expected.values()):
        assert script.engine.phase == SUCCEEDED


def test_the_package_shows_only_what_it_promises() -> None:
    import pipeline.argo as package

    assert sorted(package.__all__) == sorted(
        ["Result", "View", "Workflow", "describe", "exit_code", "for_console", "load", "run", "settled_parameters"]
    )
    source = Path(package.__file__).parent
    imports = {line for file in source.glob("*.py") for line in file.read_text().splitlines() if "pipeline" in line}
    foreign = {line for line in imports if line.startswith(("from pipeline", "import pipeline"))}
    assert all(
        line.startswith(("from pipeline.argo", "from pipeline.errors", "from pipeline.yamlevents")) for line in foreign
    )
