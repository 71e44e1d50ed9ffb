"""A table of scores in a notebook: F1 of each side with bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.display import parts

if TYPE_CHECKING:
    from pipeline.scoring.tables import ScoreTable


def scores_html(table: ScoreTable) -> str:
    """The headline, F1 by class and network, averages last, and what one must know to read them."""
    from pipeline.scoring import tables

    sides = list(table.sides)
    rows = []
    for row in table.rows:
        found = [scores.value("f1") if (scores := row.sides[side]) else None for side in sides]
        share = (tables.percent(row.share), row.share or 0.0)
        rows.append((row.name, [share, *((tables.decimals(f1), f1 or 0.0) for f1 in found)]))
    shown = parts.bars(["class", "share, %", *(f"F1 {side}" for side in sides)], rows)
    return parts.heading(tables.headline(table)) + shown + "".join(map(parts.note, table.notes))
