"""Numbers are written in one way everywhere, and tables hold whatever a cell holds as text."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.figures.markup import html_table
from pipeline.formats import (
    amount,
    csv_table,
    duration,
    length,
    markdown_table,
    percent_number,
    percent_part,
    percent_phrase,
    rough_duration,
    round_length,
    volume_um3,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (781, "13 min 1 s"),
        (7500, "2 h 5 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (999.6, "1 k"),
        (1234, "1.23 k"),
        (14_000, "14 k"),
        (2.6e6, "2.6 M"),
        (1e9, "1 G"),
    ],
)
def test_amounts(count: float, text: str) -> None:
    assert amount(count).replace("\u202f", " ") == text


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5400, "1.5 h")])
def test_rough_durations_have_one_unit(seconds: float, text: str) -> None:
    assert rough_duration(seconds) == text


@pytest.mark.parametrize(
    ("most", "length"), [(1.2, 1), (0.99, 0.5), (4.9, 2), (5, 5), (0.02, 0.02), (999, 500), (0.003, 0.002)]
)
def test_scale_bars_are_round(most, length):
    assert round_length(most) == length


@given(st.integers(0, 10**9), st.integers(1, 10**9))
def test_shares_say_the_same_in_a_column_a_cell_and_a_sentence(part: int, more: int) -> None:
    of = part + more
    shown = 100 * part / of
    assert float(percent_number(part / of)) == pytest.approx(shown, abs=0.0051)
    cell, phrase = percent_part(part, of), percent_phrase(part / of)
    assert (cell == "") == (part == 0)
    for text in filter(None, (cell, phrase.replace("\u00a0", "").rstrip("%"))):
        assert text == "<0.1" if 0 < part / of < 0.0005 else float(text) == pytest.approx(shown, abs=0.051)


@pytest.mark.parametrize(("volume", "text"), [(1234.5, "1200"), (0.00123, "0.0012"), (3e-7, "0.0000003"), (0.0, "0")])
def test_volumes_have_two_digits_and_no_exponent(volume: float, text: str) -> None:
    assert volume_um3(volume) == text


@pytest.mark.parametrize(("nanometres", "text"), [(20, "20 nm"), (500, "500 nm"), (1000, "1 µm"), (2500, "2.5 µm")])
def test_lengths_have_the_unit_that_fits(nanometres: float, text: str) -> None:
    assert length(nanometres) == text


cells = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1)


@given(st.lists(st.tuples(cells, cells), min_size=1))
def test_markdown_cells_stay_text(rows: list[tuple[str, str]]) -> None:
    head, marks, *lines = markdown_table(("a", "b"), rows).split("\n")
    assert (head, marks) == ("| a | b |", "| :--- | ---: |")
    for line, row in zip(lines, rows, strict=True):
        shown = line.replace("\\|", "\0").removeprefix("| ").removesuffix(" |").split(" | ")
        assert [cell.replace("\0", "|") for cell in shown] == list(row)


@given(st.lists(st.tuples(cells, st.one_of(st.none(), st.floats(allow_nan=False)))))
def test_csv_is_read_back(rows: list[tuple[str, float | None]]) -> None:
    (_, *read) = csv.reader(io.StringIO(csv_table(("a", "b"), rows), newline=""))
    assert read == [[text, "" if value is None else repr(value)] for text, value in rows]


def test_cells_of_html_stay_text_and_head_their_rows() -> None:
    table = html_table(("<a>", "b"), [("<script>", "1 & 2")], caption="<c>")
    assert table == (
        '<table class="figures"><caption><span>&lt;c&gt;</span></caption>'
        '<thead><tr><th scope="col">&lt;a&gt;</th><th scope="col" class="number">b</th></tr></thead>'
        '<tbody><tr><th scope="row">&lt;script&gt;</th><td class="number">1 &amp; 2</td></tr></tbody></table>'
    )
