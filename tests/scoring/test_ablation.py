"""Proves that an ablation compares the right inputs, that every format of its table says the same numbers, that it can
be read back, and that its words follow from its intervals.
"""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from functools import cache, reduce
from operator import add

import numpy as np
import pytest

from pipeline.errors import DataError, InputError
from pipeline.formats import decimals
from pipeline.scoring.ablation import Ablation, MeasuredInput, compare_inputs
from pipeline.scoring.ablation_tables import (
    COMPARED,
    from_json,
    headline,
    interval_text,
    notes,
    signed,
    to_csv,
    to_json,
    to_markdown,
    verdict,
)
from pipeline.scoring.bootstrap import Interval, paired_differences
from pipeline.scoring.confusion import ClasswiseConfusion, ConfusionMatrix
from pipeline.scoring.image_quality import Quality
from pipeline.scoring.scores import MEASURES

NAMES = ("cytosol", "odd | [name]", "rare", "absent")
ERRORS = {"native": 0.1, "bilinear": 0.3, "bicubic": 0.2, "zssr": 0.1}
BLOCKS = 10


def quality(psnr_db: float = 30.0) -> Quality:
    return Quality(4, psnr_db, 0.9, 0.95, 0.5, 0.75, 3, -0.01, 0.02, 0.001)


def blocks(errors: float, overlapping: bool = False):
    rng = np.random.default_rng(0)
    found = []
    for block in range(BLOCKS):
        truth = rng.choice([1, 2], 500)
        truth[:5] = 3 if block < 3 else 1
        predicted = np.where(rng.random(500) < errors, rng.choice([1, 2], 500), truth)
        matrix = ConfusionMatrix(NAMES)
        matrix.update(truth, predicted)
        found.append(matrix.one_vs_rest() if overlapping else matrix)
    return found


def measured(names=tuple(ERRORS), overlapping: bool = False) -> list[MeasuredInput]:
    return [MeasuredInput(n, None if n == "native" else quality(), blocks(ERRORS[n], overlapping)) for n in names]


@cache
def ablation(names=tuple(ERRORS), overlapping: bool = False) -> Ablation:
    return compare_inputs(measured(names, overlapping), resamples=500)


def csv_rows(of: Ablation) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(of))))


def markdown_tables(of: Ablation) -> list[list[list[str]]]:
    """The cells of each table, header first, without the line under it."""
    parts = [part for part in to_markdown(of).split("\n\n") if part.startswith("|")]
    tables = [[line.replace(r"\|", "\0").strip("|").split("|") for line in part.splitlines()] for part in parts]
    return [[[cell.strip().replace("\0", "|") for cell in row] for row in (t[0], *t[2:])] for t in tables]


def test_everything_is_compared_with_native_and_with_bicubic():
    pairs = [(c.name, c.reference) for c in ablation().comparisons]
    assert pairs == [
        ("bilinear", "native"),
        ("bicubic", "native"),
        ("zssr", "native"),
        ("bilinear", "bicubic"),
        ("zssr", "bicubic"),
    ]


@pytest.mark.parametrize(("names", "comparisons"), [(("native",), 0), (("native", "zssr"), 1)])
def test_a_reference_that_is_missing_is_left_out(names, comparisons):
    assert len(ablation(names).comparisons) == comparisons
    assert to_markdown(ablation(names)).startswith("**Weighted F1: native")


def test_scores_and_differences_are_those_of_the_blocks():
    by_name = {one.name: one for one in measured()}
    for one in ablation().inputs:
        assert one.confusion == reduce(add, by_name[one.name].blocks)
    for comparison in ablation().comparisons:
        pair = by_name[comparison.name].blocks, by_name[comparison.reference].blocks
        assert comparison.rows == paired_differences(*pair, resamples=500)


@pytest.mark.parametrize("overlapping", [False, True])
def test_json_is_read_back(overlapping):
    assert from_json(to_json(ablation(overlapping=overlapping))) == ablation(overlapping=overlapping)
    kind = ClasswiseConfusion if overlapping else ConfusionMatrix
    assert isinstance(ablation(overlapping=overlapping).inputs[0].confusion, kind)


def test_json_is_strict_even_for_slices_that_equal_the_native_ones():
    inputs = ablation().inputs
    perfect = replace(ablation(), inputs=(inputs[0], replace(inputs[1], quality=quality(math.inf))))

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(to_json(perfect), parse_constant=refuse)
    assert from_json(to_json(perfect)) == perfect


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"inputs": [{}]}', '{"inputs": 3}', "not json"])
def test_json_of_something_else_is_refused(text):
    with pytest.raises(DataError):
        from_json(text)


def test_json_shows_the_scores_and_the_notes():
    data = json.loads(to_json(ablation()))
    for one, shown in zip(ablation().inputs, data["inputs"], strict=True):
        scores = [*one.scores.classes, one.scores.macro, one.scores.weighted]
        values = [{measure: row[measure] for measure in MEASURES} for row in shown["scores"]]
        assert values == [{measure: s.value(measure) for measure in MEASURES} for s in scores]
    assert data["notes"] == notes(ablation())


def test_csv_holds_every_value_in_full():
    rows = {(r["input"], r["row"], r["name"], r["measure"]): r for r in csv_rows(ablation())}
    for one in ablation().inputs:
        for scores in one.scores.classes:
            for measure in MEASURES:
                expected = scores.value(measure)
                cell = rows[one.name, "class", scores.name, measure]["value"]
                assert cell == ("" if expected is None else str(expected))
        for name, average in (("macro", one.scores.macro), ("weighted", one.scores.weighted)):
            assert float(rows[one.name, "average", name, "f1"]["value"]) == average.f1
    assert float(rows["zssr", "quality", "stack", "detail_correlation"]["value"]) == 0.75
    assert not any(key[:2] == ("native", "quality") for key in rows)


def test_csv_holds_every_difference_with_its_interval():
    rows = {(r["input"], r["row"], r["name"], r["measure"]): r for r in csv_rows(ablation())}
    for comparison in ablation().comparisons:
        for row in comparison.rows:
            for measure in COMPARED:
                interval = getattr(row, measure)
                line = rows[comparison.name, "average" if row.is_average else "class", row.name, measure]
                cells = [
                    line[f"{what}_{comparison.reference}"] for what in ("difference_from", "low_from", "high_from")
                ]
                expected = (interval.estimate, interval.low, interval.high)
                assert cells == ["" if value is None else str(value) for value in expected]
    assert rows["native", "class", "cytosol", "f1"]["difference_from_bicubic"] == ""
    assert rows["zssr", "class", "cytosol", "recall"]["difference_from_native"] == ""


def test_markdown_shows_quality_scores_and_differences():
    of_quality, of_scores, against_native, against_bicubic = markdown_tables(ablation())
    assert [row[0] for row in of_quality] == ["input", "bilinear", "bicubic", "zssr"]
    assert of_quality[1][1:6] == ["30.00", "0.9000", "95.0", "50.0", "0.750"]
    names = [*NAMES, "**macro**", "**weighted**"]
    for table in (of_scores, against_native, against_bicubic):
        assert [row[0] for row in table[1:]] == names
        assert {len(row) for row in table} == {len(table[0])}
    column = of_scores[0].index("F1 zssr")
    expected = [decimals(c.f1) for c in ablation().inputs[3].scores.classes]
    assert [row[column] for row in of_scores[1:5]] == expected
    assert against_bicubic[0] == ["F1 difference", "bilinear − bicubic", "zssr − bicubic"]


def test_markdown_sets_in_bold_what_excludes_zero():
    *_, table = markdown_tables(ablation())
    for i, comparison in enumerate(ablation().against("bicubic")):
        for cells, row in zip(table[1:], comparison.rows, strict=True):
            text = interval_text(row.f1)
            assert cells[1 + i] == (f"**{text}**" if row.f1.excludes_zero else text)


def test_the_headline_names_the_weighted_f1_of_every_input():
    expected = [f"{one.name} {decimals(one.scores.weighted.f1)}" for one in ablation().inputs]
    assert headline(ablation()) == f"Weighted F1: {', '.join(expected)}"


@pytest.mark.parametrize(
    ("interval", "relation"),
    [
        (Interval(0.01, 0.002, 0.02), "better than"),
        (Interval(-0.01, -0.02, -0.002), "worse than"),
        (Interval(0.01, -0.002, 0.02), "not clearly different from"),
        (Interval(0.01, 0.0, 0.02), "not clearly different from"),
        (Interval(0.01), "not clearly different from"),
    ],
)
def test_the_verdict_follows_the_interval(interval, relation):
    comparison = ablation().against("native")[0]
    rows = tuple(replace(row, f1=interval) if row.name == "weighted" else row for row in comparison.rows)
    assert verdict(replace(comparison, rows=rows)) == f"bilinear {relation} native: {interval_text(interval)}"


def test_the_notes_name_rare_and_absent_classes():
    text = "\n".join(notes(ablation()))
    assert "rare (3), absent (0)" in text
    assert "zssr: absent neither in the truth nor predicted" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0124, "+.012"), (-0.0126, "−.013"), (0.0004, ".000"), (-0.0004, ".000"), (1.0, "+1.000"), (None, "–")],
)
def test_differences_carry_their_sign(value, text):
    assert signed(value) == text


def test_what_cannot_be_compared_is_refused():
    native, bilinear, *_ = measured()
    for inputs in ([], [bilinear], [native, native], [native, replace(bilinear, blocks=[])]):
        with pytest.raises(InputError):
            compare_inputs(inputs)
    with pytest.raises(InputError):
        compare_inputs([native, replace(bilinear, blocks=bilinear.blocks[1:])])
