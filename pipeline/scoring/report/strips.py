"""Strips of a chart for the cells of a table: as wide as their cell, since all their lengths are shares of it.

They are hidden from screen readers: what they show stands in the same row in figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipeline.scoring.bootstrap import Interval
from pipeline.scoring.report.markup import element, percent

HEIGHT_PX = 14
WHISKER_HEIGHT_PX = 26
"""That of a line of text: so the zero line of one row meets that of the next."""
MARKS = (
    "M-4.5,0a4.5,4.5 0 1,0 9,0a4.5,4.5 0 1,0 -9,0Z",
    "M-4,-4h8v8h-8Z",
    "M0,-5.5L5.5,4.5H-5.5Z",
    "M0,-6L6,0L0,6L-6,0Z",
)
"""A circle, a square, a triangle and a diamond around the origin: what tells methods apart without colours."""


@dataclass(frozen=True)
class Range:
    """What the width of a strip stands for."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Where a value lies, as a share of the width."""
        return (value - self.low) / (self.high - self.low)


def bar(value: float | None, look: str) -> Markup:
    """Return a bar for a value from 0 to 1; `look` is its CSS class."""
    track = element("rect", class_="track", width="100%", height=HEIGHT_PX, rx=2)
    filled = element("rect", class_=look, width=percent(value or 0.0), height=HEIGHT_PX, rx=2)
    return _strip(track, filled)


def whisker(interval: Interval, axis: Range, mark: int) -> Markup:
    """Return a difference with its interval, and a line where there is none; `mark` is an index of `MARKS`."""
    middle = WHISKER_HEIGHT_PX / 2
    zero = percent(axis.place(0.0))
    parts = [element("line", class_="zero", x1=zero, x2=zero, y1=0, y2=WHISKER_HEIGHT_PX)]
    if interval.low is not None and interval.high is not None:
        low, high = (percent(axis.place(end)) for end in (interval.low, interval.high))
        parts.append(element("line", class_="whisker", x1=low, x2=high, y1=middle, y2=middle))
        parts += [element("line", class_="whisker", x1=x, x2=x, y1=middle - 4, y2=middle + 4) for x in (low, high)]
    if interval.estimate is not None:
        shape = element("path", class_=f"mark mark-{mark}", d=MARKS[mark % len(MARKS)])
        parts.append(element("svg", shape, x=percent(axis.place(interval.estimate)), y=middle, class_="anchor"))
    return _strip(*parts, height=WHISKER_HEIGHT_PX)


def spans(times: Sequence[tuple[float, float]], axis: Range) -> Markup:
    """Return stretches of time, each at least as wide as can be seen."""
    return _strip(
        element("rect", class_="track", width="100%", height=HEIGHT_PX, rx=2),
        *(_span(axis.place(start), axis.place(stop)) for start, stop in times),
    )


def mark(number: int) -> Markup:
    """Return a mark alone, for a legend."""
    shape = element("path", class_=f"mark mark-{number}", d=MARKS[number % len(MARKS)])
    return element("svg", shape, class_="key", viewBox="-8 -8 16 16", width=16, height=16, aria_hidden="true")


def _span(start: float, stop: float) -> Markup:
    width = max(stop - start, 0.004)
    return element("rect", class_="span", x=percent(min(start, 1 - width)), width=percent(width), height=HEIGHT_PX)


def _strip(*parts: Markup, height: float = HEIGHT_PX) -> Markup:
    return element("svg", *parts, class_="strip", width="100%", height=height, aria_hidden="true")
