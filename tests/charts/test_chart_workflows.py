"""Chart and kustomize base install the workflow files themselves: every file, and all that is written in it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from charts_support import (
    CHART,
    SITES,
    WORKFLOWS,
    kustomized,
    manifests,
    needs_argo,
    needs_helm,
    needs_kubectl,
    pick,
    render,
    site_values,
    succeed,
)

LINKS = CHART / "files/workflows"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_workflow_is_linked_into_the_chart_and_listed_for_kustomize(path: Path) -> None:
    assert (LINKS / path.name).is_symlink()
    assert (LINKS / path.name).resolve() == path
    assert path.name in yaml.safe_load((path.parent / "Kustomization").read_text())["resources"]


@needs_helm
@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_the_chart_renders_a_workflow_as_it_is_written(path: Path) -> None:
    written = yaml.safe_load(path.read_text())
    assert pick(render(), written["kind"], written["metadata"]["name"]) == written


@needs_helm
def test_the_packed_chart_renders_what_the_folder_with_its_links_renders(tmp_path: Path) -> None:
    succeed("helm", "package", CHART, "--destination", tmp_path)
    (packed,) = tmp_path.glob("vemseg-*.tgz")
    assert render(chart=packed) == render()


@needs_kubectl
@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_kustomize_changes_nothing_below_a_workflows_spec(path: Path) -> None:
    written = yaml.safe_load(path.read_text())
    built = manifests(kustomized("base"))
    assert pick(built, written["kind"], written["metadata"]["name"])["spec"] == written["spec"]


@needs_helm
@needs_argo
@pytest.mark.parametrize("site", SITES)
def test_argo_finds_nothing_wrong_with_what_the_chart_renders(site: str, tmp_path: Path) -> None:
    for each in render("--values", site_values(site)):
        if each["apiVersion"].startswith("argoproj.io/"):
            name = f"{each['kind']}-{each['metadata']['name']}.yaml"
            (tmp_path / name).write_text(yaml.safe_dump(each))
    assert len(list(tmp_path.iterdir())) == len(WORKFLOWS) + 1  # and the Workflow of `helm test`
    succeed("env", "-u", "ARGO_SERVER", "argo", "lint", "--offline", tmp_path)
