"""A study of 1000 workers stays small: as the real controller writes them, no Workflow object reaches a megabyte.

The whole of workflows/study.yaml runs in a namespace with restricted pod security, with the accounts of k8s/base. The
pods that would compute are played (see `playednode`); plan, evaluate, summary and the pods that make nested workflows
are real ones.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config, utils
from playednode import PlayedNode
from study import template, workflow

from pipeline.run.fanout import PODS_PER_WORKFLOW

pytestmark = [
    pytest.mark.skipif("KUBECONFIG" not in os.environ, reason="needs a cluster: KUBECONFIG is not set"),
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
]

ACCOUNTS = Path(__file__).parents[3] / "k8s" / "base"
WORKERS = 1000
LIMIT_BYTES = 1_000_000


@pytest.fixture
def namespace() -> Iterator[str]:
    """A namespace with the project's accounts and room in its semaphore for all workers."""
    config.load_kube_config()
    core, name = client.CoreV1Api(), f"scale-{secrets.token_hex(3)}"
    core.create_namespace({"metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
    try:
        for file in ("accounts.yaml", "roles.yaml"):
            objects = yaml.safe_load_all((ACCOUNTS / file).read_text())
            utils.create_from_yaml(client.ApiClient(), yaml_objects=list(objects), namespace=name)
        core.create_namespaced_config_map(name, {"metadata": {"name": "vemseg-gpus"}, "data": {"slots": str(WORKERS)}})
        yield name
    finally:
        core.delete_namespace(name)


def _create(namespace: str, plural: str, body: dict[str, Any]) -> None:
    client.CustomObjectsApi().create_namespaced_custom_object("argoproj.io", "v1alpha1", namespace, plural, body)


def _workflows(namespace: str) -> dict[str, dict[str, Any]]:
    listed = client.CustomObjectsApi().list_namespaced_custom_object("argoproj.io", "v1alpha1", namespace, "workflows")
    return {each["metadata"]["name"]: each for each in listed["items"]}


def _bytes(workflow: dict[str, Any]) -> int:
    """What etcd holds of it: the object as JSON, managed fields and all."""
    return len(json.dumps(workflow, separators=(",", ":"), ensure_ascii=False).encode())


def _workers_done(workflow: dict[str, Any]) -> int:
    nodes = workflow["status"].get("nodes", {}).values()
    return sum(
        each["templateName"] == "infer" and (each["type"], each["phase"]) == ("Pod", "Succeeded") for each in nodes
    )


def test_no_object_of_a_study_with_a_thousand_workers_reaches_a_megabyte(namespace: str, tmp_path: Path) -> None:
    _create(namespace, "workflowtemplates", template(("multilabel",), WORKERS, PODS_PER_WORKFLOW, tmp_path))
    largest: dict[str, int] = {}
    with PlayedNode(namespace):
        _create(namespace, "workflows", workflow("study"))
        while (seen := _workflows(namespace))["study"].get("status", {}).get("phase") not in (
            "Succeeded",
            "Failed",
            "Error",
        ):
            largest = {name: max(_bytes(each), largest.get(name, 0)) for name, each in seen.items()}
            time.sleep(10)
    assert {each["status"]["phase"] for each in seen.values()} == {"Succeeded"}
    assert len(seen) == 1 + -(-WORKERS // PODS_PER_WORKFLOW)
    assert sum(map(_workers_done, seen.values())) == WORKERS
    assert not any("compressedNodes" in each["status"] for each in seen.values())
    assert max(largest.values()) < LIMIT_BYTES
