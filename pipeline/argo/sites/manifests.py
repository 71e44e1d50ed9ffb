"""What there is to check: the objects of YAML files, the pods that each makes, and what a rule may ask of these.

A rule asks for fields, and for `facts.<name>`, worked out here:

of a pod        gpus, gpu-resources, cpu, memory (bytes), avoided-labels, split-claims
of a container  cpu-ratio, memory-ratio (limit to request), script, image-tag
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pipeline.argo import resolution
from pipeline.argo.resolution import claims, fans_out, filled, is_pinned, template_pods
from pipeline.argo.yamlfile import Object, objects, tags_in_quotes
from pipeline.errors import InputError, WorkflowError

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


def pods_of(manifest: Manifest, values: Mapping[str, str], config_maps: Mapping[str, str]) -> list[MadePod]:
    """The pods that an object makes; `values` fill in parameters of workflows, `config_maps` (by `name/key`) others."""
    content, kind = manifest.content, manifest.kind
    if kind in _POD_SPECS:
        spec = _at(content, _POD_SPECS[kind])
        return [MadePod(manifest, _joined(manifest.path, _POD_SPECS[kind]), spec, None)]
    if kind not in _WORKFLOW_SPECS:
        return []
    workflow, where = _at(content, _WORKFLOW_SPECS[kind]), _joined(manifest.path, _WORKFLOW_SPECS[kind])
    settled = resolution.parameter_values(workflow, values, config_maps)
    try:
        found = template_pods(workflow, settled)
    except WorkflowError as error:
        raise InputError(f"{manifest.file}: {manifest.label}: {error}") from error
    made = [MadePod(manifest, f"{where}.templates[{pod.index}] ({pod.template})", pod.spec, workflow) for pod in found]
    for inner in _made_by_resources(manifest, workflow, where, settled):
        made += pods_of(inner, {}, config_maps)
    return made


def config_maps_of(manifests: Iterable[Manifest]) -> dict[str, str]:
    """The data of all ConfigMaps, by `name/key`."""
    found = (manifest.content for manifest in manifests if manifest.kind == "ConfigMap")
    return {f"{c['metadata']['name']}/{key}": value for c in found for key, value in (c.get("data") or {}).items()}


def access_modes_of(manifests: Iterable[Manifest]) -> dict[str, list[str]]:
    """How the volume claims among the objects may be mounted, by name."""
    found = (manifest.content for manifest in manifests if manifest.kind == "PersistentVolumeClaim")
    return {content["metadata"]["name"]: (content.get("spec") or {}).get("accessModes") or [] for content in found}


def _objects(file: str, text: str) -> Iterator[Manifest]:
    for document in objects(text, file):
        if document is None:
            continue
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
            path = f"{where}.templates[{index}].resource.manifest"
            with suppress(WorkflowError):
                contents = objects(tags_in_quotes(filled(text, values)), path)
                yield from (Manifest(manifest.file, content, path) for content in contents if isinstance(content, dict))


def _at(content: Object, path: str) -> Object:
    for part in path.split("."):
        content = content.get(part) or {}
    return content


def _joined(path: str, more: Any) -> str:
    return f"{path}: {more}" if path else str(more)


_GPU = re.compile(r"(nvidia|amd|intel)\.com/.+")
# Kubernetes' grammar: a number, then an exponent, or a decimal or binary unit (k is a thousand, K is none).
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([numkMGTPE]|[KMGTPE]i)?")
_FACTORS = {"n": 1e-9, "u": 1e-6, "m": 1e-3, None: 1.0, "k": 1e3}
_FACTORS |= {letter: 1000.0**power for power, letter in enumerate("MGTPE", 2)}
_FACTORS |= {f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTPE", 1)}


def quantity(text: Any) -> float | None:
    """A Kubernetes quantity as a number; `None` for what is none (yet), such as a `{{tag}}`."""
    match = _QUANTITY.fullmatch(str(text))
    return float(match[1]) * _FACTORS[match[2]] if match else None


def pod_facts(pod: MadePod, access_modes: Mapping[str, list[str]]) -> Object:
    """What the rules may ask about a pod; `access_modes` goes by name of the claim."""
    spec = pod.spec
    asked = [_resources(container, "limits") | _resources(container, "requests") for container in containers(spec)]
    gpus = {name: amount for one in asked for name, amount in one.items() if _GPU.fullmatch(name) and amount != 0}
    return {
        "gpus": sum(amount for one in asked for name, amount in one.items() if name in gpus and amount is not None),
        "gpu-resources": sorted(gpus),
        "cpu": sum(one.get("cpu") or 0 for one in asked),
        "memory": sum(one.get("memory") or 0 for one in asked),
        "avoided-labels": _avoided_labels(spec),
        "split-claims": _split_claims(pod, access_modes),
    }


def container_facts(container: Object) -> Object:
    """What the rules may ask about a container."""
    limits, requests = _resources(container, "limits"), _resources(container, "requests")
    image = str(container.get("image") or "")
    name, at, _digest = image.partition("@")
    tag = name.rsplit("/", 1)[-1].partition(":")[2]
    return {
        "cpu-ratio": _ratio(limits.get("cpu"), requests.get("cpu")),
        "memory-ratio": _ratio(limits.get("memory"), requests.get("memory")),
        "script": " ".join(str(word) for key in ("command", "args", "source") for word in _words(container.get(key))),
        "image-tag": ("digest" if at else tag or "latest") if image and "{{" not in image else None,
    }


def containers(spec: Object) -> list[Object]:
    """The containers that run side by side."""
    return list(spec.get("containers") or [])


def _resources(container: Object, which: str) -> dict[str, float | None]:
    return {name: quantity(amount) for name, amount in ((container.get("resources") or {}).get(which) or {}).items()}


def _ratio(limit: float | None, request: float | None) -> float | None:
    """How often the request fits into the limit; Kubernetes takes a missing request for the limit."""
    return None if limit is None or not request else limit / request


def _words(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _avoided_labels(spec: Object) -> list[str]:
    """Labels of nodes on which the pod cannot be: every term of its node affinity shuts out the value "true"."""
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    terms = (affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms") or []
    shut_out = [
        {e.get("key") for e in term.get("matchExpressions") or [] if _shuts_out(e)} for term in terms
    ]  # terms are alternatives
    return sorted(set.intersection(*shut_out)) if shut_out else []


def _shuts_out(expression: Object) -> bool:
    values = [str(value) for value in expression.get("values") or []]
    return expression.get("operator") == "DoesNotExist" or (expression.get("operator") == "NotIn" and "true" in values)


def _split_claims(pod: MadePod, access_modes: Mapping[str, list[str]]) -> list[str]:
    """Claims for one node at a time that pods on several nodes would want at once."""
    if pod.workflow is None or not fans_out(pod.workflow) or is_pinned(pod.spec):
        return []
    return [claim for claim in claims(pod.spec) if claim in access_modes and "ReadWriteMany" not in access_modes[claim]]
