"""What NetworkPolicies allow, worked out from their text: Kubernetes' rules, for clusters that do not enforce them.

Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Any

Rule = dict[str, Any]


@dataclass(frozen=True)
class End:
    """One end of a connection: a pod with its labels and namespace, or, without a namespace, a machine outside."""

    address: str
    namespace: str = ""
    labels: dict[str, str] = field(default_factory=dict)


def allows(policies: list[Rule], source: End, target: End, port: int, protocol: str = "TCP") -> bool:
    """Whether a connection may be made: both ends must let it pass."""
    out = _passes(policies, source, target, "Egress", port, protocol)
    return out and _passes(policies, target, source, "Ingress", port, protocol)


def _passes(policies: list[Rule], own: End, other: End, direction: str, port: int, protocol: str) -> bool:
    """Whether the policies of `own` let `other` pass; a pod without policies of this direction lets all pass."""
    applying = [policy for policy in policies if _applies(policy, own, direction)]
    rules = [rule for policy in applying for rule in policy["spec"].get(direction.lower()) or []]
    peers = "to" if direction == "Egress" else "from"
    return not applying or any(
        _has_port(rule.get("ports"), port, protocol)
        and (not rule.get(peers) or any(_is_peer(peer, other, own.namespace) for peer in rule[peers]))
        for rule in rules
    )


def _applies(policy: Rule, own: End, direction: str) -> bool:
    spec = policy["spec"]
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]
    is_here = own.namespace == policy["metadata"]["namespace"]
    return is_here and direction in types and _selects(spec["podSelector"], own.labels)


def _has_port(ports: list[Rule] | None, port: int, protocol: str) -> bool:
    return not ports or any(
        each.get("protocol", "TCP") == protocol and each.get("port", port) <= port <= each.get("endPort", each["port"])
        for each in ports
    )


def _is_peer(peer: Rule, other: End, home: str) -> bool:
    if "ipBlock" in peer:
        address, block = ipaddress.ip_address(other.address), peer["ipBlock"]
        is_in = address in ipaddress.ip_network(block["cidr"])
        return is_in and not any(address in ipaddress.ip_network(out) for out in block.get("except") or [])
    if not other.namespace:
        return False
    if "namespaceSelector" in peer:
        names = {"kubernetes.io/metadata.name": other.namespace}
        return _selects(peer["namespaceSelector"], names) and _selects(peer.get("podSelector") or {}, other.labels)
    return other.namespace == home and _selects(peer["podSelector"], other.labels)


def _selects(selector: Rule, labels: dict[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}, f"not worked out here: {selector}"
    return (selector.get("matchLabels") or {}).items() <= labels.items()
