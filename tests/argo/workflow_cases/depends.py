"""What a task makes of the ends of the tasks that it depends on, and a DAG of its last tasks."""

from __future__ import annotations

from workflow_cases.case import Case, loop


def _after(what: str, before: str) -> str:
    """A task `a` of template `before`, and `b` that depends on it."""
    return f"- {{name: a, template: {before}}}\n- {{name: b, template: nothing, depends: {what}}}"


_SKIPPED = "- {name: a, template: ok, when: 'x == y'}\n"
_OMITTED = "- {name: z, template: nothing}\n- {name: a, template: ok, depends: z.Failed}\n"


def _after_skip(what: str) -> str:
    return f"{_SKIPPED}- {{name: b, template: nothing, depends: {what}}}"


def _after_omission(what: str) -> str:
    return f"{_OMITTED}- {{name: b, template: nothing, depends: {what}}}"


CASES = [
    Case("bare name after success", _after("a", "ok"), "a:Succeeded b:Succeeded"),
    Case("bare name after failure", _after("a", "fail"), "a:Failed b:Omitted", "Failed"),
    Case("bare name after an error", _after("a", "mute"), "a:Error b:Omitted", "Error"),
    Case("bare name after a skip", _after_skip("a"), "a:Skipped b:Succeeded"),
    Case("bare name after an omission", _after_omission("a"), "a:Omitted b:Omitted"),
    Case(
        "dependencies",
        "- {name: a, template: ok}\n- {name: b, template: ok, dependencies: [a]}",
        "a:Succeeded b:Succeeded",
    ),
    Case("Succeeded after success", _after("a.Succeeded", "nothing"), "a:Succeeded b:Succeeded"),
    Case("Succeeded after failure", _after("a.Succeeded", "fail"), "a:Failed b:Omitted", "Failed"),
    Case("Succeeded after a skip", _after_skip("a.Succeeded"), "a:Skipped b:Omitted"),
    Case("Failed after failure", _after("a.Failed", "fail"), "a:Failed b:Succeeded"),
    Case("Failed after success", _after("a.Failed", "nothing"), "a:Succeeded b:Omitted"),
    Case("Failed after an error", _after("a.Failed", "broken"), "a:Error b:Omitted", "Error"),
    Case("Errored after an error", _after("a.Errored", "broken"), "a:Error b:Succeeded"),
    Case("Errored after failure", _after("a.Errored", "fail"), "a:Failed b:Omitted", "Failed"),
    Case("Skipped after a skip", _after_skip("a.Skipped"), "a:Skipped b:Succeeded"),
    Case("Skipped after success", _after("a.Skipped", "nothing"), "a:Succeeded b:Omitted"),
    Case("Omitted after an omission", _after_omission("a.Omitted"), "a:Omitted b:Succeeded"),
    Case("Daemoned after success", _after("a.Daemoned", "nothing"), "a:Succeeded b:Omitted"),
    Case("or", _after("a.Failed || a.Succeeded", "fail"), "a:Failed b:Succeeded"),
    Case("not", _after("'!a.Succeeded'", "fail"), "a:Failed b:Succeeded"),
    Case(
        "and over or",
        "- {name: a, template: fail}\n- {name: b, template: nothing}\n- {name: c-d, template: nothing}\n"
        "- {name: e, template: nothing, depends: (a && b) || (a.Failed && c-d)}",
        "a:Failed b:Succeeded c-d:Succeeded e:Succeeded",
    ),
    Case(
        "an omitted leaf hands on the failure before it",
        "- {name: a, template: fail}\n- {name: b, template: ok, depends: a}\n- {name: c, template: ok, depends: b}",
        "a:Failed b:Omitted c:Omitted",
        "Failed",
    ),
    Case(
        "a skipped leaf hands on the failure before it",
        "- {name: a, template: fail}\n- {name: b, template: ok, depends: a.Failed, when: 'x == y'}",
        "a:Failed b:Skipped",
        "Failed",
    ),
    Case(
        "a handled failure in the middle does not fail the DAG",
        _after("a.Failed", "fail") + "\n- {name: c, template: nothing, depends: b}",
        "a:Failed b:Succeeded c:Succeeded",
    ),
    Case(
        "siblings of a failed task still run",
        "- {name: a, template: fail}\n- {name: b, template: ok}\n- {name: c, template: nothing, depends: b}",
        "a:Failed b:Succeeded c:Succeeded",
        "Failed",
    ),
    Case(
        "without failFast too",
        "- {name: a, template: fail}\n- {name: b, template: nothing}",
        "a:Failed b:Succeeded",
        "Failed",
        dag="failFast: false",
    ),
    Case(
        "with failFast the first failed leaf counts",
        "- {name: a, template: fail}\n- {name: b, template: broken}",
        "a:Failed b:Error",
        "Failed",
    ),
    Case(
        "without failFast the last failed leaf counts",
        "- {name: a, template: fail}\n- {name: b, template: broken}",
        "a:Failed b:Error",
        "Error",
        dag="failFast: false",
    ),
    Case(
        "continueOn failed",
        "- {name: a, template: fail, continueOn: {failed: true}}\n- {name: b, template: nothing, dependencies: [a]}",
        "a:Failed b:Succeeded",
    ),
    Case(
        "continueOn error",
        "- {name: a, template: broken, continueOn: {error: true}}\n- {name: b, template: nothing, dependencies: [a]}",
        "a:Error b:Succeeded",
    ),
    Case(
        "continueOn failed after an error",
        "- {name: a, template: broken, continueOn: {failed: true}}\n- {name: b, template: nothing, dependencies: [a]}",
        "a:Error b:Omitted",
        "Error",
    ),
    Case("continueOn of a leaf", "- {name: a, template: fail, continueOn: {failed: true}}", "a:Failed"),
    Case(
        "continueOn of a loop",
        loop("'0', '3'").replace("withItems", "continueOn: {failed: true}, withItems")
        + "- {name: b, template: nothing, dependencies: [a]}",
        "a:Failed b:Succeeded",
    ),
]
