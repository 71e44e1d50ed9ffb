"""The table of scores, line by line: every measure of both sides, as figures and as bars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from pipeline.scoring.ablation_tables import signed
from pipeline.scoring.report.strips import bar
from pipeline.scoring.scores import MEASURES
from pipeline.scoring.tables import Row, ScoreTable, decimals

MEASURE_TITLES: Mapping[str, str] = {"f1": "F1", "iou": "IoU", "precision": "Precision", "recall": "Recall"}
MEANINGS: Mapping[str, str] = {
    "f1": "harmonic mean of precision and recall",
    "iou": "overlap of truth and prediction over their union",
    "precision": "of what was taken for the class, how much is",
    "recall": "of what is the class, how much was found",
}


@dataclass(frozen=True)
class Cell:
    """A score of one side; `value` is None where it is undefined, or the side lacks the class."""

    value: float | None
    text: str
    bar: Markup


@dataclass(frozen=True)
class ScoreLine:
    """A class or an average; cells by measure and side."""

    name: str
    is_average: bool
    share: float | None
    support: int | None
    cells: Mapping[str, Mapping[str, Cell]]
    gains: Mapping[str, str]
    """By measure: multilabel minus binary, where there are both."""


def score_lines(table: ScoreTable) -> list[ScoreLine]:
    """Return the rows of a table, in its order."""
    return [_line(row) for row in table.rows]


def _line(row: Row) -> ScoreLine:
    cells = {measure: {side: _cell(row, measure, side) for side in row.sides} for measure in MEASURES}
    gains = {measure: _gain(cells[measure]) for measure in MEASURES}
    return ScoreLine(row.name, row.is_average, row.share, row.support, cells, gains)


def _cell(row: Row, measure: str, side: str) -> Cell:
    scores = row.sides[side]
    value = None if scores is None else scores.value(measure)
    return Cell(value, decimals(value), bar(value, f"bar {side}"))


def _gain(cells: Mapping[str, Cell]) -> str:
    binary, multilabel = (cells[side].value if side in cells else None for side in ("binary", "multilabel"))
    return "" if binary is None or multilabel is None else signed(multilabel - binary)
