"""What the chart refuses before anything is installed. Offline it cannot know what the cluster has, and renders."""

from __future__ import annotations

import pytest
from charts_support import needs_helm, refusal, render

pytestmark = needs_helm
# Asked, a cluster names its kinds; that of pods is everywhere, so it stands for "the cluster was asked".
ASKED = ("--api-versions", "v1/Pod")
ARGO = ("--api-versions", "argoproj.io/v1alpha1/WorkflowTemplate")


def test_without_argos_kinds_it_says_what_to_ask_the_administrator_for() -> None:
    message = refusal(*ASKED)
    assert "administrator" in message
    assert "CRDs" in message
    assert 'namespace "lab"' in message
    assert "vemseg run" in message  # what works without


def test_with_argos_kinds_it_renders_what_it_renders_offline() -> None:
    existing = ("--set", "storage.mode=s3")  # a claim could be looked up only in a cluster
    assert render(*ASKED, *ARGO, *existing) == render(*existing)


@pytest.mark.parametrize(("value", "kind"), [("podMonitor", "PodMonitor"), ("alerts", "PrometheusRule")])
def test_monitoring_without_its_operator_is_refused_by_the_name_of_the_missing_kind(value: str, kind: str) -> None:
    message = refusal(*ASKED, *ARGO, "--set", f"monitoring.{value}.enabled=true")
    assert kind in message
    assert f"monitoring.{value}.enabled=false" in message


@pytest.mark.parametrize("image", ["vemseg-worker", "vemseg-worker:latest", "registry:5000/vemseg-worker"])
def test_an_image_without_a_version_is_refused(image: str) -> None:
    assert image in refusal("--set", f"parameters.image={image}")


@pytest.mark.parametrize("image", ["registry:5000/lab/vemseg-worker:0.1.0", "vemseg-worker@sha256:" + 64 * "0"])
def test_an_image_with_a_version_or_a_digest_is_taken(image: str) -> None:
    assert render("--set", f"parameters.image={image}")
