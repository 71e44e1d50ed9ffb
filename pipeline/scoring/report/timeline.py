"""When each step was at work, and how fast: a row a step and item, on one axis of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from markupsafe import Markup

from pipeline.scoring.report.contents import Work
from pipeline.scoring.report.strips import Range, spans


@dataclass(frozen=True)
class TimelineRow:
    """A step's work on one item, with its stretch of the axis."""

    work: Work
    strip: Markup
    starts_after: float
    """Seconds since the first step began."""


@dataclass(frozen=True)
class Timeline:
    """All rows, in the order in which they began."""

    began: str
    seconds: float
    rows: tuple[TimelineRow, ...]


def timeline(work: Sequence[Work]) -> Timeline | None:
    """Return the rows; None where nothing has been at work."""
    if not work:
        return None
    start = min(one.spans[0][0] for one in work)
    stop = max(one.spans[-1][1] for one in work)
    axis = Range(start, max(stop, start + 1))
    ordered = sorted(work, key=lambda one: (one.spans[0][0], one.step, one.item))
    began = datetime.fromtimestamp(start, UTC).strftime("%Y-%m-%d %H:%M UTC")
    rows = (TimelineRow(one, spans(one.spans, axis), one.spans[0][0] - start) for one in ordered)
    return Timeline(began, stop - start, tuple(rows))
