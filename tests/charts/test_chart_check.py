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


@needs_kubectl
@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("site", SITES)
def test_the_overlay_of_a_site(site: str, rules: str) -> None:
    check(kustomized(f"overlays/{site}"), rules)
