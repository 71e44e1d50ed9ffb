"""What a rule may ask about a pod or container beside its own fields: `facts.<name>`.

of a pod        gpus, gpu-resources, cpu, memory (bytes), avoided-labels, split-claims
of a container  cpu-ratio, memory-ratio (limit to request), script, image-tag
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipeline.workflow.pods import Object, claims, fans_out, is_pinned
from pipeline.workflow.sites.manifests import MadePod

_GPU = re.compile(r"(nvidia|amd|intel)\.com/.+")
_QUANTITY = re.compile(r"([0-9.]+)([numkKMGTPE]i?|)")
_FACTORS = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3}
_FACTORS |= {letter: 1000.0**power for power, letter in enumerate("KMGTPE", 1)}
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
