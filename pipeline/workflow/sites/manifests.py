"""What there is to check: the objects of YAML files, and the pods that each of them makes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from pipeline.errors import InputError, WorkflowError
from pipeline.workflow.pods import Object, filled, parameter_values, template_pods

# Where the PodSpec of a kind is.
_POD_SPECS = {
    "Pod": "spec",
    **dict.fromkeys(
        ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "ReplicationController"), "spec.template.spec"
    ),
    "CronJob": "spec.jobTemplate.spec.template.spec",
}
_WORKFLOW_SPECS = {
    **dict.fromkeys(("Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate"), "spec"),
    "CronWorkflow": "spec.workflowSpec",
}


@dataclass(frozen=True)
class Manifest:
    """One Kubernetes object and the file that it stands in; `path` is where in it, for one inside another."""

    file: str
    content: Object
    path: str = ""

    @property
    def kind(self) -> str:
        return str(self.content.get("kind", ""))

    @property
    def label(self) -> str:
        """Kind and name, for messages."""
        metadata = self.content.get("metadata") or {}
        return f"{self.kind}/{metadata.get('name') or metadata.get('generateName', '')}"


@dataclass(frozen=True)
class MadePod:
    """A pod that an object makes: `path` is where its spec comes from, `workflow` the spec of its workflow, if any."""

    manifest: Manifest
    path: str
    spec: Object
    workflow: Object | None


def read_manifests(texts: Mapping[str, str]) -> list[Manifest]:
    """All objects of these texts (by file name): several a file, lists taken apart.

    Raises `InputError`, with file and line, for what is no YAML or no Kubernetes object.
    """
    return [manifest for file, text in texts.items() for manifest in _objects(file, text)]


def pods_of(
    manifest: Manifest, values: Mapping[str, str], config_maps: Mapping[str, Mapping[str, str]]
) -> list[MadePod]:
    """The pods that an object makes; `values` fill in parameters of workflows, `config_maps` their references."""
    content, kind = manifest.content, manifest.kind
    if kind in _POD_SPECS:
        spec = _at(content, _POD_SPECS[kind])
        return [MadePod(manifest, _joined(manifest.path, _POD_SPECS[kind]), spec, None)]
    if kind not in _WORKFLOW_SPECS:
        return []
    workflow, where = _at(content, _WORKFLOW_SPECS[kind]), _joined(manifest.path, _WORKFLOW_SPECS[kind])
    settled = parameter_values(workflow, values, config_maps)
    try:
        found = template_pods(workflow, settled)
    except WorkflowError as error:
        raise InputError(f"{manifest.file}: {manifest.label}: {error}") from error
    made = [MadePod(manifest, f"{where}.templates[{pod.index}] ({pod.template})", pod.spec, workflow) for pod in found]
    for inner in _made_by_resources(manifest, workflow, where, settled):
        made += pods_of(inner, {}, config_maps)
    return made


def config_maps_of(manifests: Iterable[Manifest]) -> dict[str, dict[str, str]]:
    """The data of all ConfigMaps, by name."""
    found = (manifest.content for manifest in manifests if manifest.kind == "ConfigMap")
    return {content["metadata"]["name"]: content.get("data") or {} for content in found}


def access_modes_of(manifests: Iterable[Manifest]) -> dict[str, list[str]]:
    """How the volume claims among the objects may be mounted, by name."""
    found = (manifest.content for manifest in manifests if manifest.kind == "PersistentVolumeClaim")
    return {content["metadata"]["name"]: (content.get("spec") or {}).get("accessModes") or [] for content in found}


def _objects(file: str, text: str) -> Iterator[Manifest]:
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        raise InputError(f"{file}: not YAML: {error}") from error
    for document in documents:
        if not isinstance(document, dict) or not document.get("kind"):
            raise InputError(f"{file}: expected Kubernetes objects with 'kind', found {str(document)[:60]!r}")
        if document["kind"].endswith("List") and isinstance(document.get("items"), list):
            yield from (Manifest(file, item) for item in document["items"])
        else:
            yield Manifest(file, document)


def _made_by_resources(
    manifest: Manifest, workflow: Object, where: str, values: Mapping[str, str]
) -> Iterator[Manifest]:
    """The objects that `resource` templates create, as far as they are YAML before the run fills them in."""
    for index, template in enumerate(workflow.get("templates") or []):
        text = (template.get("resource") or {}).get("manifest")
        if isinstance(text, str):
            try:
                content = yaml.safe_load(filled(text, values))
            except yaml.YAMLError:
                continue
            if isinstance(content, dict):
                yield Manifest(manifest.file, content, f"{where}.templates[{index}].resource.manifest")


def _at(content: Object, path: str) -> Object:
    for part in path.split("."):
        content = content.get(part) or {}
    return content


def _joined(path: str, more: Any) -> str:
    return f"{path}: {more}" if path else str(more)
