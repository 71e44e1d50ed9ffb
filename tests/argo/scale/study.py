"""The project's study for many workers on a played node: what is computed is left out, all that Argo sees is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from playednode import GPU_LABEL, RESOURCE, TOLERATION

from pipeline.run.create import write_outputs
from pipeline.run.plan import RunPlan

WORKFLOWS = Path(__file__).parents[3] / "workflows"
TEMPLATE = "vemseg-study"

PARAMETERS = {
    "config": "/data/studies/cortex/study.yaml",
    "run": "/data/studies/cortex/runs/first",
    "image": "localhost/busybox:1",
    "claim": "",
    "gpus": "1",
    "gpu-resource": RESOURCE,
    "gpu-node-label": GPU_LABEL,
    "tolerations": json.dumps([TOLERATION]),
    "light-cpu": "100m",
    "light-memory": "128Mi",
    "evaluate-cpu": "100m",
    "evaluate-memory": "128Mi",
}


def template(targets: tuple[str, ...], workers: int, pods_per_workflow: int, folder: Path) -> dict[str, Any]:
    """The study's WorkflowTemplate, whose `plan` says what it would say of a run with so many workers a target.

    `folder` takes what it says.
    """
    study: dict[str, Any] = yaml.safe_load((WORKFLOWS / "study.yaml").read_text())
    write_outputs(folder, _plan(targets, workers), pods_per_workflow)
    lines = [f"echo '{file.read_text()}' > /tmp/outputs/{file.name}" for file in sorted(folder.iterdir())]
    scripts = {"plan": "\n".join(["mkdir /tmp/outputs", *lines]), "evaluate": "true", "summary": "true"}
    for each in study["spec"]["templates"]:
        if each["name"] in scripts:
            each["container"] = {"command": ["sh", "-c"], "args": [scripts[each["name"]]]}
    return study


def _plan(targets: tuple[str, ...], workers: int) -> RunPlan:
    return RunPlan(
        captures=(),
        targets=targets,
        networks={},
        intensity_mean=0.0,
        intensity_std=1.0,
        receptive_field_zyx=(1, 1, 1),
        guard_zyx=(0, 0, 0),
        patch_zyx=(1, 1, 1),
        block_zyx=(1, 1, 1),
        augment_workers=0,
        infer_workers=workers,
    )


def workflow(name: str) -> dict[str, Any]:
    """A run of it."""
    arguments = [{"name": key, "value": value} for key, value in PARAMETERS.items()]
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": name},
        "spec": {"workflowTemplateRef": {"name": TEMPLATE}, "arguments": {"parameters": arguments}},
    }
