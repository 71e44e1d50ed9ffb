"""The pods that a Workflow would make, worked out from its file: parameters filled in, patches applied.

Argo's controller builds a pod from the template, from `templateDefaults`, from the fields of the spec and from both
`podSpecPatch`es. What is known before anything runs is filled in; a tag whose value only a run can tell stays.
Objects are the plain mappings of JSON.
Sources: workflow/controller/workflowpod.go of Argo Workflows 4.0; the strategic merge patch of Kubernetes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from pipeline.errors import WorkflowError
from pipeline.workflow import expressions
from pipeline.workflow.expressions import EXPR, ExpressionError
from pipeline.workflow.yamlfile import as_text

Object = dict[str, Any]

_TAG = re.compile(r"\{\{(=?)(.*?)\}\}", re.DOTALL)
_MAKE_A_POD = {"container", "script", "containerSet"}
_TYPES = {*_MAKE_A_POD, "dag", "steps", "resource", "suspend", "data", "http", "plugin"}
_LOOPS = {"withItems", "withParam", "withSequence"}
_OF_TEMPLATE_AND_SPEC = (
    *("nodeSelector", "affinity", "tolerations", "securityContext", "serviceAccountName"),
    *("automountServiceAccountToken", "hostAliases", "schedulerName"),
)
_OF_THE_SPEC = (*_OF_TEMPLATE_AND_SPEC, "hostNetwork", "dnsPolicy", "dnsConfig", "imagePullSecrets")
_MERGE_KEYS = {
    "containers": "name", "initContainers": "name", "ephemeralContainers": "name", "volumes": "name", "env": "name",
    "volumeMounts": "mountPath", "ports": "containerPort", "imagePullSecrets": "name", "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
}  # fmt: skip


@dataclass(frozen=True)
class TemplatePod:
    """The pod of one template: `index` is the template's place in the list, `spec` a Kubernetes PodSpec."""

    template: str
    index: int
    spec: Object


def parameter_values(spec: Object, given: Mapping[str, str], config_maps: Mapping[str, Mapping[str, str]]) -> Object:
    """What the workflow's parameters are before it runs; those that nothing tells are absent.

    `config_maps` goes by name of the ConfigMap, then by key.
    """
    values: dict[str, str] = {}
    for parameter in (spec.get("arguments") or {}).get("parameters") or []:
        source = parameter.get("valueFrom") or {}
        reference = source.get("configMapKeyRef") or {}
        candidates = (
            given.get(parameter["name"]),
            parameter.get("value"),
            config_maps.get(reference.get("name", ""), {}).get(reference.get("key", "")),
            source.get("default"),
            parameter.get("default"),
        )
        known = next((value for value in candidates if value is not None), None)
        if known is not None:
            values[parameter["name"]] = as_text(known)
    return values


def template_pods(spec: Object, values: Mapping[str, str]) -> list[TemplatePod]:
    """The pods of all templates that make one; `WorkflowError` where a `podSpecPatch` is no YAML."""
    defaults = spec.get("templateDefaults") or {}
    pods = []
    for index, template in enumerate(spec.get("templates") or []):
        if _MAKE_A_POD & template.keys():
            meant = {key: value for key, value in defaults.items() if key not in _TYPES or key in template}
            pods.append(TemplatePod(str(template.get("name")), index, _pod_spec(spec, merged(meant, template), values)))
    return pods


def fans_out(spec: Object) -> str:
    """The name of a task that runs as several pods side by side, or beside another task; empty where there is none."""
    for template in spec.get("templates") or []:
        tasks = {str(task.get("name")): task for task in (template.get("dag") or {}).get("tasks") or []}
        before = {name: _ancestors(name, tasks) for name in tasks}
        for name, task in tasks.items():
            beside = any(other not in before[name] and name not in before[other] for other in tasks if other != name)
            if beside or _LOOPS & task.keys():
                return name
        for together in template.get("steps") or []:
            for step in together:
                if len(together) > 1 or _LOOPS & step.keys():
                    return str(step.get("name"))
    return ""


def is_pinned(pod: Object) -> bool:
    """Whether a PodSpec allows a single node only, by name, by selector or by affinity."""
    if pod.get("nodeName") or "kubernetes.io/hostname" in (pod.get("nodeSelector") or {}):
        return True
    affinity = pod.get("affinity") or {}
    required = (affinity.get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms = required.get("nodeSelectorTerms") or []
    return bool(terms) and all(any(map(_is_one_host, term.get("matchExpressions") or [])) for term in terms)


def claims(pod: Object) -> list[str]:
    """The names of the volume claims that a PodSpec mounts."""
    references = (volume.get("persistentVolumeClaim") or {} for volume in pod.get("volumes") or [])
    return [reference["claimName"] for reference in references if reference.get("claimName")]


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with every tag replaced whose value is known before the run; the others stay."""
    environment = {"workflow": {"parameters": values}, "retries": "0"}

    def replacement(match: re.Match[str]) -> str:
        is_expression, tag = match.groups()
        name = tag.strip().removeprefix("workflow.parameters.")
        if not is_expression:
            return values.get(name, match[0]) if tag.strip().startswith("workflow.parameters.") else match[0]
        try:
            return as_text(expressions.parse(tag, EXPR)(environment))
        except ExpressionError:
            return match[0]

    return _TAG.sub(replacement, text)


def merged(base: Any, patch: Any, key: str = "") -> Any:
    """Kubernetes' strategic merge of `patch` over `base`: mappings merge, named lists merge by name, null removes."""
    if isinstance(base, dict) and isinstance(patch, dict):
        kept = patch.get("$retainKeys")
        result = {k: v for k, v in base.items() if kept is None or k in kept}
        for name, value in patch.items():
            if value is None:
                result.pop(name, None)
            elif not name.startswith("$"):
                result[name] = merged(result[name], value, name) if name in result else value
        return result
    if isinstance(base, list) and isinstance(patch, list) and key in _MERGE_KEYS:
        return _merged_by_name(base, patch, _MERGE_KEYS[key])
    return patch


def _merged_by_name(base: list[Any], patch: list[Any], name: str) -> list[Any]:
    result = list(base)
    for item in patch:
        place = next((i for i, old in enumerate(result) if old.get(name) == item.get(name)), None)
        if place is None:
            result.append(item)
        else:
            result[place] = merged(result[place], item)
    return result


def _pod_spec(spec: Object, template: Object, values: Mapping[str, str]) -> Object:
    pod = {key: spec[key] for key in _OF_THE_SPEC if key in spec}
    pod |= {key: template[key] for key in _OF_TEMPLATE_AND_SPEC if key in template}
    if name := template.get("priorityClassName") or spec.get("podPriorityClassName"):
        pod["priorityClassName"] = name
    pod["volumes"] = [*(spec.get("volumes") or []), *(template.get("volumes") or [])]
    pod["initContainers"] = [{"name": "init"}, *(template.get("initContainers") or [])]
    pod["containers"] = [*_main_containers(template), {"name": "wait"}, *(template.get("sidecars") or [])]
    if "activeDeadlineSeconds" in template:
        pod["activeDeadlineSeconds"] = template["activeDeadlineSeconds"]
    pod = dict(_filled_everywhere(pod, values))
    for owner, where in ((spec, "spec"), (template, f"template {template.get('name')!r}")):
        pod = merged(pod, _patch(owner.get("podSpecPatch") or "{}", values, where))
    return pod


def _main_containers(template: Object) -> Iterator[Object]:
    yield from (template.get("containerSet") or {}).get("containers") or []
    for kind in ("container", "script"):
        if template.get(kind):
            yield {"name": "main", **template[kind]}


def _patch(text: str, values: Mapping[str, str], where: str) -> Object:
    try:
        patch = yaml.safe_load(filled(text, values))
    except yaml.YAMLError as error:
        raise WorkflowError(
            f"podSpecPatch of the {where} is no YAML once its parameters are filled in: {error}"
        ) from error
    if not isinstance(patch, dict):
        raise WorkflowError(f"podSpecPatch of the {where} must be a mapping, not {patch!r}")
    return patch


def _filled_everywhere(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return filled(value, values)
    if isinstance(value, list):
        return [_filled_everywhere(item, values) for item in value]
    if isinstance(value, dict):
        return {key: _filled_everywhere(item, values) for key, item in value.items()}
    return value


def _ancestors(name: str, tasks: Mapping[str, Object]) -> set[str]:
    """All tasks that end before the task `name` starts."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        task = tasks[waiting.pop()]
        words = re.findall(r"[A-Za-z0-9][-A-Za-z0-9]*", task.get("depends") or "")
        new = (tasks.keys() & {*words, *(task.get("dependencies") or [])}) - found
        found |= new
        waiting += new
    return found


def _is_one_host(expression: Object) -> bool:
    is_host = expression.get("key") == "kubernetes.io/hostname"
    return is_host and expression.get("operator") == "In" and len(expression.get("values") or []) == 1
