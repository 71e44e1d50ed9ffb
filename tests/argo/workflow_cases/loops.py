"""Loops: their turns, the names of these, and how a loop ends."""

from __future__ import annotations

from workflow_cases.case import Case, loop, out, task


def _again(name: str, more: str) -> str:
    return "- {name: " + name + ", template: nothing, " + more + "}\n"


CASES = [
    Case("withItems", loop("'0', '0'"), "a:Succeeded a(0:0):Succeeded a(1:0):Succeeded"),
    Case("withItems with a failure", loop("'0', '3'"), "a:Failed a(0:0):Succeeded a(1:3):Failed", "Failed"),
    Case("AnySucceeded", loop("'0', '3'") + _again("b", "depends: a.AnySucceeded"), "a:Failed b:Succeeded"),
    Case("AnySucceeded of none", loop("'2'") + _again("b", "depends: a.AnySucceeded"), "a:Failed b:Omitted", "Failed"),
    Case("AllFailed of some", loop("'0', '3'") + _again("b", "depends: a.AllFailed"), "b:Omitted", "Failed"),
    Case("AllFailed of all", loop("'4', '3'") + _again("b", "depends: a.AllFailed"), "a:Failed b:Succeeded"),
    Case(
        "items that are numbers and truth values",
        task("a", "give", "{{item}}", "withItems: [1, 0.5, true]"),
        "a(0:1)=1 a(1:0.5)=0.5 a(2:true)=true",
    ),
    Case(
        "items that are mappings",
        task("a", "give", "{{item.l}} {{item.k}}", "withItems: [{k: v, l: 2}]"),
        "a(0:k:v,l:2)=2_v",
    ),
    Case("items that are lists", task("a", "give", "{{item}}", "withItems: [[3, 4]]"), "a:Succeeded"),
    Case(
        "items with spaces, dots and parentheses",
        "- {name: a, template: nothing, withItems: ['x y', 'a.b', '(c)', 'd/e']}",
        "a(2:c):Succeeded",
    ),
    Case("withSequence count", _again("a", "withSequence: {count: 2}"), "a(0:0):Succeeded a(1:1):Succeeded !a(2:2)"),
    Case(
        "withSequence from a start",
        task("a", "give", "{{item}}", "withSequence: {start: 5, count: 2}"),
        "a(0:5)=5 a(1:6)=6",
    ),
    Case(
        "withSequence up to its end",
        _again("a", "withSequence: {start: 2, end: 4}"),
        "a(0:2):Succeeded a(2:4):Succeeded",
    ),
    Case(
        "withSequence down to its end, formatted",
        task("a", "give", "{{item}}", "withSequence: {start: 3, end: 2, format: w%02d}"),
        "a(0:w03)=w03 a(1:w02)=w02",
    ),
    Case(
        "an empty sequence is skipped",
        _again("a", "withSequence: {count: 0}") + _again("b", "depends: a") + _again("c", "depends: a.Skipped"),
        "a:Skipped b:Succeeded c:Succeeded",
    ),
    Case(
        "an empty withParam is skipped",
        _again("a", "withParam: '[]'") + _again("b", "depends: a.Succeeded"),
        "a:Skipped b:Omitted",
    ),
    Case(
        "withParam and count from outputs",
        task("a", "give", '["x", 7]')
        + task("m", "give", "2")
        + task("b", "give", "{{item}}", f"depends: a, withParam: '{out('a')}'")
        + _again("c", f"depends: m, withSequence: {{count: '{out('m')}'}}"),
        "b(0:x)=x b(1:7)=7 c(1:1):Succeeded",
    ),
    Case(
        "nothing to do, says an output",
        task("a", "give", "[]")
        + task("m", "give", "0")
        + _again("b", f"depends: a, withParam: '{out('a')}'")
        + _again("c", f"depends: m, withSequence: {{count: '{out('m')}'}}")
        + _again("d", "depends: b && c"),
        "b:Skipped c:Skipped d:Succeeded",
    ),
    Case("withParam that is no list", "- {name: a, template: ok, withParam: hello}", "a:Error", "Error"),
    Case("a sequence that cannot be counted", _again("a", "withSequence: {count: many}"), "a:Error", "Error"),
    Case(
        "a loop after a failure is omitted",
        "- {name: a, template: fail}\n" + _again("b", "depends: a, withItems: [1, 2]"),
        "a:Failed b:Omitted !b(0:1)",
        "Failed",
    ),
    Case(
        "numbers in withParam keep their literal",
        task("a", "give", "{{item}}", "withParam: '[1.0, 1e3, 1e21, -0, 0.50]'"),
        "a(0:1.0)=1.0 a(1:1e3)=1e3 a(2:1e21)=1e21 a(3:-0)=-0 a(4:0.50)=0.50",
    ),
    Case(
        "numbers inside the items of withParam keep their literal",
        task("a", "give", "{{item}}", """withParam: '[{"n": 1.0, "m" : [1e3]}, [1.0, 2e0]]'""")
        + task("b", "give", "{{item.n}} {{item.m}}", """withParam: '[{"n": 1.0, "m" : [1e3]}]'"""),
        'a(0:m:[1e3],n:1.0)={"m":[1e3],"n":1.0} b(0:m:[1e3],n:1.0)=1.0_[1e3]',
    ),
    Case(
        "numbers in withItems are those of YAML",
        task("a", "give", "{{item}}", "withItems: [1.0, 1e3, 1e21, 0.000001, 1e-7, -0, 0x10]"),
        "a(0:1)=1 a(1:1000)=1000 a(2:1e+21)=1e+21",
    ),
    Case(
        "items that hold quotes",
        task("a", "give", "{{item}}", """withItems: ['say "hi"', "back\\\\slash", '<&>']""")
        + task("b", "give", "{{item.k}}", """withItems: [{k: 'say "hi"'}]""")
        + """- {name: c, template: nothing, withItems: [['say "hi"', 'x']]}\n""",
        r"""a(1:back\\slash)=back\slash a(2:<&>)=<&>""",
    ),
    Case(
        "null among items",
        """- {name: a, template: nothing, withParam: '[null, {"a": null}, [null, 1], {}, []]'}\n"""
        + task("b", "give", "{{item.a}}", """withParam: '[{"a": null}]'"""),
        "a(0:[]):Succeeded a(1:a:null):Succeeded a(3:):Succeeded b(0:a:null)=null",
    ),
    Case("null in place of a list", _again("a", "withParam: 'null'"), "a:Skipped"),
    Case("a list that is no JSON", _again("a", "withParam: '[NaN]'"), "a:Error", "Error"),
    Case(
        "items with characters of JSON",
        """- {name: a, template: nothing, withParam: '["\\u00e9", "é", "a\\/b", "t\\tb"]'}\n"""
        + """- {name: b, template: nothing, withItems: ["\\u00e9", "t\\tb", "new\\nline"]}\n""",
        r"a(0:\u00e9):Succeeded a(1:é):Succeeded a(2:a\/b):Succeeded b(0:é):Succeeded b(2:new\nline):Succeeded",
    ),
    Case(
        "a list of numbers from a loop keeps their literals",
        task("a", "print", "{{item}}", "withItems: ['1.0', '1e3']")
        + task("b", "give", "{{tasks.a.outputs.result}}", "depends: a"),
        "b=[1.0,1e3]",
    ),
    Case("a key that is a truth value", task("a", "give", "{{item.n}}", "withItems: [{n: 1}]"), "", refusal="'n'"),
    Case("another key that is one", task("a", "give", "{{item.y}}", "withItems: [{y: 1}]"), "", refusal="'y'"),
    Case("a quoted key of this kind", task("a", "give", "{{item.n}}", "withItems: [{'n': 1}]"), "a(0:n:1)=1"),
]
