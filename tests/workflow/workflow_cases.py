"""Small workflows with the phases that Argo 4.0 gives their nodes.

A case is a list of tasks of the DAG `main`, what becomes of its nodes, and of the workflow. Expectations read
`node:Phase`; `node=text` is what the node's output parameter `value` holds. `CONTAINERS` are the templates the tasks
use. Everything is plain Argo YAML for any image with `sh`, so that the same table can be given to a real controller.
"""

from __future__ import annotations

from dataclasses import dataclass

CONTAINERS = """
- name: ok
  container: {args: ["true"]}
- name: fail
  container: {args: ["exit 1"]}
- name: code
  inputs: {parameters: [{name: code}]}
  container: {args: ["exit {{inputs.parameters.code}}"]}
- name: error
  container: {args: ["true"]}
  outputs: {parameters: [{name: value, valueFrom: {path: /tmp/absent}}]}
- name: give
  inputs: {parameters: [{name: value, default: nothing}, {name: other, default: unused}]}
  container: {args: ["printf '%s\\\\n' '{{inputs.parameters.value}}' > /tmp/value"]}
  outputs: {parameters: [{name: value, valueFrom: {path: /tmp/value}}]}
- name: default
  container: {args: ["true"]}
  outputs: {parameters: [{name: value, valueFrom: {path: /tmp/absent, default: fallback}}]}
- name: print
  inputs: {parameters: [{name: value}]}
  container: {args: ["echo to the log >&2; printf '%s\\\\n' '{{inputs.parameters.value}}'"]}
- name: nested
  inputs: {parameters: [{name: code, default: "0"}]}
  dag:
    tasks:
    - {name: inner, template: code, arguments: {parameters: [{name: code, value: "{{inputs.parameters.code}}"}]}}
    - {name: after, template: give, depends: inner, arguments: {parameters: [{name: value, value: from inside}]}}
  outputs: {parameters: [{name: value, valueFrom: {parameter: "{{tasks.after.outputs.parameters.value}}"}}]}
"""


@dataclass(frozen=True)
class Case:
    name: str
    tasks: str
    nodes: str
    phase: str = "Succeeded"
    templates: str = ""
    spec: str = ""


def _task(name: str, template: str, value: str, more: str = "", parameter: str = "value") -> str:
    """A task with one argument; `more` are further fields."""
    arguments = f"arguments: {{parameters: [{{name: {parameter}, value: '{value}'}}]}}"
    return "- {" + ", ".join(filter(None, [f"name: {name}", f"template: {template}", more, arguments])) + "}\n"


def _out(name: str) -> str:
    return "{{tasks." + name + ".outputs.parameters.value}}"


def _after(what: str, before: str) -> str:
    """A task `a` of template `before`, and `b` that depends on it."""
    return f"- {{name: a, template: {before}}}\n- {{name: b, template: ok, depends: {what}}}"


_SKIPPED = "- {name: a, template: ok, when: 'x == y'}\n"
_OMITTED = "- {name: z, template: ok}\n- {name: a, template: ok, depends: z.Failed}\n"


def _loop(codes: str) -> str:
    return _task("a", "code", "{{item}}", f"withItems: [{codes}]", "code")


CASES = [
    # depends, with every result
    Case("bare name after success", _after("a", "ok"), "a:Succeeded b:Succeeded"),
    Case("bare name after failure", _after("a", "fail"), "a:Failed b:Omitted", "Failed"),
    Case("bare name after an error", _after("a", "error"), "a:Error b:Omitted", "Error"),
    Case("bare name after a skip", _SKIPPED + "- {name: b, template: ok, depends: a}", "a:Skipped b:Succeeded"),
    Case("bare name after an omission", _OMITTED + "- {name: b, template: ok, depends: a}", "a:Omitted b:Omitted"),
    Case(
        "dependencies",
        "- {name: a, template: ok}\n- {name: b, template: ok, dependencies: [a]}",
        "a:Succeeded b:Succeeded",
    ),
    Case("Succeeded after failure", _after("a.Succeeded", "fail"), "a:Failed b:Omitted", "Failed"),
    Case("Succeeded after a skip", _SKIPPED + "- {name: b, template: ok, depends: a.Succeeded}", "a:Skipped b:Omitted"),
    Case("Failed after failure", _after("a.Failed", "fail"), "a:Failed b:Succeeded"),
    Case("Failed after success", _after("a.Failed", "ok"), "a:Succeeded b:Omitted"),
    Case("Failed after an error", _after("a.Failed", "error"), "a:Error b:Omitted", "Error"),
    Case("Errored after an error", _after("a.Errored", "error"), "a:Error b:Succeeded"),
    Case("Errored after failure", _after("a.Errored", "fail"), "a:Failed b:Omitted", "Failed"),
    Case("Skipped after a skip", _SKIPPED + "- {name: b, template: ok, depends: a.Skipped}", "a:Skipped b:Succeeded"),
    Case(
        "Omitted after an omission", _OMITTED + "- {name: b, template: ok, depends: a.Omitted}", "a:Omitted b:Succeeded"
    ),
    Case("or", _after("a.Failed || a.Succeeded", "fail"), "a:Failed b:Succeeded"),
    Case("not", _after("'!a.Succeeded'", "fail"), "a:Failed b:Succeeded"),
    Case(
        "and over or",
        "- {name: a, template: fail}\n- {name: b, template: ok}\n- {name: c-d, template: ok}\n"
        "- {name: e, template: ok, depends: (a && b) || (a.Failed && c-d)}",
        "a:Failed b:Succeeded c-d:Succeeded e:Succeeded",
    ),
    Case(
        "an omitted leaf hands on the failure before it",
        "- {name: a, template: fail}\n- {name: b, template: ok, depends: a}\n- {name: c, template: ok, depends: b}",
        "a:Failed b:Omitted c:Omitted",
        "Failed",
    ),
    Case(
        "a handled failure in the middle does not fail the DAG",
        _after("a.Failed", "fail") + "\n- {name: c, template: ok, depends: b}",
        "a:Failed b:Succeeded c:Succeeded",
    ),
    Case(
        "siblings of a failed task still run",
        "- {name: a, template: fail}\n- {name: b, template: ok}\n- {name: c, template: ok, depends: b}",
        "a:Failed b:Succeeded c:Succeeded",
        "Failed",
    ),
    Case(
        "without failFast too",
        "- {name: a, template: fail}\n- {name: b, template: ok}",
        "a:Failed b:Succeeded",
        "Failed",
        spec="failFast: false",
    ),
    Case(
        "continueOn failed",
        "- {name: a, template: fail, continueOn: {failed: true}}\n- {name: b, template: ok, dependencies: [a]}",
        "a:Failed b:Succeeded",
    ),
    Case("continueOn of a leaf", "- {name: a, template: fail, continueOn: {failed: true}}", "a:Failed"),
    # loops
    Case("withItems", _loop("'0', '0'"), "a:Succeeded a(0:0):Succeeded a(1:0):Succeeded"),
    Case("withItems with a failure", _loop("'0', '3'"), "a:Failed a(0:0):Succeeded a(1:3):Failed", "Failed"),
    Case(
        "AnySucceeded", _loop("'0', '3'") + "- {name: b, template: ok, depends: a.AnySucceeded}", "a:Failed b:Succeeded"
    ),
    Case(
        "AllFailed, not all",
        _loop("'0', '3'") + "- {name: b, template: ok, depends: a.AllFailed}",
        "b:Omitted",
        "Failed",
    ),
    Case(
        "AllFailed, all", _loop("'4', '3'") + "- {name: b, template: ok, depends: a.AllFailed}", "a:Failed b:Succeeded"
    ),
    Case(
        "items: numbers and truth values",
        _task("a", "give", "{{item}}", "withItems: [1, 0.5, true]"),
        "a(0:1)=1 a(1:0.5)=0.5 a(2:true)=true",
    ),
    Case(
        "items: mappings",
        _task("a", "give", "{{item.l}} {{item.k}}", "withItems: [{k: v, l: 2}]"),
        "a(0:k:v,l:2)=2_v",
    ),
    Case("items: lists", _task("a", "give", "{{item}}", "withItems: [[3, 4]]"), "a:Succeeded"),
    Case("withSequence count", _task("a", "give", "{{item}}", "withSequence: {count: 2}"), "a(0:0)=0 a(1:1)=1"),
    Case(
        "withSequence down to its end, formatted",
        _task("a", "give", "{{item}}", "withSequence: {start: 3, end: 2, format: w%02d}"),
        "a(0:w03)=w03 a(1:w02)=w02",
    ),
    Case(
        "an empty sequence is skipped",
        "- {name: a, template: ok, withSequence: {count: 0}}\n- {name: b, template: ok, depends: a}",
        "a:Skipped b:Succeeded",
    ),
    Case(
        "an empty withParam is skipped",
        "- {name: a, template: ok, withParam: '[]'}\n- {name: b, template: ok, depends: a.Succeeded}",
        "a:Skipped b:Omitted",
    ),
    Case(
        "withParam from an output",
        _task("a", "give", '["x", 7]') + _task("b", "give", "{{item}}", f"depends: a, withParam: '{_out('a')}'"),
        "b(0:x)=x b(1:7)=7",
    ),
    Case("withParam that is no list", "- {name: a, template: ok, withParam: hello}", "a:Error", "Error"),
    Case(
        "a sequence that cannot be counted",
        "- {name: a, template: ok, withSequence: {count: many}}",
        "a:Error",
        "Error",
    ),
    # when
    Case("when true", "- {name: a, template: ok, when: '1 < 2 && a == a'}", "a:Succeeded"),
    Case("when false", "- {name: a, template: ok, when: 'a != a'}", "a:Skipped"),
    Case("when that is no condition", "- {name: a, template: ok, when: 'a == '}", "a:Error", "Error"),
    Case(
        "when on an output",
        _task("a", "give", "go")
        + f"- {{name: b, template: ok, depends: a, when: \"'{_out('a')}' == 'go'\"}}\n"
        + f"- {{name: c, template: ok, depends: a, when: '{_out('a')} == stop'}}",
        "b:Succeeded c:Skipped",
    ),
    Case(
        "when of each turn",
        "- {name: a, template: ok, withItems: [1, 2], when: '{{item}} > 1'}",
        "a:Succeeded a(0:1):Skipped a(1:2):Succeeded",
    ),
    Case("status", _after("a.Failed", "fail")[:-1] + ", when: '{{tasks.a.status}} == Failed'}", "b:Succeeded"),
    # outputs and parameters
    Case(
        "an output is passed on",
        _task("a", "give", "7") + _task("b", "give", f"got {_out('a')}", "depends: a"),
        "a=7 b=got_7",
    ),
    Case(
        "default of an output without its file",
        "- {name: a, template: default}\n" + _task("b", "give", _out("a"), "depends: a"),
        "a=fallback b=fallback",
    ),
    Case("default of an input", "- {name: a, template: give}", "a=nothing"),
    Case(
        "outputs of a loop are a JSON list",
        _task("a", "give", "{{item}}", "withItems: [u, v]") + _task("b", "give", _out("a"), "depends: a"),
        'b=["u","v"]',
    ),
    Case(
        "lists in outputs of a loop stay lists",
        _task("a", "give", "[{{item}}]", "withItems: [1, 2]") + _task("b", "give", _out("a"), "depends: a"),
        "b=[[1],[2]]",
    ),
    Case(
        "result",
        _task("a", "print", "42") + _task("b", "give", "{{tasks.a.outputs.result}}", "depends: a"),
        "b=42",
    ),
    Case(
        "results of a loop",
        _task("a", "print", "{{item}}", "withItems: [1, 2]")
        + _task("b", "give", "{{tasks.a.outputs.result}}", "depends: a"),
        "b=[1,2]",
    ),
    Case(
        "exit code",
        _task("a", "code", "9", "", "code") + _task("b", "give", "{{tasks.a.exitCode}}", "depends: a.Failed"),
        "b=9",
    ),
    Case(
        "a skipped task gives the default of its output",
        "- {name: a, template: default, when: 'x == y'}\n" + _task("b", "give", _out("a"), "depends: a"),
        "b=fallback",
    ),
    Case(
        "an output that a skipped task never made counts as not given",
        "- {name: a, template: give, when: 'x == y'}\n" + _task("b", "give", _out("a"), "depends: a"),
        "b=nothing",
    ),
    Case(
        "but not inside a text",
        "- {name: a, template: give, when: 'x == y'}\n" + _task("b", "give", f"<{_out('a')}>", "depends: a"),
        "b:Error",
        "Error",
    ),
    # nested DAGs
    Case("nested", "- {name: a, template: nested}", "a:Succeeded a.inner:Succeeded a.after:Succeeded a=from_inside"),
    Case(
        "nested failure",
        _task("a", "nested", "1", "", "code") + "- {name: b, template: ok, depends: a}",
        "a:Failed a.inner:Failed a.after:Omitted b:Omitted",
        "Failed",
    ),
    Case(
        "nested in a loop",
        _task("a", "nested", "{{item}}", "withItems: ['0', '2']", "code")
        + "- {name: b, template: ok, depends: a.AnySucceeded}",
        "a:Failed a(0:0):Succeeded a(1:2):Failed a(1:2).inner:Failed a(1:2).after:Omitted b:Succeeded",
    ),
    # retries
    Case(
        "retried until the limit",
        "- {name: a, template: again}",
        "a:Failed a(0):Failed a(1):Failed a(2):Failed",
        "Failed",
        templates="- {name: again, retryStrategy: {limit: 2}, container: {args: ['exit 1']}}",
    ),
    Case(
        "an error is not retried on failure",
        "- {name: a, template: again}",
        "a:Error a(0):Error !a(1)",
        "Error",
        templates="- name: again\n  retryStrategy: {limit: 2}\n  container: {args: ['true']}\n"
        "  outputs: {parameters: [{name: value, valueFrom: {path: /tmp/absent}}]}",
    ),
    Case(
        "expression that asks for a retry",
        "- {name: a, template: again}",
        "a:Succeeded a(0):Failed a(1):Succeeded",
        templates="- name: again\n  retryStrategy: {limit: 5, expression: 'asInt(lastRetry.exitCode) in [74, 75]'}\n"
        "  container: {args: ['exit $(( {{retries}} ? 0 : 75 ))']}",
    ),
    Case(
        "expression that does not",
        "- {name: a, template: again}\n- {name: b, template: ok, depends: a.Failed}",
        "a:Failed a(0):Failed !a(1) b:Succeeded",
        templates="- name: again\n  retryStrategy: {limit: 5, expression: \"lastRetry.status == 'Error'\"}\n"
        "  container: {args: ['exit 3']}",
    ),
    Case(
        "outputs come from the last try",
        "- {name: a, template: again}\n" + _task("b", "give", _out("a"), "depends: a"),
        "b=try_1",
        templates="- name: again\n  retryStrategy: {limit: 5}\n"
        "  container: {args: ['echo try {{retries}} > /tmp/value; exit $(( {{retries}} ? 0 : 1 ))']}\n"
        "  outputs: {parameters: [{name: value, valueFrom: {path: /tmp/value}}]}",
    ),
    # deadlines
    Case(
        "activeDeadlineSeconds",
        "- {name: a, template: slow}\n- {name: b, template: ok, depends: a.Failed}",
        "a:Failed b:Succeeded",
        templates="- {name: slow, activeDeadlineSeconds: 1, container: {args: [exec sleep 30]}}",
    ),
]


def text(case: Case) -> str:
    """The case as a workflow file."""
    indented = ["    " + line for line in (CONTAINERS + case.templates).strip().splitlines()]
    tasks = ["        " + line for line in case.tasks.splitlines()]
    return "\n".join(
        [
            "apiVersion: argoproj.io/v1alpha1",
            "kind: Workflow",
            "metadata: {generateName: case-}",
            "spec:",
            "  entrypoint: main",
            "  volumes: [{name: tmp, emptyDir: {}}]",
            "  templateDefaults:",
            "    container:",
            "      image: localhost/busybox:1",
            "      command: [sh, -c]",
            "      volumeMounts: [{name: tmp, mountPath: /tmp}]",
            "  templates:",
            "    - name: main",
            "      dag:",
            *(["        " + case.spec] if case.spec else []),
            "        tasks:",
            *tasks,
            *indented,
        ]
    )
