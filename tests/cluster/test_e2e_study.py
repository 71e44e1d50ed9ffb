"""A study in a cluster is the study of a laptop: the same files to the last byte, the same nodes in the same phases.

Two studies, of nine and of four trainings, run at the same time in a namespace with pod security `restricted`, by
Argo's own controller, installed and submitted by a user who has no rights elsewhere. They share one semaphore.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from captures import STUDIES
from lab import SLOTS, Files, Lab
from observing import Object, Workflow, most_at_once, phases, seconds_between
from tinystudy import TELLING_TIMES
from tinystudy import files as contents

from pipeline.argo.directory import StateDirectory

pytestmark = pytest.mark.timeout(1800)
# What tells of times, or of the machine that did it.
# The report shows when each step was at work, and what was drawn: where there is OpenGL, and by its version.
OF_ITS_OWN = (*TELLING_TIMES, "evaluation/report.html", "done/report", "evaluation/renders", "done/render")


@pytest.fixture(scope="module")
def ended(studies: dict[str, Workflow], runs: dict[str, Path]) -> dict[str, dict[str, Object]]:
    """The nodes of both studies after their end."""
    for workflow in studies.values():
        status = workflow.wait()
        assert status["phase"] == "Succeeded", status
    return {name: workflow.nodes() for name, workflow in studies.items()}


@pytest.mark.parametrize("name", STUDIES)
def test_every_file_is_that_of_the_laptop(
    name: str, ended: object, runs: dict[str, Path], files: Files, tmp_path: Path
) -> None:
    ours = contents(files.get(f"/data/runs/{name}", tmp_path), without=OF_ITS_OWN)
    theirs = contents(runs[name], without=OF_ITS_OWN)
    assert "evaluation/scores.json" in ours
    assert ours.keys() == theirs.keys()
    assert [key for key in ours if ours[key] != theirs[key]] == []


def test_renders_are_drawn_in_pods(ended: object, files: Files) -> None:
    drawn = files.run("find", "/data/runs/tiny/evaluation/renders", "-type", "f", "-size", "+0").decode().split()
    assert {Path(name).suffix for name in drawn} >= {".png", ".gif", ".html"}


def test_the_user_pulls_the_same_tables(
    ended: object, studies: dict[str, Workflow], runs: dict[str, Path], lab: Lab, tmp_path: Path
) -> None:
    lab.vemseg("pull", studies["tiny"].name, tmp_path / "pulled")
    for table in ("scores.json", "scores.csv", "scores.md"):
        pulled = next((tmp_path / "pulled").rglob(table))
        assert pulled.read_bytes() == (runs["tiny"] / "evaluation" / table).read_bytes()


@pytest.mark.parametrize("name", STUDIES)
def test_nodes_and_phases_are_those_of_the_laptop(
    name: str, ended: dict[str, dict[str, Object]], runs: dict[str, Path]
) -> None:
    saved = StateDirectory(runs[name] / "workflow", 0).read()
    assert saved is not None
    theirs = {each.name.removeprefix(saved.name) or ".": (each.type, each.phase) for each in saved.nodes.values()}
    assert phases(ended[name]) == theirs
    trainings = [node for node in theirs if node.startswith(".target(") and node.endswith(".train")]
    assert len(trainings) == {"nine": 9, "tiny": 4}[name]


def test_two_studies_never_hold_more_than_the_semaphore_has(ended: dict[str, dict[str, Object]], lab: Lab) -> None:
    """Of thirteen trainings and what comes of them, where there is one GPU more than the semaphore has places."""
    templates = lab.get("workflowtemplate", "vemseg-study")["spec"]["templates"]
    sharing = {template["name"] for template in templates if "synchronization" in template}
    pods = [node for nodes in ended.values() for node in nodes.values() if node["type"] == "Pod"]
    held = [node for node in pods if node["templateName"] in sharing]
    assert len([node for node in held if node["templateName"] == "train"]) == 13
    assert most_at_once(map(seconds_between, held)) == SLOTS


def test_steps_hold_no_token_and_use_no_more_than_they_ask_for(
    ended: object, studies: dict[str, Workflow], lab: Lab
) -> None:
    pods = lab.get("pods", "--selector", f"workflows.argoproj.io/workflow={studies['nine'].name}")["items"]
    assert pods
    for pod in pods:
        assert pod["spec"]["automountServiceAccountToken"] is False
        for container in (*pod["spec"]["initContainers"], *pod["spec"]["containers"]):
            resources = container["resources"]
            assert resources["requests"] == resources["limits"]
            mounts = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
            assert ("/var/run/secrets/kubernetes.io/serviceaccount" in mounts) == (container["name"] != "main")
