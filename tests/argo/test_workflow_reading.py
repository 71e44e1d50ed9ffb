"""Reading refuses what it cannot run, by name, file and line; nothing is dropped silently.

What Argo itself thinks of the files is asked where its command line is installed (`argo lint`).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.argo import Workflow, describe, load, settled_parameters
from pipeline.argo.fields import KINDS
from pipeline.errors import WorkflowError

WORKFLOWS = Path(__file__).parents[2] / "workflows"
Make = Callable[[str], Workflow]

CONTAINER = "container: {image: i, command: [echo]}"

# A template that begins on line 7, or another part of the spec that begins on line 6; ECHO is a sound container.
REFUSED = [
    ("hooks: {}", 6, "'hooks'"),
    ("volumeClaimTemplates: []", 6, "'volumeClaimTemplates'"),
    ("volumes:\n- {name: c, configMap: {name: x}}", 7, "'configMap'"),
    ("- {name: main, steps: []}", 7, "'steps'"),
    ("- {name: main, script: {source: x}}", 7, "'script'"),
    ("- {name: main, ECHO, daemon: true}", 7, "'daemon'"),
    ("- name: main\n  memoize: {}", 8, "'memoize'"),
    ("- name: main\n  ECHO\n  inputs: {artifacts: []}", 9, "'artifacts'"),
    ("- name: main\n  ECHO\n  synchronization: {semaphore: {}}", 9, "'semaphores'"),
    ("- {name: main, container: {command: [a], lifecycle: {}}}", 7, "'lifecycle'"),
    ("- {name: main, container: {command: [a], env: [{name: A, valueFrom: {fieldRef: {}}}]}}", 7, "'fieldRef'"),
    ("- name: main\n  dag:\n    tasks:\n    - {name: a, templateRef: {}}", 10, "'templateRef'"),
    ("- {name: main, container: {command: [a], args: ['{{=sprig.now()}}']}}", 7, "sprig.now()"),
    ("- {name: main, ECHO, retryStrategy: {retryPolicy: OnTransientError}}", 7, "OnTransientError"),
    ("- {name: main, ECHO, retryStrategy: {expression: 'sprig.now()'}}", 7, "sprig.now()"),
]
WRONG = [
    ("parallelism: many", 6, "whole number"),
    ("- {name: main, contaner: {}}", 7, "did you mean 'container'"),
    ("- {name: main, container: {image: i}}", 7, "'command'"),
    ("- {name: main, ECHO}\n- {name: main, ECHO}", 8, "'main'"),
    ("- {name: other, ECHO}", 1, "no template 'main'"),
    ("- {name: main, container: {command: [a], env: [{name: A, value: 1}]}}", 7, "quotes"),
    ("arguments:\n  parameters:\n  - {name: a, value: 7}", 8, "quotes"),
    ("- {name: main, container: {command: [a], args: ['{{inputs.parameters.x}}']}}", 7, "inputs.parameters.x"),
    ("- {name: main, container: {command: [a], args: ['{{workflow.parameters.x}}']}}", 7, "parameters.x"),
    ("- {name: main, container: {command: [a], args: ['{{=trim(inputs.parameters.x)}}']}}", 7, "inputs.parameters.x"),
    ("- {name: main, name: main, ECHO}", 7, "twice"),
    ("- {name: main, timeout: 5s, dag: {tasks: [{name: a, template: main}]}}", 7, "'timeout'"),
    ("- {name: main, container: {command: [a], volumeMounts: [{name: v, mountPath: /v}]}}", 7, "volume 'v'"),
]

TASKS = [
    ("- {name: a, template: t, depends: b}", "'b'"),
    ("- {name: a, template: none}", "'none'"),
    ("- {name: a, template: t}\n- {name: a, template: t}", "two tasks"),
    ("- {name: a, template: t, depends: b}\n- {name: b, template: t, depends: a}", "wait for each other"),
    ("- {name: a, template: t}\n- {name: b, template: t, depends: a.Done}", "'Done'"),
    ("- {name: a, template: t}\n- {name: b, template: t, depends: a.AllFailed}", "loop"),
    ("- {name: a, template: t}\n- {name: b, template: t, depends: 'a &&'}", "expected"),
    ("- {name: a, template: t, withItems: [1], withParam: '[1]'}", "only one"),
    ("- {name: a, template: t}\n- {name: b, template: t, when: '{{tasks.a.status}} == x'}", "tasks.a.status"),
    ("- {name: a, template: t}\n- {name: b, template: t, depends: a, when: '{{tasks.a.ip}} == x'}", "tasks.a.ip"),
    ("- {name: a, template: t, when: '{{item}} == x'}", "item"),
    ("- {name: a, template: needs}", "'value'"),
]


@pytest.mark.parametrize(("spec", "line", "named"), REFUSED + WRONG)
def test_the_message_names_the_file_the_line_and_the_field(
    spec: str, line: int, named: str, write: Callable[[str], Path]
) -> None:
    spec = spec.replace("ECHO", CONTAINER)
    file = write(f"templates:\n{spec}" if spec.startswith("-") else f"{spec}\ntemplates: []")
    with pytest.raises(WorkflowError) as error:
        load(file)
    assert str(error.value).startswith(f"{file}:{line}: ")
    assert named in str(error.value)
    assert error.value.exit_code == 2


@pytest.mark.parametrize(("tasks", "named"), TASKS)
def test_what_is_wrong_with_a_dag_is_said_before_it_runs(tasks: str, named: str, make: Make) -> None:
    indented = "\n".join("    " + line for line in tasks.splitlines())
    with pytest.raises(WorkflowError, match=r"w\.yaml:\d+: ") as error:
        make(
            f"templates:\n- name: main\n  dag:\n    tasks:\n{indented}\n- name: t\n  {CONTAINER}\n"
            f"- name: needs\n  inputs: {{parameters: [{{name: value}}]}}\n  {CONTAINER}"
        )
    assert named in str(error.value)


@pytest.mark.parametrize("content", ["", "a: [", "- 1", "apiVersion: v1\nkind: Pod", "a: 1\n---\nb: 1"])
def test_what_is_no_workflow_is_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(content)
    with pytest.raises(WorkflowError, match=str(file)):
        load(file)


def test_fields_without_meaning_are_listed_with_their_lines(make: Make) -> None:
    workflow = make(
        f"""
        serviceAccountName: s
        templates:
        - name: main
          nodeSelector: {{a: b}}
          {CONTAINER}
        """
    )
    assert workflow.no_meaning["the spec.serviceAccountName"] == [6]
    assert workflow.no_meaning["a template.nodeSelector"] == [9]
    assert "a template.nodeSelector: line 9" in describe(workflow, state_dir="unused")


def test_no_field_is_both_read_and_ignored() -> None:
    for kind in KINDS:
        assert not kind.read & kind.no_meaning
        assert not (kind.read | kind.no_meaning) & set(kind.refused)


def test_template_defaults_merge_as_kubernetes_does(make: Make) -> None:
    workflow = make(
        """
        volumes: [{name: a, emptyDir: {}}, {name: b, emptyDir: {}}]
        templateDefaults:
          container: {command: [sh, -c], args: [default], volumeMounts: [{name: a, mountPath: /a}]}
        templates:
        - {name: main, container: {args: [own], volumeMounts: [{name: b, mountPath: /b}]}}
        - {name: replaced, container: {volumeMounts: [{name: b, mountPath: /a}]}}
        - {name: dag, dag: {tasks: [{name: a, template: main}]}}
        """
    )
    main, replaced = workflow.templates["main"].container, workflow.templates["replaced"].container
    assert main is not None
    assert replaced is not None
    assert (main.command, main.args) == (("sh", "-c"), ("own",))
    assert {(m.volume, m.path) for m in main.mounts} == {("a", "/a"), ("b", "/b")}
    assert [(m.volume, m.path) for m in replaced.mounts] == [("b", "/a")]
    assert workflow.templates["dag"].container is None


def test_parameters_come_from_the_caller_the_file_or_the_config_map(make: Make) -> None:
    workflow = make(
        f"""
        arguments:
          parameters:
          - {{name: plain, value: '1.50'}}
          - {{name: given, value: x, enum: [x, z]}}
          - {{name: mapped, valueFrom: {{configMapKeyRef: {{name: c, key: k}}, default: fallback}}}}
        templates: [{{name: main, {CONTAINER}}}]
        """
    )
    assert settled_parameters(workflow, {"given": "z"}) == {"plain": "1.50", "given": "z", "mapped": "fallback"}
    assert settled_parameters(workflow, {}, {"c/k": "v"})["mapped"] == "v"
    with pytest.raises(WorkflowError, match="must be one of x, z"):
        settled_parameters(workflow, {"given": "other"})
    with pytest.raises(WorkflowError, match="no parameter 'typo'"):
        settled_parameters(workflow, {"typo": "1"})
    with pytest.raises(WorkflowError, match="did you mean 'mapped'"):
        settled_parameters(workflow, {"maped": "1"})


PROJECT = {
    "boost.yaml": {"input": "stack.tif", "run": "runs/c"},
    "study.yaml": {"config": "c.yaml", "run": "runs/a"},
    "segment.yaml": {"model": "runs/a/models/multilabel", "input": "stack.tif", "run": "runs/b"},
}


@pytest.mark.parametrize("name", sorted(PROJECT))
def test_the_projects_workflows_can_be_read_and_described(name: str) -> None:
    text = describe(load(WORKFLOWS / name), PROJECT[name], state_dir="state")
    assert "$ vemseg summary --run=" in text
    assert "--outputs=/tmp/outputs" not in text  # the mount became a directory of this machine
    assert sorted(path.name for path in WORKFLOWS.glob("*.yaml")) == sorted(PROJECT)


@pytest.mark.parametrize("name", sorted(PROJECT))
def test_every_pod_retries_what_the_machines_did_and_nothing_else(name: str) -> None:
    from pipeline.argo.expressions import EXPR, evaluate_bool

    for template in load(WORKFLOWS / name).templates.values():
        if template.container is None:
            continue
        assert template.retry is not None

        def again(code: int, message: str, expression: str = template.retry.expression) -> bool:
            facts = {"exitCode": str(code), "message": message, "status": "Failed", "duration": "1"}
            return evaluate_bool(expression, EXPR, {"lastRetry": facts})

        assert all(again(code, "main: Error") for code in (74, 75, 137, 143))
        assert not any(again(code, "main: Error") for code in (1, 2, 64, 127, 139))
        assert again(-1, "pod deleted")
        assert not again(-1, "unresolved tags")


@pytest.mark.skipif(shutil.which("argo") is None, reason="needs the command argo")
@pytest.mark.parametrize("name", sorted(PROJECT))
def test_argo_finds_no_fault(name: str) -> None:
    subprocess.run(["argo", "lint", "--offline", WORKFLOWS / name], check=True, capture_output=True)
