"""What chart and overlays install breaks no rule that `vemseg check` knows, not even of the strictest site."""

from __future__ import annotations

import sys

import pytest
import yaml
from charts_support import SITES, kustomized, needs_helm, needs_kubectl, render, site_values, succeed

RULES = ("nrp", "generic", "restricted")


def check(text: str, rules: str) -> None:
    """Have the command judge objects that are piped into it."""
    succeed(sys.executable, "-m", "pipeline", "check", "--site", rules, "-", stdin=text)


@needs_helm
@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("site", SITES)
def test_the_chart_with_the_values_of_a_site(site: str, rules: str) -> None:
    check(yaml.safe_dump_all(render("--values", site_values(site))), rules)


@needs_helm
@pytest.mark.parametrize("rules", RULES)
def test_the_chart_with_the_application_and_all_monitoring(rules: str) -> None:
    on = [
        "web",
        "web.ingress",
        *(f"monitoring.{kind}" for kind in ("podMonitor", "serviceMonitor", "dashboard", "alerts")),
    ]
    host = ("--set", "web.ingress.host=vemseg.nrp-nautilus.io", "--set", "web.models={/data/runs/first}")
    options = [word for name in on for word in ("--set", f"{name}.enabled=true")]
    check(yaml.safe_dump_all(render("--values", site_values("nrp"), *options, *host)), rules)


@needs_kubectl
@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("site", SITES)
def test_the_overlay_of_a_site(site: str, rules: str) -> None:
    check(kustomized(f"overlays/{site}"), rules)
