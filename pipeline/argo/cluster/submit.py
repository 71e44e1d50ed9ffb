"""Submitting a workflow, and what can be known to be wrong with it before; stopping it, and letting it go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.argo import resolution
from pipeline.argo.cluster.api import GROUP, VERSION, NotFoundError, Workflows
from pipeline.argo.resolution import claims, fans_out, is_pinned, template_pods
from pipeline.argo.yamlfile import Object, read_object
from pipeline.errors import InputError, WorkflowError

if TYPE_CHECKING:
    from pipeline.argo.cluster.kube import Cluster

from pipeline.argo.cluster.status import status_of
from pipeline.argo.nodes import SUCCEEDED

_PATHS = ("config", "run", "model", "input")  # parameters that say where something is, as the pods see it


@dataclass(frozen=True)
class Source:
    """What to submit: `workflow` is the object without the caller's parameters, `spec` all that it will run."""

    name: str
    workflow: Object
    spec: Object


def from_template(workflows: Workflows, name: str) -> Source:
    """The WorkflowTemplate `name` of the namespace; `InputError` says what to do where it is not installed."""
    try:
        spec = workflows.template(name)["spec"]
    except NotFoundError as error:
        there = ", ".join(workflows.template_names()) or "none"
        raise InputError(
            f"namespace {workflows.namespace} has no workflow template {name!r} (it has {there}); install the chart "
            "(helm install vemseg charts/vemseg), or submit the file: vemseg submit workflows/study.yaml"
        ) from error
    return Source(name, _workflow(f"{name}-", {}, {"workflowTemplateRef": {"name": name}}), spec)


def from_file(path: Path) -> Source:
    """A file with one Workflow or WorkflowTemplate; raises `WorkflowError` for anything else."""
    content = read_object(path)
    kind = content.get("kind")
    if kind not in ("Workflow", "WorkflowTemplate"):
        raise WorkflowError(f"{path}: expected a Workflow or WorkflowTemplate, not {kind or 'this'}")
    metadata, spec = content.get("metadata") or {}, content.get("spec") or {}
    if metadata.get("namespace"):
        raise WorkflowError(f"{path}: metadata.namespace: remove it; say where with --namespace")
    prefix = metadata.get("generateName") or f"{metadata.get('name', 'vemseg')}-"
    return Source(str(path), _workflow(prefix, metadata, spec), spec)


def submit(workflows: Workflows, source: Source, given: Mapping[str, str], around: Cluster | None) -> Object:
    """Check and submit; returns the Workflow that the cluster made of it.

    `around` shows the namespace's claims and ConfigMaps; without it (only Argo's server is at hand) what needs them
    goes unchecked. Raises `WorkflowError` for parameters and `InputError` for what the cluster lacks.
    """
    resolution.check_parameters(source.spec, given, source.name)
    _check_values(source, given)
    if around is not None:
        maps = around.config_map_values(resolution.config_maps(source.spec))
        _check_claims(source.spec, resolution.parameter_values(source.spec, given, maps), around)
    return workflows.create(_with_arguments(source.workflow, given))


def _workflow(prefix: str, metadata: Object, spec: Object) -> Object:
    kept = {key: metadata[key] for key in ("labels", "annotations") if key in metadata}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "Workflow",
        "metadata": {"generateName": prefix, **kept},
        "spec": spec,
    }


def _with_arguments(workflow: Object, given: Mapping[str, str]) -> Object:
    """The workflow with the caller's values in place of, or beside, the parameters of its file."""
    arguments = workflow["spec"].get("arguments") or {}
    own = arguments.get("parameters") or []
    parameters = [
        {"name": p["name"], "value": given[p["name"]]} if p["name"] in given else p
        for p in [*own, *({"name": name} for name in given if name not in [p["name"] for p in own])]
    ]
    return {**workflow, "spec": {**workflow["spec"], "arguments": {**arguments, "parameters": parameters}}}


def _check_values(source: Source, given: Mapping[str, str]) -> None:
    """Refuse a path that no pod has, and a value that a controller would read as a tag of the workflow itself."""
    is_inline = "workflowTemplateRef" not in source.workflow["spec"]
    for name, value in given.items():
        if name in _PATHS and value and not value.startswith("/") and "://" not in value:
            raise WorkflowError(
                f"{name}={value}: the pods have no such place; write it as they see it, such as /data/{value} on the "
                "claim, or s3://..."
            )
        if is_inline and "{{" in value:
            raise WorkflowError(
                f"{name}={value}: '{{{{' would begin a tag in a workflow that is submitted as a file; install the file "
                "(kubectl create --filename ...) and submit it by its name, which takes any value"
            )


def _check_claims(spec: Object, values: Mapping[str, str], around: Cluster) -> None:
    """Refuse a claim that is not there, and one for a single node whose pods would spread over several."""
    loose: dict[str, Any] = {}
    for pod in template_pods(spec, values):
        for claim in claims(pod.spec):
            loose[claim] = loose.get(claim, False) or not is_pinned(pod.spec)
    for claim, is_loose in loose.items():
        try:
            modes = around.access_modes(claim)
        except NotFoundError as error:
            raise InputError(
                f"namespace {around.namespace} has no volume claim {claim!r}; create it, or name another: -p claim=..."
            ) from error
        task = fans_out(spec)
        if not task or "ReadWriteMany" in modes:
            continue
        if "ReadWriteOncePod" in modes or (is_loose and not around.has_one_node()):
            raise InputError(_only_one_node(claim, modes, task))


def _only_one_node(claim: str, modes: list[str], task: str) -> str:
    pin = """, or pin all pods to one node: -p node-selector='{"kubernetes.io/hostname": "<node>"}'"""
    return (
        f"claim {claim} is {', '.join(modes)}: it can be mounted in one place at a time, but task {task!r} runs as "
        "several pods, which may be put on several nodes and would wait for the volume for ever. Use a ReadWriteMany "
        f"claim (-p claim=...) or s3:// URLs{'' if 'ReadWriteOncePod' in modes else pin}"
    )


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
