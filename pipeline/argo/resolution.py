"""What a workflow's spec means before it runs: its templates with their defaults, its parameters, its pods.

The one place for each of these rules: runner, `submit` and `check` all ask here. What is known before anything runs is
filled in; a tag whose value only a run can tell stays. Objects are the plain mappings of JSON, or those of a file
(`yamlfile.Placed`), which keep their lines.

Argo's controller builds a pod from the template, from `templateDefaults`, from the fields of the spec and from both
`podSpecPatch`es. Sources: `mergedTemplateDefaultsInto` of operator.go, and workflowpod.go, of Argo Workflows 4.0;
Kubernetes' strategic merge patch
(https://github.com/kubernetes/community/blob/main/contributors/devel/sig-api-machinery/strategic-merge-patch.md).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.argo import templating
from pipeline.argo.yamlfile import Object, Placed, as_text, objects
from pipeline.errors import WorkflowError

_TYPES = {"container", "script", "containerSet", "dag", "steps", "resource", "suspend", "data", "http", "plugin"}
_MERGE_KEYS = {  # lists whose items have a name; all others replace one another
    "containers": "name", "initContainers": "name", "ephemeralContainers": "name", "sidecars": "name",
    "volumes": "name", "env": "name", "volumeMounts": "mountPath", "volumeDevices": "devicePath",
    "ports": "containerPort", "imagePullSecrets": "name", "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey", "parameters": "name", "artifacts": "name", "tasks": "name",
}  # fmt: skip


def templates(spec: Object) -> Iterator[Object]:
    """The templates of a spec, laid over those `templateDefaults` that fit their type."""
    defaults = spec.get("templateDefaults") or {}
    for template in spec.get("templates") or []:
        other_types = _TYPES - template.keys() if isinstance(template, dict) else set()
        yield merged(without(defaults, other_types), template)


def merged(base: Any, patch: Any, key: str = "") -> Any:
    """Kubernetes' strategic merge of `patch` over `base`.

    Mappings merge; lists merge by the names of their items, or else replace one another; null removes. `$patch` and
    `$retainKeys` say otherwise.
    """
    if isinstance(base, dict) and isinstance(patch, dict):
        return _merged_mappings(base, patch)
    if isinstance(base, list) and isinstance(patch, list) and key in _MERGE_KEYS:
        return _merged_lists(base, patch, _MERGE_KEYS[key])
    return patch


def without(mapping: Object, keys: set[str]) -> Object:
    """The mapping without these keys."""
    return _holding(_like(mapping, mapping), {key: value for key, value in mapping.items() if key not in keys})


def parameters(spec: Object) -> dict[str, Object]:
    """The parameters that a workflow declares, by name."""
    declared = (spec.get("arguments") or {}).get("parameters") or []
    return {parameter["name"]: parameter for parameter in declared}


def config_maps(spec: Object) -> set[str]:
    """The ConfigMaps that the workflow's parameters come from."""
    sources = (p.get("valueFrom") or {} for p in parameters(spec).values())
    return {source["configMapKeyRef"]["name"] for source in sources if "configMapKeyRef" in source}


def parameter_values(spec: Object, given: Mapping[str, str], maps: Mapping[str, str]) -> dict[str, str]:
    """What the workflow's parameters are before it runs; those that nothing tells are absent.

    Args:
        spec: of the workflow.
        given: values that win over all others.
        maps: what ConfigMaps hold, by `name/key`.
    """
    values = {}
    for name, parameter in parameters(spec).items():
        source = parameter.get("valueFrom") or {}
        reference = source.get("configMapKeyRef") or {}
        candidates = (
            given.get(name),
            parameter.get("value"),
            maps.get(f"{reference.get('name')}/{reference.get('key')}"),
            source.get("default"),
            parameter.get("default"),
        )
        known = next((value for value in candidates if value is not None), None)
        if known is not None:
            values[name] = as_text(known)
    return values


def check_parameters(spec: Object, given: Mapping[str, str], file: str) -> None:
    """Raise `WorkflowError` for a parameter that is unknown, missing or not among its choices.

    One that a ConfigMap may tell is not missing; `file` names the workflow in messages.
    """
    declared = parameters(spec)
    for name, value in given.items():
        if name not in declared:
            close = difflib.get_close_matches(name, declared, n=1)
            guess = f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(declared)}"
            raise WorkflowError(f"{file} has no parameter {name!r}{guess}")
        choices = [as_text(choice) for choice in declared[name].get("enum") or []]
        if choices and value not in choices:
            raise WorkflowError(f"{file}: {name!r} must be one of {', '.join(choices)}, not {value!r}")
    for name, parameter in declared.items():
        if name not in given and not any(parameter.get(key) is not None for key in ("value", "default", "valueFrom")):
            what = f" ({parameter['description']})" if parameter.get("description") else ""
            raise WorkflowError(f"{file}: give a value to {name!r}{what}: -p {name}=...")


def _merged_mappings(base: Object, patch: Object) -> Object:
    if patch.get("$patch") == "replace":
        return without(patch, {"$patch"})
    kept = patch.get("$retainKeys")
    result = {key: value for key, value in base.items() if kept is None or key in kept}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif not name.startswith("$"):
            result[name] = merged(result[name], value, name) if name in result else value
    return _holding(_like(base, patch), result)


def _merged_lists(base: list[Any], patch: list[Any], name: str) -> list[Any]:
    """Items of the patch in its order; those of the base alone stay before what follows them there."""
    if any(item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if "$patch" not in item]
    gone = {item.get(name) for item in patch if item.get("$patch") == "delete"}
    places = {item.get(name): place for place, item in enumerate(base)}
    left = [item for item in base if item.get(name) not in {item.get(name) for item in patch}]
    result: list[Any] = []
    for item in patch:
        place = places.get(item.get(name))
        if item.get(name) in gone:
            continue
        while place is not None and left and places[left[0].get(name)] < place:
            result.append(left.pop(0))
        result.append(item if place is None else merged(base[place], item))
    return result + left


def _like(base: Object, patch: Object) -> Object:
    """An empty mapping with the place of `patch` and those of the keys of both, where they are known."""
    if not isinstance(patch, Placed):
        return {}
    empty = Placed(patch.where)
    empty.places = {**(base.places if isinstance(base, Placed) else {}), **patch.places}
    return empty


def _holding(empty: Object, content: Object) -> Object:
    empty.update(content)
    return empty


_MAKE_A_POD = {"container", "script", "containerSet"}
_LOOPS = {"withItems", "withParam", "withSequence"}
_OF_TEMPLATE_AND_SPEC = (
    *("nodeSelector", "affinity", "tolerations", "securityContext", "serviceAccountName"),
    *("automountServiceAccountToken", "hostAliases", "schedulerName"),
)
_OF_THE_SPEC = (*_OF_TEMPLATE_AND_SPEC, "hostNetwork", "dnsPolicy", "dnsConfig", "imagePullSecrets")


@dataclass(frozen=True)
class TemplatePod:
    """The pod of one template: `index` is the template's place in the list, `spec` a Kubernetes PodSpec."""

    template: str
    index: int
    spec: Object


def template_pods(spec: Object, values: Mapping[str, str]) -> list[TemplatePod]:
    """The pods of all templates that make one; `WorkflowError` where a `podSpecPatch` is no YAML."""
    return [
        TemplatePod(str(template.get("name")), index, _pod_spec(spec, template, values))
        for index, template in enumerate(templates(spec))
        if _MAKE_A_POD & template.keys()
    ]


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
    return templating.fill(text, _known(values))


def _known(values: Mapping[str, str]) -> templating.Scope:
    return {**templating.parameter_scope(values), "retries": "0"}


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
    pod = templating.fill(pod, _known(values))
    for owner, where in ((spec, "spec"), (template, f"template {template.get('name')!r}")):
        pod = merged(pod, _patch(owner.get("podSpecPatch") or "{}", values, where))
    return pod


def _main_containers(template: Object) -> Iterator[Object]:
    yield from (template.get("containerSet") or {}).get("containers") or []
    for kind in ("container", "script"):
        if template.get(kind):
            yield {"name": "main", **template[kind]}


def _patch(text: str, values: Mapping[str, str], where: str) -> Object:
    found = objects(filled(text, values), f"podSpecPatch of the {where}, its parameters filled in")
    if len(found) != 1 or not isinstance(found[0], dict):
        raise WorkflowError(f"podSpecPatch of the {where} must be one mapping, not {found!r}")
    return found[0]


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
