"""DAGs in DAGs."""

from __future__ import annotations

from workflow_cases.case import Case, out, task

CASES = [
    Case("nested", "- {name: a, template: nested}", "a:Succeeded a.inner:Succeeded a.after:Succeeded a=from_inside"),
    Case(
        "nested failure",
        task("a", "nested", "1", "", "code") + "- {name: b, template: ok, depends: a}",
        "a:Failed a.inner:Failed a.after:Omitted b:Omitted",
        "Failed",
    ),
    Case(
        "nested in a loop",
        task("a", "nested", "{{item}}", "withItems: ['0', '2']", "code")
        + "- {name: b, template: nothing, depends: a.AnySucceeded}",
        "a:Failed a(0:0):Succeeded a(1:2):Failed a(1:2).inner:Failed a(1:2).after:Omitted b:Succeeded",
    ),
    Case(
        "outputs of nested DAGs in a loop",
        task("a", "given", "{{item}}", "withItems: [u, v]") + task("b", "give", out("a"), "depends: a"),
        'b=["u","v"]',
        templates="""
- name: given
  inputs: {parameters: [{name: value}]}
  dag:
    tasks:
    - {name: inner, template: give, arguments: {parameters: [{name: value, value: '{{inputs.parameters.value}}'}]}}
  outputs: {parameters: [{name: value, valueFrom: {parameter: '{{tasks.inner.outputs.parameters.value}}'}}]}
""",
    ),
    Case(
        "a loop in a nested DAG, counted from outside",
        task("a", "counted", "2"),
        "a:Succeeded a.inner(1:1):Succeeded",
        templates="""
- name: counted
  inputs: {parameters: [{name: value}]}
  dag: {tasks: [{name: inner, template: nothing, withSequence: {count: '{{inputs.parameters.value}}'}}]}
""",
    ),
    Case(
        "an output of a DAG that nobody made",
        "- {name: a, template: hollow}\n- {name: b, template: nothing, depends: a}",
        "a:Succeeded b:Succeeded",
        templates="""
- name: hollow
  dag: {tasks: [{name: inner, template: default, when: 'x == y'}]}
  outputs: {parameters: [{name: value, valueFrom: {parameter: '{{tasks.inner.outputs.parameters.value}}'}}]}
""",
    ),
    Case(
        "a template that uses itself",
        task("a", "down", "1"),
        "a.one:Succeeded a.again:Succeeded a.again.again:Skipped",
        templates="""
- name: down
  inputs: {parameters: [{name: value}]}
  dag:
    tasks:
    - {name: one, template: nothing}
    - name: again
      template: down
      when: '{{inputs.parameters.value}} < 11'
      arguments: {parameters: [{name: value, value: '{{inputs.parameters.value}}1'}]}
""",
    ),
]
