"""The parameters' ConfigMap: the chart's values and the workflows' own defaults are one table, typed and described."""

from __future__ import annotations

import json

import yaml
from charts_support import CHART, needs_helm, pick, render, workflow_parameters

SCHEMA = json.loads((CHART / "values.schema.json").read_text())["properties"]["parameters"]["properties"]


def test_the_chart_lists_the_parameters_of_the_workflows_and_no_other() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())["parameters"]
    assert set(values) == set(workflow_parameters()) == set(SCHEMA)


@needs_helm
def test_the_charts_own_values_are_the_workflows_defaults() -> None:
    assert pick(render(), "ConfigMap", "vemseg-parameters")["data"] == workflow_parameters()


@needs_helm
def test_argo_finds_the_parameters_by_their_label() -> None:
    labels = pick(render(), "ConfigMap", "vemseg-parameters")["metadata"]["labels"]
    assert labels["workflows.argoproj.io/configmap-type"] == "Parameter"


@needs_helm
def test_large_counts_and_fractions_are_not_written_as_powers_of_ten() -> None:
    options = ("--set", "parameters.retries=1000000", "--set-json", "parameters.train-cpu=0.5")
    data = pick(render(*options), "ConfigMap", "vemseg-parameters")["data"]
    assert (data["retries"], data["train-cpu"]) == ("1000000", "0.5")
