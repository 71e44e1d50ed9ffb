"""What tasks hand on: output parameters, results, exit codes; also of tasks that never ran."""

from __future__ import annotations

from workflow_cases.case import Case, out, task

_WRITE = """
- name: write
  container: {args: ["%s > /tmp/value"]}
  outputs: {parameters: [{name: value, valueFrom: {path: /tmp/value}}]}
"""

CASES = [
    Case(
        "an output is passed on",
        task("a", "give", "7") + task("b", "give", f"got {out('a')}", "depends: a"),
        "a=7 b=got_7",
    ),
    Case(
        "an output of several lines",
        "- {name: a, template: write}",
        "a=one\ntwo",
        templates=_WRITE % "printf 'one\\\\ntwo\\\\n'",
    ),
    Case(
        "two line ends at the end",
        "- {name: a, template: write}",
        "a=one\n",
        templates=_WRITE % "printf 'one\\\\n\\\\n'",
    ),
    Case(
        "an empty output",
        "- {name: a, template: write}\n" + task("b", "give", f"<{out('a')}>", "depends: a"),
        "a= b=<>",
        templates=_WRITE % "printf ''",
    ),
    Case(
        "default of an output without its file",
        "- {name: a, template: default}\n" + task("b", "give", out("a"), "depends: a"),
        "a=fallback b=fallback",
    ),
    Case("an output without its file", "- {name: a, template: mute}", "a:Error", "Error"),
    Case(
        "outputs of a failed task",
        "- {name: a, template: half}\n" + task("b", "give", out("a"), "depends: a.Failed"),
        "a=written b=written",
        templates="""
- name: half
  container: {args: ["echo written > /tmp/value; exit 3"]}
  outputs: {parameters: [{name: value, valueFrom: {path: /tmp/value}}]}
""",
    ),
    Case(
        "outputs of a loop are a JSON list",
        task("a", "give", "{{item}}", "withItems: [u, v]") + task("b", "give", out("a"), "depends: a"),
        'b=["u","v"]',
    ),
    Case(
        "lists in outputs of a loop stay lists",
        task("a", "give", "[{{item}}]", "withItems: [1, 2]") + task("b", "give", out("a"), "depends: a"),
        "b=[[1],[2]]",
    ),
    Case("result", task("a", "print", "42") + task("b", "give", "{{tasks.a.outputs.result}}", "depends: a"), "b=42"),
    Case(
        "results of a loop",
        task("a", "print", "{{item}}", "withItems: [1, 2]")
        + task("b", "give", "{{tasks.a.outputs.result}}", "depends: a"),
        "b=[1,2]",
    ),
    Case(
        "exit code",
        task("a", "code", "9", "", "code") + task("b", "give", "{{tasks.a.exitCode}}", "depends: a.Failed"),
        "b=9",
    ),
    Case(
        "a skipped task gives the default of its output",
        "- {name: a, template: default, when: 'x == y'}\n" + task("b", "give", out("a"), "depends: a"),
        "b=fallback",
    ),
    Case(
        "an omitted task gives the default of its output",
        "- {name: z, template: nothing}\n- {name: a, template: default, depends: z.Failed}\n"
        + task("b", "give", out("a"), "depends: a.Omitted"),
        "a:Omitted b=fallback",
    ),
    Case(
        "an output that a skipped task never made counts as not given",
        "- {name: a, template: give, when: 'x == y'}\n" + task("b", "give", out("a"), "depends: a"),
        "b=nothing",
    ),
    Case(
        "but not inside a text",
        "- {name: a, template: give, when: 'x == y'}\n" + task("b", "give", f"<{out('a')}>", "depends: a"),
        "b:Error",
        "Error",
    ),
]
