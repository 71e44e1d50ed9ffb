"""The report's page shows the objects of the run: their scores, sizes and pictures, or that they are lacking."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pagereader import Page
from tinystudy import run_chain, write_study

from pipeline.errors import RunConflictError
from pipeline.run.layout import Run
from pipeline.run.objecttables import read_table
from pipeline.scoring import object_tables
from pipeline.steps.evaluate import evaluate
from pipeline.steps.report import report
from pipeline.steps.separate import separate

OBJECTS: dict[str, Any] = {
    "classes": {
        "members": [
            {"name": "dark", "ids": [1]},
            {"name": "grey", "ids": [2]},
            {"name": "bright", "ids": [3], "instances": True, "rim_nm": 12},
        ]
    },
    "inference": {"region": "all", "reach_nm": 60},
    "training": {"steps": 120},
}


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("objects")
    run = run_chain(write_study(folder, OBJECTS), folder / "run", score=False)
    separate(run.store.url)
    evaluate(run.store.url)
    return run


def test_the_report_shows_objects_their_scores_and_sizes(evaluated: Run) -> None:
    report(evaluated.store.url)
    page = Page.of(evaluated.evaluation_store.read("report.html").decode())
    table, objects = evaluated.scores, read_table(evaluated, "objects")
    assert table is not None
    scores = table.objects["bright"]
    (_, name), true, predicted, *rows = page.table("Scores of objects")
    assert name == "bright"
    assert [true[1], predicted[1]] == [str(scores.counts.true), str(scores.counts.predicted)]
    assert len(rows) == len(object_tables.TITLES)
    for (head, cell), (score, title) in zip(rows, object_tables.TITLES.items(), strict=True):
        assert head.startswith(title)
        assert cell == object_tables.cell(scores, score)
    _, sizes = page.table("Every object of what was predicted")
    assert sizes[1] == str(objects.num_rows)
    assert sizes[3] == str(sum(objects["touches_face"].to_pylist()))
    bins = page.table("bright")
    assert sum(int(count) for _, count in bins[1:]) == objects.num_rows
    largest = max(objects.to_pylist(), key=lambda each: each["volume_nm3"])
    assert f"object {largest['id']}, " in page.text.lower()
    worst = min(read_table(evaluated, "object_matches").to_pylist(), key=lambda each: each["iou"])
    assert worst["iou"] < 0.5
    assert page.tags.count("img") > 10


def test_a_study_that_is_not_separated_yet_says_so(tmp_path: Path) -> None:
    run = run_chain(write_study(tmp_path, {**OBJECTS, "training": {"steps": 8}}), tmp_path / "run", score=False)
    report(run.store.url)
    page = Page.of(run.evaluation_store.read("report.html").decode())
    assert "Objects are not told apart and measured yet" in page.text
    with pytest.raises(RunConflictError, match="vemseg evaluate"):
        read_table(run, "objects")
