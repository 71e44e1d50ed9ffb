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
]
