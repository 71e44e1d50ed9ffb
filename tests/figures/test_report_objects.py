"""The report's page shows the objects of the run: their scores, sizes and pictures, or that they are lacking."""

from __future__ import annotations

from pathlib import Path

import pytest
from pagereader import Page
from tinystudy import INSTANCES, run_chain, write_study

from pipeline.errors import RunConflictError
from pipeline.objects.table import of_class
from pipeline.run.layout import Run
from pipeline.run.objecttables import read_table
from pipeline.scoring import object_tables
from pipeline.steps.report import report


def test_the_report_shows_objects_their_scores_and_sizes(with_objects: Run) -> None:
    report(with_objects.store.url)
    page = Page.of(with_objects.evaluation_store.read("report.html").decode())
    table, objects = with_objects.scores, read_table(with_objects, "objects")
    assert table is not None
    scores = table.objects["bright"]
    head, true, predicted, *rows = page.table("Scores of objects")
    assert head == ["score", "grey", "bright"]
    assert [true[2], predicted[2]] == [str(scores.counts.true), str(scores.counts.predicted)]
    assert len(rows) == len(object_tables.TITLES)
    for (head, _, cell), (score, title) in zip(rows, object_tables.TITLES.items(), strict=True):
        assert head.startswith(title)
        assert cell == object_tables.cell(scores, score)
    *_, sizes = page.table("Every object of what was predicted")
    bright = of_class(objects, "bright")
    assert sizes[:2] == ["bright", str(bright.num_rows)]
    assert sizes[3] == str(sum(bright["touches_face"].to_pylist()))
    bins = page.table("bright")
    assert sum(int(count) for _, count in bins[1:]) == bright.num_rows
    largest = max(bright.to_pylist(), key=lambda each: each["volume_nm3"])
    assert f"object {largest['id']}, " in page.text.lower()
    worst = min(read_table(with_objects, "object_matches").to_pylist(), key=lambda each: each["iou"])
    assert worst["iou"] <= 0.5
    assert page.tags.count("img") > 10


def test_a_study_that_is_not_separated_yet_says_so(tmp_path: Path) -> None:
    run = run_chain(write_study(tmp_path, {**INSTANCES, "training": {"steps": 8}}), tmp_path / "run", score=False)
    report(run.store.url)
    page = Page.of(run.evaluation_store.read("report.html").decode())
    assert "Objects are not told apart and measured yet" in page.text
    with pytest.raises(RunConflictError, match="vemseg evaluate"):
        read_table(run, "objects")
