"""Jobs of the application as workflows of a cluster, by both ways to it: begun once, followed, ended, explained.

The workflow is a small one under the name of the real template; tests/cluster has the application itself in a pod.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from small_cluster import SPEC, kubectl

from pipeline.argo.cluster import Workflows
from pipeline.errors import InputError
from pipeline.webapp.catalogue import ModelCard
from pipeline.webapp.executors.base import Handle, Look
from pipeline.webapp.executors.cluster import ClusterExecutor
from pipeline.webapp.intake import Found
from pipeline.webapp.jobs import Job, JobStore
from pipeline.webapp.settings import Settings
from pipeline.webapp.stages import Stage, progress, stages
from pipeline.webapp.worker import Worker

pytestmark = [pytest.mark.timeout(600)]
MODEL = ModelCard("demo", "file:///data/models/multilabel", "multilabel", (), False, (40.0, 8.0, 8.0), None, None, None)
FOUND = Found("new.tif", "/data/new.tif", "TIFF stack", (4, 8, 8), "uint8", (40.0, 8.0, 8.0), 256, (), None)


@pytest.fixture(scope="module", autouse=True)
def template(namespace: str) -> None:
    """The small workflow, called as the real one is, with its parameters and names of templates."""
    content = yaml.safe_load(SPEC.replace("{name: small}", "{name: vemseg-segment}"))
    parameters = content["spec"]["arguments"]["parameters"]
    parameters += [{"name": name, "value": ""} for name in ("model", "input", "workers")]
    tasks = content["spec"]["templates"][0]["dag"]["tasks"]
    names = {"work": "infer", "last": "finish"}
    for part in [*content["spec"]["templates"], *tasks]:
        part["name"] = names.get(part["name"], part["name"])
        part["template"] = names.get(part.get("template", ""), part.get("template", ""))
        if part["name"] == "finish" and "depends" in part:
            part["depends"] = "infer"
        if "depends" in part:
            part["depends"] = part["depends"].replace("last", "finish")
    for part in content["spec"]["templates"]:
        part.pop("template")
    kubectl("-n", namespace, "create", "-f", "-", item=content)


@pytest.fixture
def order(tmp_path: Path) -> Callable[..., tuple[Settings, Job]]:
    """Order a job whose workflow takes `seconds` and ends with `code`."""

    def make(seconds: int = 0, code: int = 0) -> tuple[Settings, Job]:
        given = {"seconds": str(seconds), "code": str(code)}
        settings = Settings(
            data=tmp_path, models=(), executor="cluster", cluster_data="/data/app", cluster_parameters=given
        )
        return settings, JobStore(settings).create("anna", FOUND, MODEL)

    return make


def begin(settings: Settings, job: Job, workflows: Workflows) -> tuple[ClusterExecutor, Stage, Handle]:
    executor = ClusterExecutor(settings, workflows, None)
    (stage,) = stages(job, executor.workers)
    return executor, stage, executor.start(job, stage)


def until_it_ends(executor: ClusterExecutor, job: Job, stage: Stage, handle: Handle) -> Look:
    end = time.monotonic() + 300
    while (look := executor.look(job, stage, handle)).verdict == "running":
        assert time.monotonic() < end, look
        time.sleep(0.5)
    return look


def test_a_job_is_worked_off(order: Callable[..., tuple[Settings, Job]], workflows: Workflows) -> None:
    settings, job = order()
    worker, store = Worker(settings, ClusterExecutor(settings, workflows, None)), JobStore(settings)
    end = time.monotonic() + 300
    while not (job := store.get("anna", job.id)).has_ended:
        assert time.monotonic() < end, job
        worker.tick()
        time.sleep(0.5)
    assert (job.state, job.message) == ("done", "")
    states = {step.name: step.state for step in job.steps}
    assert (states["segment.infer"], states["segment.finish"]) == ("done", "done")


def test_what_was_submitted_is_found_again(
    order: Callable[..., tuple[Settings, Job]], workflows: Workflows, namespace: str
) -> None:
    settings, job = order(seconds=30)
    _, _, first = begin(settings, job, workflows)
    executor, stage, again = begin(settings, job, workflows)
    assert again == first
    items = json.loads(kubectl("-n", namespace, "get", "workflows", "-l", f"vemseg/job={job.id}", "-o", "json"))[
        "items"
    ]
    (workflow,) = items
    given = {each["name"]: each.get("value") for each in workflow["spec"]["arguments"]["parameters"]}
    assert given["run"] == f"/data/app/jobs/{job.id}/run"
    assert (given["input"], given["model"]) == ("/data/new.tif", "/data/models/multilabel")
    executor.stop(job, stage, again, at_once=False)
    assert until_it_ends(executor, job, stage, again).verdict == "failed"
    executor.stop(job, stage, again, at_once=True)


def test_one_that_was_deleted_is_lost(
    order: Callable[..., tuple[Settings, Job]], workflows: Workflows, namespace: str
) -> None:
    settings, job = order(seconds=30)
    executor, stage, handle = begin(settings, job, workflows)
    assert executor.look(job, stage, handle).verdict == "running"
    kubectl("-n", namespace, "delete", "workflow", handle["workflow"], "--wait=true")
    assert until_it_ends(executor, job, stage, handle).verdict == "lost"
    executor.stop(job, stage, handle, at_once=True)


def test_why_it_failed_is_in_its_log(order: Callable[..., tuple[Settings, Job]], workflows: Workflows) -> None:
    settings, job = order(code=3)
    executor, stage, handle = begin(settings, job, workflows)
    look = until_it_ends(executor, job, stage, handle)
    assert look.verdict == "failed"
    assert "the reason" in look.log_tail
    steps = {step.name: step.state for step in progress(stage, look.nodes, time.time())}
    assert (steps["segment.infer"], steps["segment.finish"]) == ("done", "failed")


def test_a_namespace_without_the_template_is_told_so(
    order: Callable[..., tuple[Settings, Job]], workflows: Workflows, namespace: str
) -> None:
    settings, job = order()
    executor = ClusterExecutor(settings, workflows, None)
    stage = Stage("other", job.run, {}, {})
    with pytest.raises(InputError, match="install the chart"):
        executor.start(job, stage)
