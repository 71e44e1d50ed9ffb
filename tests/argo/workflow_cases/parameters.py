"""Parameters: defaults, ConfigMaps, arguments."""

from __future__ import annotations

from workflow_cases.case import Case, task

_FROM_MAP = "{name: value, valueFrom: {configMapKeyRef: {name: %s, key: %s}%s}}"


def _argument(name: str, key: str, more: str = "") -> str:
    return f"arguments: {{parameters: [{_FROM_MAP % (name, key, more)}]}}"


def _template(name: str, key: str, more: str = "") -> str:
    return f"""
- name: read
  inputs: {{parameters: [{_FROM_MAP % (name, key, more)}]}}
  container: {{args: ["echo '{{{{inputs.parameters.value}}}}' > /tmp/value"]}}
  outputs: {{parameters: [{{name: value, valueFrom: {{path: /tmp/value}}}}]}}
"""


def _env(variables: str) -> str:
    """A template whose output is the variable B."""
    return f"""
- name: env
  container: {{env: [{variables}], args: ['echo "$B" > /tmp/value']}}
  outputs: {{parameters: [{{name: value, valueFrom: {{path: /tmp/value}}}}]}}
"""


_OF_WORKFLOW = task("a", "give", "is {{workflow.parameters.value}}")
_DEFAULT = ", default: blue"

CASES = [
    Case("default of an input", "- {name: a, template: give}", "a=nothing"),
    Case(
        "parameter of the workflow",
        _OF_WORKFLOW,
        "a=is_7",
        spec="arguments: {parameters: [{name: value, value: '7'}]}",
    ),
    Case("parameter from a ConfigMap", _OF_WORKFLOW, "a=is_green", spec=_argument("settings", "colour", _DEFAULT)),
    Case("parameter without its ConfigMap", _OF_WORKFLOW, "a=is_blue", spec=_argument("absent", "colour", _DEFAULT)),
    Case("parameter without its key", _OF_WORKFLOW, "a=is_blue", spec=_argument("settings", "absent", _DEFAULT)),
    Case(
        "input from a ConfigMap",
        "- {name: a, template: read}",
        "a=green",
        templates=_template("settings", "colour", _DEFAULT),
    ),
    Case(
        "input without its ConfigMap",
        "- {name: a, template: read}",
        "a=blue",
        templates=_template("absent", "colour", _DEFAULT),
    ),
    Case(
        "an argument wins over the ConfigMap",
        task("a", "read", "red"),
        "a=red",
        templates=_template("settings", "colour"),
    ),
    Case(
        "names of the workflow and of the node",
        task("a", "give", "{{workflow.name}}"),
        "a=names-of-the-workflow-and-of-the-node",
    ),
    Case(
        "environment and working directory",
        "- {name: a, template: surrounded}",
        "a=tmp_1_1_$(OTHER)",
        templates="""
- name: surrounded
  container:
    args: ['echo $(basename $(pwd)) $ONE $(TWO) "\\$$(OTHER)" > value']
    workingDir: /tmp
    env: [{name: ONE, value: "1"}, {name: TWO, value: $(ONE)}, {name: OTHER, value: unseen}]
  outputs: {parameters: [{name: value, valueFrom: {path: /tmp/value}}]}
""",
    ),
    Case(
        "a parameter that is a number",
        "- {name: a, template: give, arguments: {parameters: [{name: value, value: 7}]}}",
        "",
        refusal="quotes",
    ),
    Case(
        "a parameter that is a truth value",
        _OF_WORKFLOW,
        "",
        spec="arguments: {parameters: [{name: value, value: true}]}",
        refusal="quotes",
    ),
    Case(
        "a default that is a number",
        "- {name: a, template: free}",
        "",
        templates="- {name: free, inputs: {parameters: [{name: value, default: 7}]}, container: {args: ['true']}}",
        refusal="quotes",
    ),
    Case(
        "a choice that is a number",
        _OF_WORKFLOW,
        "",
        spec="arguments: {parameters: [{name: value, value: '7', enum: [7]}]}",
        refusal="quotes",
    ),
    Case(
        "a variable that names one of the defaults",
        "- {name: a, template: env}",
        "a=is_$(A)",
        defaults="env: [{name: A, value: a}]",
        templates=_env("{name: B, value: is $(A)}"),
    ),
    Case(
        "a variable that stands among the defaults too",
        "- {name: a, template: env}",
        "a=is_a",
        defaults="env: [{name: A, value: a}, {name: B, value: b}]",
        templates=_env("{name: B, value: is $(A)}"),
    ),
    Case(
        "variables in another order than the defaults",
        "- {name: a, template: env}",
        "a=is_a_c",
        defaults="env: [{name: A, value: a}, {name: C, value: c}, {name: D, value: d}]",
        templates=_env("{name: D, value: d}, {name: A, value: a}, {name: B, value: is $(A) $(C)}"),
    ),
]
