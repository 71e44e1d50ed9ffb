"""Deadlines, locks, parallelism, and the exit handler."""

from __future__ import annotations

from workflow_cases.case import Case, loop, task

_SLOW = "- {name: slow, %s, container: {args: [exec sleep 30]}}"
_THREE = "- {name: a, template: held, withSequence: {count: 3}}"
_HELD = "- {name: held, synchronization: {%s}, container: {args: ['true']}}"
_HANDLER = """
- name: bye
  container: {args: ["echo '{{workflow.status}}' > /tmp/value"]}
  outputs: {parameters: [{name: value, valueFrom: {path: /tmp/value}}]}
"""


def _semaphore(key: str) -> str:
    return f"semaphores: [{{configMapKeyRef: {{name: settings, key: {key}}}}}]"


_ALL = "a:Succeeded a(0:0):Succeeded a(1:1):Succeeded a(2:2):Succeeded"

CASES = [
    Case(
        "activeDeadlineSeconds",
        "- {name: a, template: slow}\n- {name: b, template: nothing, depends: a.Failed}",
        "a:Failed b:Succeeded",
        templates=_SLOW % "activeDeadlineSeconds: 1",
    ),
    Case(
        "timeout, not reached",
        "- {name: a, template: quick}",
        "a:Succeeded",
        templates="- {name: quick, timeout: 10m, container: {args: ['true']}}",
    ),
    Case(
        "a deadline is not retried by exit code",
        "- {name: a, template: slow}",
        "a:Failed a(0):Failed !a(1)",
        "Failed",
        templates=_SLOW
        % 'activeDeadlineSeconds: 1, retryStrategy: {limit: 2, expression: "asInt(lastRetry.exitCode) == 75"}',
    ),
    Case(
        "the deadline of the workflow",
        "- {name: a, template: slow}\n- {name: b, template: ok, depends: a}",
        "a:Failed onExit:Succeeded",
        "Failed",
        templates=_SLOW.replace(" %s,", "") + "\n- {name: bye, dag: {tasks: [{name: done, template: nothing}]}}",
        spec="activeDeadlineSeconds: 2\nonExit: bye",
    ),
    Case("a semaphore", _THREE, _ALL, templates=_HELD % _semaphore("two")),
    Case("a mutex", _THREE, _ALL, templates=_HELD % "mutexes: [{name: alone}]"),
    Case("a semaphore and a mutex", _THREE, _ALL, templates=_HELD % f"{_semaphore('two')}, mutexes: [{{name: both}}]"),
    Case(
        "a lock that a failure frees",
        "- {name: a, template: held}\n- {name: b, template: held, depends: a.Failed}",
        "a:Failed b:Failed",
        "Failed",
        templates="- {name: held, synchronization: {mutexes: [{name: freed}]}, container: {args: ['exit 1']}}",
    ),
    Case(
        "a lock held through retries",
        "- {name: a, template: held, withSequence: {count: 2}}",
        "a:Failed a(0:0)(1):Failed a(1:1)(1):Failed",
        "Failed",
        templates="- {name: held, retryStrategy: {limit: 1}, synchronization: {"
        + _semaphore("one")
        + "}, container: {args: ['exit 1']}}",
    ),
    Case(
        "a lock of a DAG",
        "- {name: a, template: held, withSequence: {count: 2}}",
        "a:Succeeded a(0:0).inner:Succeeded a(1:1).inner:Succeeded",
        templates="""
- {name: held, synchronization: {mutexes: [{name: dag}]}, dag: {tasks: [{name: inner, template: ok}]}}
""",
    ),
    Case(
        "parallelism of the workflow",
        loop("'0', '1', '0'"),
        "a:Failed a(2:0):Succeeded",
        "Failed",
        spec="parallelism: 1",
    ),
    Case("parallelism of a DAG", loop("'0', '1', '0'"), "a:Failed a(2:0):Succeeded", "Failed", main="parallelism: 1"),
    Case(
        "an exit handler after success",
        "- {name: a, template: nothing}",
        "onExit=Succeeded",
        templates=_HANDLER,
        spec="onExit: bye",
    ),
    Case(
        "an exit handler after failure",
        "- {name: a, template: fail}",
        "onExit=Failed",
        "Failed",
        templates=_HANDLER,
        spec="onExit: bye",
    ),
    Case(
        "an exit handler after an error",
        "- {name: a, template: broken}",
        "onExit=Error",
        "Error",
        templates=_HANDLER,
        spec="onExit: bye",
    ),
    Case(
        "an exit handler that fails",
        "- {name: a, template: nothing}",
        "a:Succeeded onExit:Failed",
        "Failed",
        templates="- {name: bye, container: {args: ['exit 4']}}",
        spec="onExit: bye",
    ),
    Case(
        "an exit handler that is a DAG",
        "- {name: a, template: nothing}",
        "onExit:Succeeded onExit.good:Succeeded onExit.bad:Skipped",
        templates="""
- name: bye
  dag:
    tasks:
    - {name: good, template: nothing, when: '{{workflow.status}} == Succeeded'}
    - {name: bad, template: nothing, when: '{{workflow.status}} != Succeeded'}
""",
        spec="onExit: bye",
    ),
    Case(
        "a program that there is not",
        "- {name: a, template: gone}\n- {name: b, template: nothing, depends: a.Failed}",
        "a:Failed b:Succeeded",
        templates="- {name: gone, container: {command: [/no/such/program]}}",
    ),
    Case(
        "an argument that is not a number where one is needed",
        task("a", "slow", "soon"),
        "a:Error",
        "Error",
        templates="""
- name: slow
  inputs: {parameters: [{name: value}]}
  activeDeadlineSeconds: '{{inputs.parameters.value}}'
  container: {args: ["true"]}
""",
    ),
]
