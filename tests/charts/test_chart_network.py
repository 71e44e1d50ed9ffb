"""NetworkPolicies: a step is reached by the scraper of its metrics only, and reaches what it is given."""

from __future__ import annotations

import yaml
from charts_support import WORKFLOWS, needs_helm, pick, render


@needs_helm
def test_the_policy_applies_to_the_pods_of_every_workflow_and_to_no_others() -> None:
    selected = pick(render(), "NetworkPolicy", "vemseg-step")["spec"]["podSelector"]["matchLabels"]
    for path in WORKFLOWS:
        labels = yaml.safe_load(path.read_text())["spec"]["podMetadata"]["labels"]
        assert selected.items() <= labels.items(), path.name


@needs_helm
def test_only_the_scrapers_namespace_gets_in_and_only_to_the_metrics() -> None:
    policy = pick(render("--set", "networkPolicy.scrapersNamespace=prometheus"), "NetworkPolicy", "vemseg-step")
    (rule,) = policy["spec"]["ingress"]
    assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "prometheus"}}}]
    assert [port["port"] for port in rule["ports"]] == [9090]


@needs_helm
def test_steps_reach_name_servers_and_what_is_listed() -> None:
    listed = ("--set-json", 'networkPolicy.egress=[{"cidr": "10.0.0.1/32", "ports": [6443]}]')
    names, api = pick(render(*listed), "NetworkPolicy", "vemseg-step")["spec"]["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    assert api == {"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}], "ports": [{"protocol": "TCP", "port": 6443}]}


@needs_helm
def test_it_can_be_switched_off() -> None:
    assert "NetworkPolicy" not in {each["kind"] for each in render("--set", "networkPolicy.enabled=false")}
