"""Submitting a workflow, and what can be known to be wrong with it before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pipeline.errors import InputError, WorkflowError
from pipeline.workflow.cluster.api import GROUP, VERSION, NotFoundError, Workflows
from pipeline.workflow.pods import Object, claims, fans_out, is_pinned, parameter_values, template_pods
from pipeline.workflow.yamlfile import as_text, plain

if TYPE_CHECKING:
    from pipeline.workflow.cluster.kube import Cluster

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
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise WorkflowError(f"{path}: not one YAML document: {error}") from error
    content = plain(node) if node is not None else None
    kind = content.get("kind") if isinstance(content, dict) else None
    if not isinstance(content, dict) or kind not in ("Workflow", "WorkflowTemplate"):
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
    _check_parameters(source, given)
    maps = {} if around is None else {name: around.config_map(name) for name in _config_maps(source.spec)}
    values = parameter_values(source.spec, given, maps)
    if around is not None:
        _check_claims(source.spec, values, around)
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


def _declared(spec: Object) -> dict[str, Object]:
    return {p["name"]: p for p in (spec.get("arguments") or {}).get("parameters") or []}


def _config_maps(spec: Object) -> set[str]:
    sources = (p.get("valueFrom") or {} for p in _declared(spec).values())
    return {source["configMapKeyRef"]["name"] for source in sources if "configMapKeyRef" in source}


def _check_parameters(source: Source, given: Mapping[str, str]) -> None:
    declared = _declared(source.spec)
    for name, value in given.items():
        if name not in declared:
            raise WorkflowError(f"{source.name} has no parameter {name!r}; it has {', '.join(declared)}")
        if name in _PATHS and value and not value.startswith("/") and "://" not in value:
            raise WorkflowError(
                f"{name}={value}: the pods have no such place; write it as they see it, such as /data/{value} on the "
                "claim, or s3://..."
            )
    for name, parameter in declared.items():
        if name not in given and not any(parameter.get(key) is not None for key in ("value", "default", "valueFrom")):
            what = parameter.get("description", "")
            raise WorkflowError(f"{source.name}: give a value to {name!r} ({what}): -p {name}=...")
        choices = [as_text(choice) for choice in parameter.get("enum") or []]
        if choices and name in given and given[name] not in choices:
            raise WorkflowError(f"{name}={given[name]}: must be one of {', '.join(choices)}")


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
