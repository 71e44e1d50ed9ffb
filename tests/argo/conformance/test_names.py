"""What a person writes comes out as it went in, in the pods of a cluster and in the processes of the local runner.

The whole of workflows/segment.yaml runs, its nested workflow included; only the commands are others: each notes the
arguments that it was started with. `vemseg` itself reads them back (test_cli).
"""

from __future__ import annotations

import base64
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import tifffile
import yaml
from kubernetes import client, config, utils

from pipeline.argo import load, run
from pipeline.steps.inbox import inbox

ROOT = Path(__file__).parents[3]
HOSTILE = (
    """it's "a" $(HOME) $(VEMSEG_ARGUMENTS) $$ {{workflow.name}} {{=1 + 1}} {{inputs.parameters.target}} {{no such}} """
    """}} \\ \\u0041 100% %24 <&> é ]}'"\n- {name: x, value: y}"""
)
TOLD = {"model": f"models/{HOSTILE}", "input": HOSTILE, "run": f"runs/{HOSTILE}", "voxel-size-nm": "$(4),{{8}},8"}
SMALL = {"claim": "", "image": "localhost/busybox:1", "light-cpu": "100m", "light-memory": "64Mi"}
SMALL |= {"infer-cpu": "100m", "infer-memory": "64Mi"}

_NOTE = 'for word; do echo "told $(printf %s "$word" | base64 | tr -d "\\n")"; done'
_OUTPUTS = {
    "target": "membrane",
    "infer-workers": "1",
    "infer-here": "0",
    "infer-groups": '[{"first": 0, "count": 1}]',
    "separate-workers": "1",
}
_PREPARE = "; ".join(["mkdir -p /tmp/outputs", *(f"echo '{v}' > /tmp/outputs/{k}" for k, v in _OUTPUTS.items()), _NOTE])


def _noting() -> dict[str, Any]:
    """The workflow, with a shell in place of `vemseg`."""
    segment: dict[str, Any] = yaml.safe_load((ROOT / "workflows/segment.yaml").read_text())
    for template in segment["spec"]["templates"]:
        if "container" in template:
            script = _PREPARE if template["name"] == "prepare" else _NOTE
            template["container"]["command"] = ["sh", "-c", script, "sh"]
    return segment


def _arguments(log: str, read: Callable[[str], str]) -> dict[str, str]:
    """The arguments in a log, by option, as `read` makes them of what a process was given."""
    notes = (line.removeprefix("told ") for line in log.splitlines() if line.startswith("told "))
    words = [read(base64.b64decode(note).decode()) for note in notes]
    options = (word.removeprefix("--").partition("=") for word in words if word.startswith("--"))
    return {name: value for name, _, value in options}


def _assert_told(logs: dict[str, dict[str, str]]) -> None:
    assert {key: logs["prepare"][key] for key in TOLD} == TOLD
    assert {logs[step]["run"] for step in ("prepare", "infer", "finish", "summary")} == {TOLD["run"]}
    assert logs["infer"]["worker"] == "0"
    assert logs["summary"]["failures"] in ('"null"', '"[]"')


def test_the_local_runner_passes_on_what_was_written(tmp_path: Path) -> None:
    file = tmp_path / "segment.yaml"
    file.write_text(yaml.safe_dump(_noting()))
    result = run(load(file), {**TOLD, **SMALL}, state_dir=tmp_path / "state", jobs=2)
    assert result.phase == "Succeeded"
    pods = [node for node in result.nodes.values() if node.type == "Pod"]
    _assert_told({node.template: _arguments(result.log(node.name).read_text(), str) for node in pods})


@pytest.fixture
def namespace() -> Iterator[str]:
    """A namespace with the project's accounts."""
    config.load_kube_config()
    core, name = client.CoreV1Api(), f"names-{secrets.token_hex(3)}"
    core.create_namespace({"metadata": {"name": name}})
    try:
        for file in ("accounts.yaml", "roles.yaml"):
            objects = yaml.safe_load_all((ROOT / "k8s/base" / file).read_text())
            utils.create_from_yaml(client.ApiClient(), yaml_objects=list(objects), namespace=name)
        core.create_namespaced_config_map(name, {"metadata": {"name": "vemseg-gpus"}, "data": {"slots": "2"}})
        yield name
    finally:
        core.delete_namespace(name)


@pytest.mark.skipif("KUBECONFIG" not in os.environ, reason="needs a cluster: KUBECONFIG is not set")
@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_the_cluster_passes_on_what_was_written(namespace: str) -> None:
    objects = client.CustomObjectsApi()
    where = ("argoproj.io", "v1alpha1", namespace)
    objects.create_namespaced_custom_object(*where, "workflowtemplates", _noting())
    parameters = [{"name": key, "value": value} for key, value in {**TOLD, **SMALL}.items()]
    spec = {"workflowTemplateRef": {"name": "vemseg-segment"}, "arguments": {"parameters": parameters}}
    body = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": "names"}, "spec": spec}
    objects.create_namespaced_custom_object(*where, "workflows", body)
    seen = _ended(namespace, "names")
    assert seen.get("phase") == "Succeeded", seen
    core, logs = client.CoreV1Api(), {}
    for pod in core.list_namespaced_pod(namespace).items:
        step = pod.metadata.annotations["workflows.argoproj.io/node-name"].split(".")[-1].split("(")[0]
        options = {"container": "main", "_preload_content": False}
        log = core.read_namespaced_pod_log(pod.metadata.name, namespace, **options).data.decode()
        logs["summary" if step == "onExit" else step] = _arguments(log, unquote)
    _assert_told(logs)


@pytest.mark.skipif("KUBECONFIG" not in os.environ, reason="needs a cluster: KUBECONFIG is not set")
@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_files_are_segmented_under_the_names_that_they_have(namespace: str, tmp_path: Path) -> None:
    """The example's CronWorkflow makes a Workflow of each file; what a look finds is found here, by the step itself."""
    folder = tmp_path / HOSTILE.replace("/", "")
    folder.mkdir()
    names = [f"{HOSTILE.replace('/', '')}.tif", "$(HOME){{item}}.tif", "plain.tif"]
    for name in names:
        tifffile.imwrite(folder / name, np.zeros((2, 8, 8), np.uint8))
    look = inbox(str(folder), f"/data/{HOSTILE}", settled_seconds=0, outputs=tmp_path / "outputs")
    told = base64.b64encode((tmp_path / "outputs/volumes").read_bytes()).decode()
    spec = yaml.safe_load((ROOT / "workflows/examples/cron-segment.yaml").read_text())["spec"]["workflowSpec"]
    script = f"mkdir -p /tmp/outputs; echo {told} | base64 -d > /tmp/outputs/volumes"
    container = next(each["container"] for each in spec["templates"] if each["name"] == "look")
    container |= {"image": "localhost/busybox:1", "command": ["sh", "-c", script, "sh"], "resources": {}}
    spec["volumes"][0] = {"name": "data", "emptyDir": {}}
    # A tag in a parameter of the file itself is the author's, and replaced.
    fixed = {"model": HOSTILE.replace("{{", "{"), "voxel-size-nm": "8,8,8"}
    for parameter in spec["arguments"]["parameters"]:
        if parameter["name"] in fixed:
            parameter["value"] = fixed[parameter["name"]]
    objects, where = client.CustomObjectsApi(), ("argoproj.io", "v1alpha1", namespace)
    body = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": "look"}, "spec": spec}
    objects.create_namespaced_custom_object(*where, "workflows", body)
    assert _ended(namespace, "look").get("phase") == "Succeeded"
    listed = objects.list_namespaced_custom_object(*where, "workflows")["items"]
    made = {
        each["metadata"]["name"]: {p["name"]: p["value"] for p in each["spec"]["arguments"]["parameters"]}
        for each in listed
        if each["metadata"]["name"] != "look"
    }
    assert made == {found.name: {"input": found.input, "run": found.run, **fixed} for found in look.found}
    assert {Path(each["input"]).name for each in made.values()} == set(names)


def _ended(namespace: str, name: str) -> dict[str, Any]:
    """The status of a workflow when it has ended."""
    end = time.monotonic() + 800
    seen: dict[str, Any] = {}
    while time.monotonic() < end and seen.get("phase") not in ("Succeeded", "Failed", "Error"):
        time.sleep(2)
        objects = client.CustomObjectsApi()
        seen = objects.get_namespaced_custom_object("argoproj.io", "v1alpha1", namespace, "workflows", name)
        seen = seen.get("status", {})
    return seen
