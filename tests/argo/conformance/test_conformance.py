"""The local runner makes of every small workflow in `workflow_cases` just what a real Argo controller makes of it.

Compared are all nodes with their names, types, phases, messages, output parameters and followers, and the phase and
message of the workflow. Needs a cluster (KUBECONFIG) that has `localhost/busybox:1` and Argo Workflows 4.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conformance.controller import own_namespace
from conformance.outcome import Outcome, differences, of_controller, of_runner
from workflow_cases import CASES, CONFIG_MAPS

from pipeline.argo import load, run
from pipeline.argo.nodes import ERROR, FAILED

pytestmark = [
    pytest.mark.skipif("KUBECONFIG" not in os.environ, reason="needs a cluster: KUBECONFIG is not set"),
    pytest.mark.cluster,
    pytest.mark.timeout(1200),
]


# What the runner refuses and the API server takes: the controller does not find the key `false` under its name, and
# ends in one of two phases.
_UNRESOLVED = {"a key that is a truth value", "another key that is one"}


def _run_here(folder: Path) -> dict[str, Outcome]:
    outcomes = {}
    for case in CASES:
        if case.refusal:
            continue
        file = folder / f"{case.workflow_name}.yaml"
        file.write_text(case.text())
        state = folder / case.workflow_name
        result = run(load(file), state_dir=state, jobs=4, grace_seconds=1, config_maps=CONFIG_MAPS)
        outcomes[case.name] = of_runner(result)
    return outcomes


def _run_there() -> dict[str, Outcome]:
    """The outcomes of the cases that the cluster takes."""
    with own_namespace() as namespace:
        namespace.config_maps(CONFIG_MAPS)
        ended = namespace.run({case.workflow_name: case.text() for case in CASES})
    names = {case.workflow_name: case.name for case in CASES}
    return {names[name]: of_controller(workflow) for name, workflow in ended.items()}


def test_the_runner_agrees_with_the_controller(tmp_path: Path) -> None:
    there = _run_there()
    here = _run_here(tmp_path)
    unresolved = there.keys() - here.keys()
    assert unresolved <= _UNRESOLVED
    assert {there[name][""].phase for name in unresolved} <= {FAILED, ERROR}
    found = {name: differences(outcome, there[name]) for name, outcome in here.items()}
    assert {name: lines for name, lines in found.items() if lines} == {}
