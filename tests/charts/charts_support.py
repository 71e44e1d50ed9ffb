"""What the tests of chart and kustomize folders share: where they are, the commands, manifests as dictionaries."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
CHART = REPOSITORY / "charts/vemseg"
WORKFLOWS = sorted((REPOSITORY / "workflows").glob("*.yaml"))
SITES = ("kind", "nrp", "generic")

Manifest = dict[str, Any]

needs_helm = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not installed")
needs_argo = pytest.mark.skipif(shutil.which("argo") is None, reason="argo is not installed")
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


def command(*words: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever its exit code; the result holds both outputs."""
    return subprocess.run([*map(str, words)], input=stdin, capture_output=True, text=True, timeout=300, check=False)


def succeed(*words: str | Path, stdin: str | None = None) -> str:
    """The standard output of a command that must succeed."""
    done = command(*words, stdin=stdin)
    assert done.returncode == 0, f"{' '.join(map(str, words))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def manifests(text: str) -> list[Manifest]:
    """The objects of a YAML stream."""
    return [document for document in yaml.safe_load_all(text) if document]


def render(*options: str | Path, chart: Path = CHART) -> list[Manifest]:
    """What `helm template` makes of the chart with these options, without asking a cluster."""
    return manifests(_rendered(chart, *map(str, options)))


@functools.cache
def _rendered(chart: Path, *options: str) -> str:
    return succeed("helm", "template", "try", chart, "--namespace", "lab", *options)


def refusal(*options: str | Path) -> str:
    """What `helm template` says when it refuses these options."""
    done = command("helm", "template", "try", CHART, "--namespace", "lab", *options)
    assert done.returncode != 0, "rendered, though it should have been refused"
    return done.stderr


def pick(objects: list[Manifest], kind: str, name: str | None = None) -> Manifest:
    """The one object of this kind, and of this name where there may be several."""
    found = [each for each in objects if each["kind"] == kind and name in (None, each["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} objects {kind} {name or ''}"
    return found[0]


@functools.cache
def kustomized(folder: str) -> str:
    """What `kubectl kustomize` makes of a folder below k8s, without any flag."""
    return succeed("kubectl", "kustomize", REPOSITORY / "k8s" / folder)


def site_values(site: str) -> Path:
    """The chart's values file for a site."""
    return CHART / f"values-{site}.yaml"


def workflow_parameters() -> dict[str, str]:
    """Every parameter that a workflow takes from the ConfigMap vemseg-parameters, with its default."""
    found: dict[str, str] = {}
    for path in WORKFLOWS:
        for parameter in yaml.safe_load(path.read_text())["spec"]["arguments"]["parameters"]:
            source = parameter.get("valueFrom", {})
            if source.get("configMapKeyRef", {}).get("name") == "vemseg-parameters":
                key, default = source["configMapKeyRef"]["key"], source["default"]
                assert found.setdefault(key, default) == default, f"{key}: two defaults"
    return found
