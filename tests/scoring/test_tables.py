"""Proves that every format of the table says the same numbers, in full or to three decimals, for every mix of sides."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from pipeline.errors import DataError, InputError
from pipeline.formats import decimals
from pipeline.scoring import object_tables
from pipeline.scoring.confusion import BinaryConfusion, ClasswiseConfusion, ConfusionMatrix
from pipeline.scoring.object_scores import ObjectCounts
from pipeline.scoring.scores import MEASURES
from pipeline.scoring.tables import (
    ScoreTable,
    from_json,
    score_table,
    to_csv,
    to_json,
    to_markdown,
    to_rich,
    with_objects,
)

NAMES = ("cytosol", "synapses", "endoplasmic reticulum", "odd | [bold]name")


def multilabel_of(seed: int) -> ConfusionMatrix:
    counts = np.random.default_rng(seed).integers(1, 10**6, (len(NAMES), len(NAMES) + 1))
    return ConfusionMatrix(NAMES, counts)


def binary_of(seed: int, names=NAMES) -> ClasswiseConfusion:
    rng = np.random.default_rng(seed)
    return ClasswiseConfusion({n: BinaryConfusion(*rng.integers(1, 10**6, 5).tolist()) for n in names})


def tables() -> st.SearchStrategy[ScoreTable]:
    """Tables with both sides, either side, or only some of the binary classes."""
    seeds = st.integers(0, 2**32)
    exclusive, overlapping = seeds.map(multilabel_of), seeds.map(binary_of)
    some = st.builds(binary_of, seeds, st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    multilabel = st.one_of(exclusive, overlapping)
    both = st.builds(score_table, multilabel, st.one_of(st.none(), some))
    return st.one_of(both, st.builds(score_table, st.none(), some))


def csv_rows(table: ScoreTable) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(table))))


def markdown_cells(table: ScoreTable) -> list[list[str]]:
    """The cells of the Markdown table, header first, without the line under it."""
    lines = [line for line in to_markdown(table).splitlines() if line.startswith("|")]
    rows = [line.replace(r"\|", "\0").strip("|").split("|") for line in lines]
    return [[cell.strip().replace("\0", "|") for cell in row] for row in (rows[0], *rows[2:])]


def terminal(table: ScoreTable, **options) -> str:
    console = Console(file=io.StringIO(), width=80, record=True, **options)
    console.print(to_rich(table))
    return console.export_text()


@given(table=tables())
@settings(max_examples=50)
def test_csv_holds_every_score_in_full(table):
    rows = csv_rows(table)
    assert [r["name"] for r in rows] == [*table.class_names, "macro", "weighted"]
    for line, row in zip(rows, table.rows, strict=True):
        for side, scores in row.sides.items():
            for measure in MEASURES:
                value = None if scores is None else scores.value(measure)
                assert line[f"{measure}_{side}"] == ("" if value is None else repr(value))


@given(table=tables())
@settings(max_examples=50)
def test_json_brings_back_the_table(table):
    back = from_json(to_json(table))
    assert back == table
    assert back.class_names == table.class_names
    assert to_json(back) == to_json(table)


@given(table=tables())
@settings(max_examples=50)
def test_markdown_shows_the_csv_to_three_decimals(table):
    header, *lines = markdown_cells(table)
    rows = csv_rows(table)
    columns = [name for name in rows[0] if name.endswith(("_binary", "_multilabel"))]
    assert len(header) == 2 + len(columns)
    for cells, row in zip(lines, rows, strict=True):
        assert cells[0].strip("*") == row["name"]
        assert cells[2:] == [decimals(float(row[c]) if row[c] else None) for c in columns]


@given(table=tables())
@settings(max_examples=20)
def test_the_terminal_shows_names_and_scores_within_80_columns(table):
    text = terminal(table)
    assert max(map(len, text.splitlines())) <= 80
    for row in table.rows:
        assert row.name in text
        assert all(decimals(scores.f1) in text for scores in row.sides.values() if scores is not None)


def test_the_headline_is_the_weighted_f1_of_each_side():
    multilabel, binary = multilabel_of(0), binary_of(1)
    table = score_table(multilabel, binary)
    weighted = {"binary": binary.scores().weighted.f1, "multilabel": multilabel.scores().weighted.f1}
    assert table.headline == weighted
    assert json.loads(to_json(table))["weighted_f1"] == weighted
    for text in (to_markdown(table), terminal(table)):
        assert all(decimals(value) in text.splitlines()[0] for value in weighted.values())


def test_binary_classes_stand_in_the_order_of_the_multilabel_ones():
    table = score_table(multilabel_of(0), binary_of(1, NAMES[::-1]))
    assert [row.name for row in table.rows] == [*NAMES, "macro", "weighted"]
    assert table.binary is not None
    assert table.binary.class_names == NAMES


def test_a_side_that_is_not_there_has_no_columns():
    assert "multilabel" not in to_markdown(score_table(None, binary_of(0)))
    assert "binary" not in to_csv(score_table(multilabel_of(0), None))


def test_some_binaries_leave_gaps_and_a_note_names_the_classes_they_cover():
    table = score_table(multilabel_of(0), binary_of(1, NAMES[:2]))
    assert [row.sides["binary"] is None for row in table.rows] == [False, False, True, True, False, False]
    (note,) = table.notes
    assert "2 of 4" in note
    assert NAMES[0] in note
    assert note in to_markdown(table)


def test_a_class_that_nobody_saw_is_a_dash_with_a_note():
    counts = np.diag([5, 0, 7, 9])
    matrix = ConfusionMatrix(NAMES, np.column_stack([np.zeros(4, int), counts]))
    table = score_table(matrix, None)
    assert markdown_cells(table)[2][:3] == ["synapses", "0.00", "–"]
    assert csv_rows(table)[1]["f1_multilabel"] == ""
    assert any("synapses" in note and "undefined" in note for note in table.notes)


def test_a_class_that_is_predicted_and_not_in_the_truth_is_noted():
    counts = ConfusionMatrix(("cell", "absent"), np.array([[0, 9, 1], [0, 0, 0]]))
    assert ScoreTable(counts, None).notes == [
        "multilabel: absent not in the truth, but predicted; F1 is 0 and counts in the macro average"
    ]


def test_support_and_shares_are_those_of_the_labelled_voxels():
    multilabel = multilabel_of(3)
    rows = csv_rows(score_table(multilabel, None))
    support = [int(r["support_voxels"]) for r in rows if r["row"] == "class"]
    assert support == multilabel.counts.sum(axis=1).tolist()
    assert sum(float(r["share"]) for r in rows if r["row"] == "class") == pytest.approx(1)


@pytest.mark.parametrize(
    ("value", "text"), [(0.9541, ".954"), (1.0, "1.000"), (0.0, ".000"), (0.99961, "1.000"), (None, "–")]
)
def test_scores_print_as_in_a_paper(value, text):
    assert decimals(value) == text


def test_a_table_of_nothing_or_of_foreign_classes_is_refused():
    with pytest.raises(InputError):
        score_table(None, None)
    with pytest.raises(InputError, match="dendrite"):
        score_table(multilabel_of(0), binary_of(1, ("dendrite",)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"confusion": {"binary": null}}',
        '{"confusion": {"multilabel": null, "binary": {"kind": "exclusive", "classes": ["a"], "counts": [[0, 1]]}}}',
        '{"confusion": {"multilabel": {"kind": "x"}, "binary": null}}',
    ],
)
def test_json_that_is_no_table_is_refused(text):
    with pytest.raises(DataError):
        from_json(text)


def test_scores_of_objects_stand_beside_those_of_voxels() -> None:
    matched, iou_sum = (0, 1, 0, 2, 0, 3, 0, 2, 1, 0), (0, 0.56, 0, 1.3, 0, 2.3, 0, 1.74, 0.92, 0)
    objects = {"b": ObjectCounts(12, 14, 3, 0, matched, iou_sum, 9, 0.1, 0.25, (4, 5, 6)).scores()}
    counts = ConfusionMatrix(("a", "b"))
    counts.update(np.array([1, 1, 2]), np.array([1, 2, 2]))
    plain = score_table(counts, None)
    table = with_objects(plain, objects)
    assert from_json(to_json(table)).objects == objects
    assert "objects" not in json.loads(to_json(plain))
    a, b, *averages = csv.DictReader(io.StringIO(to_csv(table)))
    assert [row["objects_ap_50"] for row in (a, *averages)] == [""] * 3
    assert float(b["objects_ap_50"]) == pytest.approx(9 / 17)
    assert float(b["objects_recall_low"]) < 9 / 12 < float(b["objects_recall_high"])
    assert b["objects_vi_merge_bits"] == "0.25"
    assert b["objects_vi_merge_bits_low"] == ""
    assert set(to_csv(plain).splitlines()[0].split(",")) < set(b)
    shown = to_markdown(table)
    assert "| b | 12 | 14 | " in shown
    assert ".750 [.468, .911]" in shown
    assert "3 of 12 true and 0 of 14 predicted objects touch what is not scored" in shown
    assert shown.startswith(to_markdown(plain).rstrip())


def test_every_score_of_objects_has_a_title_and_a_meaning() -> None:
    assert set(object_tables.TITLES) == set(object_tables.MEANINGS)
    shown = ObjectCounts(0, 0, 0, 0, (0,) * 10, (0,) * 10, 0, None, None, (0, 0, 0)).scores()
    assert set(object_tables.TITLES) < set(shown.values)
    assert object_tables.cell(shown, "ap") == "–"
