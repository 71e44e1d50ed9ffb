"""Every node of the small workflows in `workflow_cases` ends in the phase that Argo gives it, with its outputs.

The cases run as real processes. What is not looked at here: timing, resuming, signals (see test_workflow_runner).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from workflow_cases import CASES, CONFIG_MAPS, Case

from pipeline.argo import load, run
from pipeline.errors import WorkflowError


@pytest.mark.parametrize("case", [case for case in CASES if case.refusal], ids=lambda case: case.name)
def test_what_a_cluster_cannot_read_is_refused(case: Case, tmp_path: Path) -> None:
    file = tmp_path / "case.yaml"
    file.write_text(case.text())
    with pytest.raises(WorkflowError, match=case.refusal):
        load(file)


@pytest.mark.parametrize("case", [case for case in CASES if not case.refusal], ids=lambda case: case.name)
def test_phases(case: Case, tmp_path: Path) -> None:
    file = tmp_path / "case.yaml"
    file.write_text(case.text())
    result = run(load(file), state_dir=tmp_path / "state", jobs=4, grace_seconds=1, config_maps=CONFIG_MAPS)
    seen = {name.removeprefix(f"{case.workflow_name}."): node for name, node in result.nodes.items()}
    for expected in case.nodes.split(" "):
        if expected.startswith("!"):
            assert expected[1:] not in seen
        elif "=" in expected:
            name, _, value = expected.partition("=")
            assert seen[name].outputs["value"] == value.replace("_", " ")
        else:
            name, _, phase = expected.rpartition(":")
            assert seen[name].phase == phase, seen[name].message
    assert result.phase == case.phase
