"""What a case is, the templates that cases share, and the file that a case becomes."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

# Templates for the tasks. Pods take seconds on a cluster: `nothing` succeeds and `broken` ends in Error without one.
_TEMPLATES = """
- name: ok
  container: {args: ["true"]}
- name: fail
  container: {args: ["exit 1"]}
- name: code
  inputs: {parameters: [{name: code}]}
  container: {args: ["exit {{inputs.parameters.code}}"]}
- name: nothing
  dag: {tasks: [{name: never, template: ok, when: 'x == y'}]}
- name: broken
  dag: {tasks: [{name: never, template: ok, withParam: hello}]}
- name: mute
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

# What the ConfigMaps of the namespace hold, `name/key`; there is none called `absent`.
CONFIG_MAPS = {"settings/colour": "green", "settings/two": "2", "settings/one": "1"}


@dataclass(frozen=True)
class Case:
    """Tasks of the DAG `main`, what becomes of its nodes, and of the workflow.

    `nodes` reads `node:Phase`; `!node` is a node that there is not, `node=text` what its output parameter `value`
    holds, with `_` for a space. Further YAML: `templates` for their list, `dag` beside `tasks`, `main` beside `dag`,
    `spec` beside `templates`, `defaults` for the containers of all templates. A case with a `refusal` is not run: the
    runner's message holds this text, and a cluster refuses the file too, or cannot resolve it.
    """

    name: str
    tasks: str
    nodes: str
    phase: str = "Succeeded"
    templates: str = ""
    dag: str = ""
    main: str = ""
    spec: str = ""
    defaults: str = ""
    refusal: str = ""

    @property
    def workflow_name(self) -> str:
        """A name that Kubernetes takes."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")

    def text(self) -> str:
        """The case as a workflow file."""
        return "\n".join(
            [
                "apiVersion: argoproj.io/v1alpha1",
                "kind: Workflow",
                f"metadata: {{name: {self.workflow_name}}}",
                "spec:",
                "  entrypoint: main",
                "  serviceAccountName: workflow",
                "  volumes: [{name: tmp, emptyDir: {}}]",
                _indented(self.spec, 2),
                "  templateDefaults:",
                "    container:",
                "      image: localhost/busybox:1",
                "      command: [sh, -c]",
                "      volumeMounts: [{name: tmp, mountPath: /tmp}]",
                _indented(self.defaults, 6),
                "  templates:",
                "    - name: main",
                _indented(self.main, 6),
                "      dag:",
                _indented(self.dag, 8),
                "        tasks:",
                _indented(self.tasks, 8),
                _indented(_TEMPLATES, 4),
                _indented(self.templates, 4),
            ]
        )


def _indented(yaml: str, spaces: int) -> str:
    return textwrap.indent(textwrap.dedent(yaml).strip("\n"), " " * spaces)


def task(name: str, template: str, value: str, more: str = "", parameter: str = "value") -> str:
    """A task with one argument; `more` are further fields."""
    arguments = f"arguments: {{parameters: [{{name: {parameter}, value: '{value}'}}]}}"
    return "- {" + ", ".join(filter(None, [f"name: {name}", f"template: {template}", more, arguments])) + "}\n"


def out(name: str) -> str:
    """The tag of a task's output `value`."""
    return "{{tasks." + name + ".outputs.parameters.value}}"


def loop(codes: str) -> str:
    """A loop `a` of pods that end with these exit codes."""
    return task("a", "code", "{{item}}", f"withItems: [{codes}]", "code")
