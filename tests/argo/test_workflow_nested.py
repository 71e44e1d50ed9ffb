"""A nested workflow runs here as the template that it enters; no other resource is taken.

That a real controller makes workflows of their own of it, with the same work done, is in tests/argo/scale.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.argo import Workflow, run
from pipeline.errors import WorkflowError

Make = Callable[[str], Workflow]

SPEC = """
arguments: {parameters: [{name: said, value: hello}]}
volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
templates:
- name: main
  dag:
    tasks:
    - name: group
      template: group
      withItems: [{first: 0, count: 2}, {first: 2, count: 1}]
      arguments:
        parameters: [{name: first, value: "{{item.first}}"}, {name: count, value: "{{item.count}}"}]
- name: group
  inputs: {parameters: [{name: first}, {name: count}]}
  resource:
    action: apply
    setOwnerReference: true
    successCondition: status.phase == Succeeded
    failureCondition: status.phase in (Failed, Error)
    manifest: |
      apiVersion: argoproj.io/v1alpha1
      kind: Workflow
      metadata: {name: "{{workflow.name}}-{{inputs.parameters.first}}"}
      spec:
        workflowTemplateRef: {name: w}
        entrypoint: range
        onExit: nothing
        arguments:
          parameters:
          - {name: said, value: '{{workflow.parameters.said}}'}
          - {name: first, value: '{{inputs.parameters.first}}'}
          - {name: count, value: '{{inputs.parameters.count}}'}
- name: range
  inputs: {parameters: [{name: first}, {name: count}]}
  dag:
    tasks:
    - name: work
      template: work
      withSequence: {start: "{{inputs.parameters.first}}", count: "{{inputs.parameters.count}}"}
      arguments: {parameters: [{name: item, value: "{{item}}"}]}
- name: work
  inputs: {parameters: [{name: item}]}
  container:
    command: [sh, -c, "echo {{workflow.parameters.said}} {{inputs.parameters.item}} >> /data/did"]
    volumeMounts: [{name: data, mountPath: /data}]
"""


def test_the_workers_of_all_nested_workflows_run(make: Make, tmp_path: Path) -> None:
    result = run(make(SPEC), {"said": "hi"}, state_dir=tmp_path, volumes={"data": tmp_path / "data"}, jobs=1)
    assert result.phase == "Succeeded"
    assert sorted((tmp_path / "data" / "did").read_text().splitlines()) == ["hi 0", "hi 1", "hi 2"]
    assert result.nodes["w.group(1:count:1,first:2).range.work(0:2)"].phase == "Succeeded"


@pytest.mark.parametrize(
    ("text", "instead", "line", "reason"),
    [
        ("action: apply", "action: create", 20, "'apply'"),
        ("status.phase == Succeeded", "status.phase == Done", 22, "'status.phase == Succeeded'"),
        ("kind: Workflow", "kind: Job", 26, "'Workflow'"),
        ("workflowTemplateRef: {name: w}", "workflowTemplateRef: {name: other}", 29, "'w'"),
        ("workflowTemplateRef: {name: w}", "templates: []", 29, "templates"),
        ("entrypoint: range", "entrypoint: rnage", 20, "rnage"),
        ("'{{workflow.parameters.said}}'", "goodbye", 34, "'said' is no input"),
        ("'{{workflow.parameters.said}}'", "{{workflow.parameters.said}}", 34, "put it in quotes"),
        ("- {name: count, value: '{{inputs.parameters.count}}'}\n", "\n", 20, "'count'"),
    ],
)
def test_what_is_no_nested_workflow_of_this_file_is_refused_with_its_line(
    text: str, instead: str, line: int, reason: str, make: Make
) -> None:
    with pytest.raises(WorkflowError) as caught:
        make(SPEC.replace(text, instead))
    assert reason in str(caught.value)
    assert f":{line}: " in str(caught.value)
