"""The workflows that come with vemseg are found by their names from any directory; paths keep working."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.argo.shipped import find_workflow, purpose, shipped, workflow_file
from pipeline.errors import WorkflowError

FOLDER = Path(__file__).parents[2] / "workflows"


def test_names_are_those_of_the_files() -> None:
    assert shipped() == {name: FOLDER / f"{name}.yaml" for name in ("boost", "segment", "study")}
    assert all(purpose(path).endswith(".") for path in shipped().values())


def test_a_name_a_path_and_a_file_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("study", "mine"):
        (tmp_path / name).write_text("")
    assert find_workflow("study") == workflow_file("study")
    assert find_workflow("./study") == Path("study")
    assert find_workflow("mine") == Path("mine")
    assert find_workflow(str(FOLDER / "boost.yaml")) == FOLDER / "boost.yaml"


def test_what_is_not_there_is_told_with_the_name_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WorkflowError, match="called study: vemseg run study"):
        find_workflow("workflows/study.yaml")
    with pytest.raises(WorkflowError, match="boost, segment, study"):
        find_workflow("stuty")
