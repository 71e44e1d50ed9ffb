"""Conditions."""

from __future__ import annotations

from workflow_cases.case import Case, out, task


def _when(condition: str, phase: str, workflow: str = "Succeeded") -> Case:
    return Case(f"when {condition}", f'- {{name: a, template: nothing, when: "{condition}"}}', f"a:{phase}", workflow)


CASES = [
    _when("1 < 2 && a == a", "Succeeded"),
    _when("a != a || 2 >= 3", "Skipped"),
    _when("!(10 > 9) || 'b' == 'c'", "Skipped"),
    _when("'x y' =~ 'x.y'", "Succeeded"),
    _when("true", "Succeeded"),
    _when("'2' == 2", "Skipped"),
    _when("a == ", "Error", "Error"),
    Case(
        "when on an output",
        task("a", "give", "go")
        + f"- {{name: b, template: nothing, depends: a, when: \"'{out('a')}' == 'go'\"}}\n"
        + f"- {{name: c, template: nothing, depends: a, when: '{out('a')} == stop'}}",
        "b:Succeeded c:Skipped",
    ),
    Case(
        "when on a number",
        task("a", "give", "12") + f"- {{name: b, template: nothing, depends: a, when: '{out('a')} > 9'}}",
        "b:Succeeded",
    ),
    Case(
        "when of each turn",
        "- {name: a, template: nothing, withItems: [1, 2], when: '{{item}} > 1'}",
        "a:Succeeded a(0:1):Skipped a(1:2):Succeeded",
    ),
    Case(
        "when on a status",
        "- {name: a, template: fail}\n"
        "- {name: b, template: nothing, depends: a.Failed, when: '{{tasks.a.status}} == Failed'}",
        "b:Succeeded",
    ),
    Case(
        "a false when saves a loop from what it cannot know",
        "- {name: a, template: give, when: 'x == y'}\n"
        + f"- {{name: b, template: nothing, depends: a, when: 'x == y', withParam: '{out('a')}'}}",
        "a:Skipped b:Skipped",
    ),
]
