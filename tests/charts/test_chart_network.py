"""NetworkPolicies: a step is reached by the scraper of its metrics only, and reaches what it is given.

Who may talk to whom is worked out from the rendered policies (`network_rules`); that a cluster enforces them is its own
affair.
"""

from __future__ import annotations

import pytest
import yaml
from charts_support import WORKFLOWS, needs_helm, pick, render, site_values
from network_rules import End, allows


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


LAB = "lab"
VALUES = (
    *("--set", "web.enabled=true", "--set", "web.models={/data/runs/first}"),
    *("--set", "networkPolicy.proxyNamespace=ingress", "--set", "networkPolicy.scrapersNamespace=monitoring"),
    *("--set-json", 'networkPolicy.egress=[{"cidr": "10.0.0.1/32", "ports": [6443]}]'),
)
API, NAMES = 6443, 53
PAGE, PAGE_METRICS, STEP_METRICS = 8501, 9108, 9090


def _pod(component: str, address: str) -> End:
    return End(address, LAB, {"app.kubernetes.io/name": "vemseg", "app.kubernetes.io/component": component})


ENDS = {
    "step": _pod("step", "10.1.0.1"),
    "other step": _pod("step", "10.1.0.2"),
    "application": _pod("web", "10.1.0.3"),
    "helm test": _pod("test", "10.1.0.4"),
    "neighbour": End("10.1.0.5", LAB, {"app.kubernetes.io/name": "notebook"}),
    "other lab's step": End("10.1.0.6", "other", _pod("step", "").labels),
    "proxy": End("10.1.0.7", "ingress", {"app": "nginx"}),
    "scraper": End("10.1.0.8", "monitoring", {"app": "prometheus"}),
    "name server": End("10.1.0.9", "kube-system", {"k8s-app": "kube-dns"}),
    "API server": End("10.0.0.1"),
    "internet": End("198.51.100.7"),
}
# Every connection that there may be, of a pod of the chart with any other end, at any port that something listens on.
MAY_TALK = {
    *(("scraper", step, STEP_METRICS) for step in ("step", "other step")),
    ("proxy", "application", PAGE),
    ("helm test", "application", PAGE),
    ("scraper", "application", PAGE_METRICS),
    *((pod, "API server", API) for pod in ("step", "other step", "application")),
}


@needs_helm
def test_who_may_talk_to_whom() -> None:
    policies = [each for each in render(*VALUES) if each["kind"] == "NetworkPolicy"]
    for policy in policies:
        policy["metadata"]["namespace"] = LAB
    ours = ("step", "other step", "application")
    talks = {
        (source, target, port)
        for source in ENDS
        for target in ENDS
        for port in (22, 80, 443, API, PAGE, PAGE_METRICS, STEP_METRICS)
        if source != target and (source in ours or target in ours)
        if allows(policies, ENDS[source], ENDS[target], port)
    }
    assert talks == MAY_TALK
    for pod in ours:
        asked = {target for target in ENDS if allows(policies, ENDS[pod], ENDS[target], NAMES, "UDP")}
        assert asked == set(ENDS) - set(ours)  # a name server has no fixed address; the chart's own pods do not answer


@needs_helm
@pytest.mark.parametrize("site", ["kind", "nrp", "generic"])
def test_at_no_site_is_a_step_reached_by_anything_but_the_scraper(site: str) -> None:
    policies = [each for each in render("--values", site_values(site)) if each["kind"] == "NetworkPolicy"]
    for policy in policies:
        policy["metadata"]["namespace"] = LAB
    scrapers = {
        peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        for policy in policies
        if policy["metadata"]["name"] == "vemseg-step"
        for rule in policy["spec"]["ingress"]
        for peer in rule["from"]
    }
    assert len(scrapers) == 1
    for name, end in ENDS.items():
        for port in (22, 80, 443, PAGE, STEP_METRICS):
            is_scraper = end.namespace in scrapers and port == STEP_METRICS
            assert allows(policies, end, ENDS["step"], port) == is_scraper or name == "step", (name, port)
