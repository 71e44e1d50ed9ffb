"""Ending a workflow early, and letting one that has ended badly go on."""

from __future__ import annotations

from pipeline.errors import InputError
from pipeline.workflow.cluster.api import Workflows
from pipeline.workflow.cluster.status import status_of
from pipeline.workflow.nodes import SUCCEEDED
from pipeline.workflow.pods import Object


def stop(workflows: Workflows, name: str, *, terminate: bool) -> None:
    """End a workflow that runs: its pods get SIGTERM; `terminate` leaves out its exit handler.

    Raises `InputError` where it has ended already.
    """
    status = status_of(workflows.get(name))
    if status.has_ended:
        raise InputError(f"{name} has ended already ({status.phase})")
    workflows.stop(name, terminate=terminate)


def resume(workflows: Workflows, name: str) -> Object:
    """Let a workflow that failed or was stopped go on; returns the one that does, whose name may be new.

    Argo's server retries the failed nodes of the same workflow. Through the Kubernetes API the workflow is submitted
    once more with the same parameters; either way the steps find their done-markers in the run and skip what is done.
    Raises `InputError` for a workflow that still runs or has succeeded.
    """
    workflow = workflows.get(name)
    status = status_of(workflow)
    if status.phase == SUCCEEDED:
        raise InputError(f"{name} has succeeded; there is nothing to go on with")
    if not status.has_ended:
        raise InputError(f"{name} has not ended ({status.phase}); watch it, or stop it first")
    return workflows.resume(workflow)
