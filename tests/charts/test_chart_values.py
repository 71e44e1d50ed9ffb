"""The schema of the values: nothing undescribed, nothing unknown let through, wrong values named where they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from charts_support import CHART, SITES, needs_helm, refusal, render, site_values

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
FREE = {"global", "labels"}  # maps whose keys are the user's


def objects(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object with keys of its own, and the dotted path to it."""
    if "properties" in schema:
        yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from objects(inner, f"{path}.{name}".strip("."))
    if "items" in schema:
        yield from objects(schema["items"], f"{path}[0]")


def leaves(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, inner in schema["properties"].items():
        here = f"{path}.{name}".strip(".")
        if "properties" in inner:
            yield from leaves(inner, here)
        else:
            yield here, inner


def flat(values: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, value in values.items():
        here = f"{path}.{name}".strip(".")
        if isinstance(value, dict) and value and name not in FREE:
            yield from flat(value, here)
        else:
            yield here


def test_every_value_is_described() -> None:
    assert [path for path, schema in leaves(SCHEMA) if not schema.get("description", "").endswith(".")] == []


def test_values_yaml_names_every_value_of_the_schema() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(flat(values)) == {path for path, _ in leaves(SCHEMA)} - {"global"}


def test_no_object_of_the_schema_lets_unknown_keys_through() -> None:
    assert [path for path, schema in objects(SCHEMA) if schema.get("additionalProperties") is not False] == []


@needs_helm
@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("storage.mod=rwx", "mod"),
        ("storage.mode=nfs", "storage/mode"),
        ("parameters.gpus=two", "parameters/gpus"),
        ("parameters.train-memory=16G", "parameters/train-memory"),
        ("gpuSlots=0", "gpuSlots"),
        ("networkPolicy.egress[0].cidr=everywhere", "networkPolicy/egress/0"),
    ],
)
def test_a_wrong_value_is_refused_and_named(setting: str, named: str) -> None:
    assert named in refusal("--set", setting)


@needs_helm
@pytest.mark.parametrize("site", SITES)
def test_the_values_file_of_a_site_is_accepted_and_installs_namespaced_objects_only(site: str) -> None:
    kinds = {each["kind"] for each in render("--values", site_values(site))}
    assert kinds >= {"WorkflowTemplate", "ConfigMap", "ServiceAccount", "Role", "RoleBinding", "NetworkPolicy"}
    assert not {kind for kind in kinds if kind.startswith("Cluster")} | (
        kinds & {"Namespace", "CustomResourceDefinition", "PersistentVolume", "StorageClass", "PriorityClass"}
    )


@needs_helm
def test_as_part_of_another_chart_it_takes_the_global_values_that_helm_hands_down() -> None:
    assert render("--set", "global.anything=1") == render()
