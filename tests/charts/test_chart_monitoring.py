"""Monitoring is an option: nothing of it by default; on request the files of dashboard and rules, unchanged."""

from __future__ import annotations

import json

import pytest
import yaml
from charts_support import CHART, WORKFLOWS, needs_helm, pick, render

pytestmark = needs_helm
FILES = CHART / "files/monitoring"


def on(option: str) -> tuple[str, ...]:
    """Helm's options that switch one of the three on, with a label to be found by."""
    return ("--set", f"monitoring.{option}.enabled=true", "--set", f"monitoring.{option}.labels.release=prometheus")


def test_without_being_asked_for_there_is_no_monitoring() -> None:
    assert not {each["kind"] for each in render()} & {"PodMonitor", "PrometheusRule"}
    assert "vemseg-dashboard" not in {each["metadata"]["name"] for each in render()}


def test_prometheus_finds_the_pods_of_every_workflow_and_their_port() -> None:
    spec = pick(render(*on("podMonitor")), "PodMonitor")["spec"]
    (endpoint,) = spec["podMetricsEndpoints"]
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text())["spec"]
        assert spec["selector"]["matchLabels"].items() <= workflow["podMetadata"]["labels"].items()
        assert endpoint["port"] in {port["name"] for port in workflow["templateDefaults"]["container"]["ports"]}


def test_the_dashboard_is_the_file_with_its_braces() -> None:
    data = pick(render(*on("dashboard")), "ConfigMap", "vemseg-dashboard")["data"]
    assert json.loads(data["vemseg.json"]) == json.loads((FILES / "dashboard.json").read_text())


def test_the_alerts_are_the_rule_file_with_its_braces() -> None:
    spec = pick(render(*on("alerts")), "PrometheusRule")["spec"]
    assert spec == yaml.safe_load((FILES / "alerts.yaml").read_text())


@pytest.mark.parametrize(
    ("option", "kind"), [("podMonitor", "PodMonitor"), ("dashboard", "ConfigMap"), ("alerts", "PrometheusRule")]
)
def test_the_operators_labels_are_set(option: str, kind: str) -> None:
    name = "vemseg-dashboard" if option == "dashboard" else "vemseg"
    assert pick(render(*on(option)), kind, name)["metadata"]["labels"]["release"] == "prometheus"
