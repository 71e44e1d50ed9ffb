"""Retries: by count, by policy, by exit code."""

from __future__ import annotations

from workflow_cases.case import Case, out, task

_A = "- {name: a, template: again}\n"
_MUTE = "outputs: {parameters: [{name: value, valueFrom: {path: /tmp/absent}}]}"


def _again(strategy: str, script: str = "exit 1", more: str = "") -> str:
    return f"- {{name: again, retryStrategy: {{{strategy}}}, container: {{args: ['{script}']}}, {more}}}"


def _by_code(code: str, retried: bool) -> Case:
    """The rule of the project's own workflows: a container that ended like this, and what becomes of it."""
    return Case(
        f"exit code {code} is {'tried again' if retried else 'final'}",
        _A,
        "a:Succeeded a(0):Failed a(1):Succeeded" if retried else "a:Failed a(0):Failed !a(1)",
        "Succeeded" if retried else "Failed",
        templates=_again(
            'limit: 3, retryPolicy: Always, expression: "asInt(lastRetry.exitCode) in [74, 75, 137, 143]"',
            f"exit $(( {{{{retries}}}} ? 0 : {code} ))",
        ),
    )


CASES = [
    Case(
        "retried until the limit",
        _A,
        "a:Failed a(0):Failed a(1):Failed a(2):Failed !a(3)",
        "Failed",
        templates=_again("limit: 2"),
    ),
    Case("a limit of none", _A, "a:Failed a(0):Failed !a(1)", "Failed", templates=_again("limit: 0")),
    Case(
        "an error is not retried on failure",
        _A,
        "a:Error a(0):Error !a(1)",
        "Error",
        templates=_again("limit: 2", "true", _MUTE),
    ),
    Case(
        "a failure is not retried on error",
        _A,
        "a:Failed a(0):Failed !a(1)",
        "Failed",
        templates=_again("limit: 2, retryPolicy: OnError"),
    ),
    Case(
        "an error is retried on error",
        _A,
        "a:Error a(0):Error a(1):Error !a(2)",
        "Error",
        templates=_again("limit: 1, retryPolicy: OnError", "true", _MUTE),
    ),
    _by_code("75", True),
    _by_code("137", True),
    _by_code("143", True),
    _by_code("1", False),
    _by_code("2", False),
    Case(
        "a container killed from inside",
        _A,
        "a:Succeeded a(0):Failed a(1):Succeeded",
        templates=_again(
            'limit: 3, expression: "asInt(lastRetry.exitCode) == 137"',
            "test {{retries}} = 1 || kill -9 $$$$",
        ),
    ),
    Case(
        "an expression of status and message",
        _A + "- {name: b, template: nothing, depends: a.Failed}",
        "a:Failed a(0):Failed !a(1) b:Succeeded",
        templates=_again(
            "limit: 5, expression: \"lastRetry.status == 'Error' || lastRetry.message matches '(?i)LOST'\"", "exit 3"
        ),
    ),
    Case(
        "an expression of the number of tries",
        _A,
        "a:Failed a(0):Failed a(1):Failed !a(2)",
        "Failed",
        templates=_again('limit: 5, expression: "asInt(retries) < 1"'),
    ),
    Case(
        "outputs come from the last try",
        _A + task("b", "give", out("a"), "depends: a"),
        "b=try_1",
        templates=_again(
            "limit: 5",
            "echo try {{retries}} > /tmp/value; exit $(( {{retries}} ? 0 : 1 ))",
            "outputs: {parameters: [{name: value, valueFrom: {path: /tmp/value}}]}",
        ),
    ),
    Case(
        "a try knows of the one before",
        _A,
        "a=7_Failed",
        templates=_again(
            "limit: 1",
            "echo {{lastRetry.exitCode}} {{lastRetry.status}} > /tmp/value; exit $(( {{retries}} ? 0 : 7 ))",
            "outputs: {parameters: [{name: value, valueFrom: {path: /tmp/value}}]}",
        ),
    ),
    Case(
        "with a back-off",
        _A,
        "a:Failed a(1):Failed !a(2)",
        "Failed",
        templates=_again("limit: 1, backoff: {duration: 1s, factor: 2, cap: 3s}"),
    ),
    Case(
        "a limit from a parameter",
        _A,
        "a:Failed a(1):Failed !a(2)",
        "Failed",
        templates=_again("limit: '{{workflow.parameters.retries}}'"),
        spec="arguments: {parameters: [{name: retries, value: '1'}]}",
    ),
    Case(
        "a DAG is retried",
        _A,
        "a:Failed a(0):Failed a(1):Failed a(1).inner:Failed !a(2)",
        "Failed",
        templates="- {name: again, retryStrategy: {limit: 1}, dag: {tasks: [{name: inner, template: fail}]}}",
    ),
    Case(
        "turns of a loop are retried each by itself",
        task("a", "again", "{{item}}", "withItems: ['0', '75']", "code"),
        "a:Failed a(0:0):Succeeded a(0:0)(0):Succeeded a(1:75):Failed a(1:75)(1):Failed",
        "Failed",
        templates=_again(
            'limit: 1, expression: "asInt(lastRetry.exitCode) == 75"',
            "exit {{inputs.parameters.code}}",
            "inputs: {parameters: [{name: code}]}",
        ),
    ),
    Case(
        "the duration of a try is a whole number of seconds",
        _A,
        "a:Failed a(0):Failed a(1):Failed !a(2)",
        "Failed",
        templates=_again('limit: 1, expression: "asInt(lastRetry.duration) >= 0"'),
    ),
    Case(
        "a try knows how long the one before took",
        _A,
        "a=1",
        templates=_again(
            "limit: 1",
            "echo $(( {{lastRetry.duration}} >= 0 )) > /tmp/value; exit $(( {{retries}} ? 0 : 7 ))",
            "outputs: {parameters: [{name: value, valueFrom: {path: /tmp/value}}]}",
        ),
    ),
]
