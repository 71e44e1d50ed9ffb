"""The kustomize overlays install what the chart installs with the values file of the same site; only labels differ."""

from __future__ import annotations

import json

import pytest
import yaml
from charts_support import (
    REPOSITORY,
    SITES,
    Manifest,
    kustomized,
    manifests,
    needs_helm,
    needs_kubectl,
    render,
    site_values,
    workflow_parameters,
)


def parsed(value: str) -> object:
    """A parameter's value; JSON as what it means, however it is spaced."""
    return json.loads(value) if value.startswith(("{", "[")) else value


def essence(each: Manifest) -> tuple[tuple[str, str], Manifest]:
    """Kind and name, and what the object says beside Helm's and kustomize's own labels and annotations."""
    body = {key: value for key, value in each.items() if key not in ("metadata", "apiVersion")}
    for subject in body.get("subjects", []):
        subject.pop("namespace", None)
    if each["metadata"]["name"] == "vemseg-parameters":
        body["data"] = {key: parsed(value) for key, value in (workflow_parameters() | body.get("data", {})).items()}
    return (each["kind"], each["metadata"]["name"]), body


@needs_helm
@needs_kubectl
@pytest.mark.parametrize("site", SITES)
def test_overlay_and_chart_install_the_same_objects(site: str) -> None:
    overlay = dict(essence(each) for each in manifests(kustomized(f"overlays/{site}")))
    assert overlay == dict(essence(each) for each in render("--values", site_values(site), "--skip-tests"))


@needs_kubectl
@pytest.mark.parametrize("site", SITES)
def test_an_overlay_sets_only_parameters_that_workflows_take(site: str) -> None:
    text = kustomized(f"overlays/{site}")
    data = dict(essence(each) for each in manifests(text))["ConfigMap", "vemseg-parameters"]["data"]
    assert set(data) == set(workflow_parameters())


@needs_kubectl
def test_the_namespace_that_kind_gets_is_as_strict_as_a_shared_clusters() -> None:
    namespace = yaml.safe_load((REPOSITORY / "k8s/kind/namespace.yaml").read_text())
    assert {namespace["metadata"]["name"]} == {
        each["metadata"]["namespace"] for each in manifests(kustomized("overlays/kind"))
    }
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_kind_cluster_has_the_one_node_that_its_overlay_pins_pods_to() -> None:
    cluster = yaml.safe_load((REPOSITORY / "k8s/kind/cluster.yaml").read_text())
    parameters = yaml.safe_load((REPOSITORY / "k8s/overlays/kind/parameters.yaml").read_text())["data"]
    assert len(cluster["nodes"]) == 1
    selector = json.loads(parameters["node-selector"])
    assert selector == {"kubernetes.io/hostname": f"{cluster['name']}-control-plane"}
