"""One value chooses the storage; what would leave pods waiting for a volume is refused, with what to write instead."""

from __future__ import annotations

import json

import pytest
from charts_support import Manifest, needs_helm, pick, refusal, render

pytestmark = needs_helm
ONE_NODE = ("--set", "storage.mode=rwo", "--set", "storage.node=gpu-7")


def node_selector(objects: list[Manifest]) -> dict[str, str]:
    """The labels that the nodes of all pods must have."""
    labels: dict[str, str] = json.loads(pick(objects, "ConfigMap", "vemseg-parameters")["data"]["node-selector"])
    return labels


def test_a_shared_claim_can_be_mounted_on_all_nodes() -> None:
    assert pick(render(), "PersistentVolumeClaim")["spec"]["accessModes"] == ["ReadWriteMany"]


def test_a_block_claim_is_for_one_node_and_all_pods_are_tied_to_it() -> None:
    objects = render(*ONE_NODE)
    assert pick(objects, "PersistentVolumeClaim")["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert node_selector(objects) == {"kubernetes.io/hostname": "gpu-7"}


def test_the_one_node_adds_to_the_labels_that_nodes_must_have_anyway() -> None:
    objects = render(*ONE_NODE, "--set", "parameters.node-selector.zone=west")
    assert node_selector(objects) == {"kubernetes.io/hostname": "gpu-7", "zone": "west"}


def test_a_block_claim_without_a_node_is_refused_with_three_ways_out() -> None:
    message = refusal("--set", "storage.mode=rwo")
    assert "ReadWriteOnce" in message
    for way_out in ("storage.node=", "storage.mode=rwx", "storage.mode=s3"):
        assert way_out in message


@pytest.mark.parametrize("mode", ["rwx", "s3"])
def test_a_node_is_refused_where_nothing_ties_pods_to_it(mode: str) -> None:
    assert "storage.node" in refusal("--set", f"storage.mode={mode}", "--set", "storage.node=gpu-7")


def test_object_storage_needs_no_claim() -> None:
    objects = render("--set", "storage.mode=s3")
    assert "PersistentVolumeClaim" not in {each["kind"] for each in objects}
    assert pick(objects, "ConfigMap", "vemseg-parameters")["data"]["claim"] == ""


def test_a_claim_that_is_there_already_is_not_made() -> None:
    kinds = {each["kind"] for each in render("--set", "storage.claim.create=false")}
    assert "PersistentVolumeClaim" not in kinds


def test_the_claim_outlives_the_release() -> None:
    assert pick(render(), "PersistentVolumeClaim")["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_the_claim_takes_the_name_that_the_workflows_mount_and_the_class_that_is_asked_for() -> None:
    options = ("--set", "parameters.claim=brains", "--set", "storage.claim.storageClassName=rook-cephfs")
    claim = pick(render(*options), "PersistentVolumeClaim", "brains")
    assert claim["spec"]["storageClassName"] == "rook-cephfs"
    assert "storageClassName" not in pick(render(), "PersistentVolumeClaim")["spec"]  # the cluster's default
