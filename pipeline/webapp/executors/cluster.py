"""Stages as workflows of a cluster: submitted, looked at now and then, stopped. Only resampling computes here.

The data folder lies on the volume claim that the workflows' pods mount, so that uploads need not be carried there nor
results back. A workflow is named after its job, stage and try: one that was submitted just before the server ended is
found again, and nothing is submitted twice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.argo.cluster import Workflows, connect, from_template, kubernetes, submit
from pipeline.argo.cluster.api import NotFoundError
from pipeline.argo.cluster.logs import PodLogs
from pipeline.argo.cluster.status import Status, status_of
from pipeline.argo.nodes import SUCCEEDED
from pipeline.errors import InputError
from pipeline.volume.objects import local_directory
from pipeline.webapp.executors.base import Handle, Look, Verdict, reason_of
from pipeline.webapp.jobs import Job
from pipeline.webapp.settings import Settings
from pipeline.webapp.stages import Stage

if TYPE_CHECKING:
    from pipeline.argo.cluster.kube import Cluster

LOOK_SECONDS = 2.0
"""Between two looks at a workflow: the API server has others to serve."""
JOB_LABEL = "vemseg/job"
_PLACES = ("model", "input", "run")  # parameters that are seen differently from a pod
_WORKERS = "2"


class ClusterExecutor:
    """Runs each stage as a Workflow of the namespace, from its installed template."""

    def __init__(self, settings: Settings, workflows: Workflows, around: Cluster | None) -> None:
        self._data, self._pods_data = settings.data, settings.cluster_data or str(settings.data)
        self._given = settings.cluster_parameters
        self._workflows, self._around = workflows, around
        self._looks: dict[str, tuple[float, Look]] = {}
        self.workers = int(self._given.get("workers", _WORKERS))

    @classmethod
    def connected(cls, settings: Settings, environment: Mapping[str, str] = os.environ) -> ClusterExecutor:
        """The executor for the cluster that the environment names. Raises InputError where it names none."""
        workflows = connect(environment)
        try:
            around = kubernetes(environment, workflows.namespace)
        except InputError:  # only Argo's server is at hand
            around = None
        return cls(settings, workflows, around)

    def start(self, job: Job, stage: Stage) -> Handle:
        name = f"vemseg-app-{job.id}-{stage.name}-{job.record.tries}"
        try:
            self._workflows.get(name)
        except NotFoundError:
            source = from_template(self._workflows, f"vemseg-{stage.name}")
            metadata = {"name": name, "labels": {JOB_LABEL: job.id}}
            named = replace(source, workflow={**source.workflow, "metadata": metadata})
            submit(self._workflows, named, self._parameters(stage), self._around)
        return {"workflow": name}

    def look(self, job: Job, stage: Stage, handle: Handle) -> Look:
        name = handle["workflow"]
        at, known = self._looks.get(name, (0.0, Look("running")))
        if time.monotonic() - at < LOOK_SECONDS:
            return known
        try:
            found = self._look(job, status_of(self._workflows.get(name)))
        except NotFoundError:
            found = Look("lost", known.nodes)
        if found.verdict == "running":
            self._looks[name] = time.monotonic(), found
        else:
            self._looks.pop(name, None)
        return found

    def stop(self, job: Job, stage: Stage, handle: Handle, *, at_once: bool) -> None:
        try:
            if not status_of(self._workflows.get(handle["workflow"])).has_ended:
                self._workflows.stop(handle["workflow"], terminate=at_once)
        except NotFoundError:
            return

    def _look(self, job: Job, status: Status) -> Look:
        if not status.has_ended:
            return Look("running", status.nodes)
        verdict: Verdict = "succeeded" if status.phase == SUCCEEDED else "failed"
        if verdict == "succeeded":
            return Look(verdict, status.nodes)
        logs = PodLogs(self._workflows)
        logs.status = status
        reason, tail = reason_of(status.nodes, logs, [status.message], Path(self._seen_by_pods(str(job.folder))))
        return Look(verdict, status.nodes, reason, tail)

    def _parameters(self, stage: Stage) -> dict[str, str]:
        places = {name: self._seen_by_pods(value) for name, value in stage.parameters.items() if name in _PLACES}
        return {**stage.parameters, **self._given, **places}

    def _seen_by_pods(self, place: str) -> str:
        """Where the pods find what this server finds at a place; what is not below the data folder, at the same."""
        directory = local_directory(place)
        if directory is None:
            return place
        if directory.is_relative_to(self._data):
            return str(Path(self._pods_data) / directory.relative_to(self._data))
        return str(directory)
