"""However a workflow ended, the run says so afterwards: on the run of a study, and where there is no run yet."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tinystudy import place

from pipeline.errors import InputError
from pipeline.run.layout import Run
from pipeline.steps.summary import summary

FAILED = [
    {"displayName": "target(0:dark)", "message": "", "finishedAt": "2026-01-01T00:00:09Z"},
    {
        "displayName": "train",
        "message": "retryStrategy.expression evaluated to false",
        "finishedAt": "2026-01-01T00:00:08Z",
    },
    {"displayName": "train(1)", "message": "main: OOMKilled | (exit code 137)", "finishedAt": "2026-01-01T00:00:07Z"},
    {"displayName": "train(0)", "message": "main: Error (exit code 75)", "finishedAt": "2026-01-01T00:00:03Z"},
]


def test_a_study_that_succeeded(copied: Run) -> None:
    told = summary(str(place(copied)), workflow="study-x", status="Succeeded", duration_s=61.7, failures='"null"')
    assert told.failures == ()
    assert [state.target for state in told.targets] == list(copied.plan.targets)
    assert all(state.shards_done == state.shards > 0 for state in told.targets)
    written = json.loads((place(copied) / "summary.json").read_text())
    assert (written["workflow"], written["status"], written["duration_s"]) == ("study-x", "Succeeded", 61.7)
    page = (place(copied) / "summary.md").read_text()
    assert "study-x: Succeeded" in page
    assert "| why |" not in page


@pytest.mark.parametrize("quoted", [1, 2])
def test_only_what_failed_by_itself_is_told_and_in_order(quoted: int, tmp_path: Path) -> None:
    """Where nothing was planned, too. Argo quotes its list twice, the local runner's is the same."""
    text: object = FAILED
    for _ in range(quoted):
        text = json.dumps(text)
    told = summary(str(tmp_path / "run"), workflow="w", status="Failed", duration_s=9, failures=str(text))
    assert [failure.node for failure in told.failures] == ["train(0)", "train(1)"]
    assert told.targets == ()
    assert r"main: OOMKilled \| (exit code 137) |" in (tmp_path / "run/summary.md").read_text()


def test_a_list_too_long_for_a_command_line_comes_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "list").write_text(json.dumps(json.dumps(FAILED * 1000)))
    told = summary(str(tmp_path / "run"), workflow="w", status="Failed", duration_s=9, failures=f"@{tmp_path}/list")
    assert len(told.failures) == 2000


@pytest.mark.parametrize("text", ["{", '"["', "[1]", '[{"displayName": "x"}]', "{{workflow.failures}}"])
def test_what_is_no_list_of_failures_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--failures"):
        summary(str(tmp_path / "run"), workflow="w", status="Failed", duration_s=9, failures=text)
