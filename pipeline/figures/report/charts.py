"""The charts of the page, as SVG: training curves, and strips for the cells of tables: scores, effects, times.

A strip is as wide as its cell, since all its lengths are shares of it. It is hidden from screen readers: what it shows
stands in the same row in figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil, floor, log10

import numpy as np
from markupsafe import Markup

from pipeline.figures import chartdata
from pipeline.figures.chartdata import Points
from pipeline.figures.markup import css_length, element, html_table
from pipeline.figures.report.contents import ClassObjects, TargetFacts
from pipeline.formats import ABSENT, decimals, signed, volume_um3, whole
from pipeline.objects.table import ClassSummary
from pipeline.run.worklog import Work
from pipeline.scoring.ablation import NATIVE, Ablation, Comparison
from pipeline.scoring.ablation_tables import interval_text
from pipeline.scoring.bootstrap import Difference, Interval

WIDTH, LEFT, RIGHT, HEIGHT = 300.0, 34.0, 10.0, 194.0
F1_TOP, F1_HEIGHT = 12.0, 92.0
LOSS_TOP, LOSS_HEIGHT = 130.0, 44.0
BINS, BINS_HEIGHT = 24, 92.0
STRIP_PX = 14
WHISKER_PX = 26
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


@dataclass(frozen=True)
class CurveChart:
    """The chart of one target, what it says, and its numbers as a table."""

    target: str
    chart: Markup
    sentence: str
    table: Markup


@dataclass(frozen=True)
class Histogram:
    """How large the objects of one class are: the chart, what it says, and its numbers as a table."""

    name: str
    chart: Markup
    sentence: str
    table: Markup


@dataclass(frozen=True)
class Effect:
    """One method on one class or average."""

    method: str
    key: Markup
    strip: Markup
    text: str
    is_clear: bool
    """Whether zero lies outside the interval."""


@dataclass(frozen=True)
class EffectGroup:
    """All methods on one class or average."""

    name: str
    is_average: bool
    note: str
    effects: tuple[Effect, ...]


@dataclass(frozen=True)
class Timeline:
    """When each step was at work: its work, a strip, and the seconds since the first step began."""

    began: str
    seconds: float
    rows: tuple[tuple[Work, Markup, float], ...]


@dataclass(frozen=True)
class _Plot:
    """A rectangle of the drawing in which values from 0 to `most` are drawn over steps from 0 to `last_step`."""

    top: float
    height: float
    most: float
    last_step: float

    def x(self, step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / self.last_step

    def y(self, value: float) -> float:
        return self.top + self.height * (1 - value / self.most)

    def line(self, points: Points, look: str) -> Markup:
        places = " ".join(f"{self.x(step):.1f},{self.y(value):.1f}" for step, value in points.tolist())
        return element("polyline", class_=look, points=places)

    def ticks(self, labels: Sequence[tuple[float, str]]) -> list[Markup]:
        return [
            part
            for value, label in labels
            for part in (
                element("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=self.y(value), y2=self.y(value)),
                element("text", label, x=LEFT - 5, y=self.y(value) + 3.5, text_anchor="end"),
            )
        ]


def training_curves(targets: Sequence[TargetFacts]) -> list[CurveChart]:
    """Return the charts of the targets that have a history, loss and F1 on the same scale in all of them.

    A chart a target: lines need no colours where none cross.
    """
    drawn = [(target, chartdata.curve(target.name, target.history)) for target in targets if target.history]
    highest_loss = max((float(curve.loss[:, 1].max()) for _, curve in drawn if len(curve.loss)), default=0.0) or 1.0
    return [_curve_chart(target, curve, highest_loss) for target, curve in drawn]


def size_histograms(objects: Sequence[ClassObjects]) -> list[Histogram]:
    """Return a chart for each class that has objects: bins of equal width on a scale of logarithms."""
    return [_histogram(one.summary) for one in objects if one.summary.count]


def effects(ablation: Ablation) -> list[EffectGroup]:
    """Return a group for the averages, which are what one looks for first, then for every class."""
    comparisons = ablation.against(NATIVE)
    if not comparisons:
        return []
    axis = _effect_axis(ablation)
    rows = sorted(range(len(comparisons[0].rows)), key=lambda i: not comparisons[0].rows[i].is_average)
    return [_group([(one, one.rows[i]) for one in comparisons], axis) for i in rows]


def effect_ticks(ablation: Ablation) -> list[tuple[str, str]]:
    """Return three to six round values of the axis of the effects, zero among them, and where they stand."""
    axis = _effect_axis(ablation)
    rough = (axis.high - axis.low) / 4
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    values = [i * step for i in range(ceil(axis.low / step), floor(axis.high / step) + 1)]
    return [(signed(value) if value else "0", f"{100 * axis.place(value):.2f}%") for value in values]


def timeline(work: Sequence[Work]) -> Timeline | None:
    """Return a row a step and item, in the order in which they began; None where nothing has been at work."""
    if not work:
        return None
    start, stop = min(one.spans[0][0] for one in work), max(one.spans[-1][1] for one in work)
    axis = Range(start, max(stop, start + 1))
    ordered = sorted(work, key=lambda one: (one.spans[0][0], one.step, one.item))
    began = datetime.fromtimestamp(start, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return Timeline(began, stop - start, tuple((one, _spans(one, axis), one.spans[0][0] - start) for one in ordered))


def bar(value: float | None, side: str) -> Markup:
    """Return a bar for a score from 0 to 1 of a side: binary, multilabel or merged."""
    filled = element("rect", class_=f"bar {side}", width=css_length(value or 0.0), height=STRIP_PX, rx=2)
    return _strip(_track(), filled)


def _effect_axis(ablation: Ablation) -> Range:
    """A range about zero that holds every difference from native and its interval."""
    intervals = [row.f1 for one in ablation.against(NATIVE) for row in one.rows]
    ends = [end for one in intervals for end in (one.estimate, one.low, one.high) if end is not None]
    low, high = min(0.0, *ends, -0.005), max(0.0, *ends, 0.005)
    margin = 0.04 * (high - low)
    return Range(low - margin, high + margin)


def _group(rows: list[tuple[Comparison, Difference]], axis: Range) -> EffectGroup:
    first = rows[0][1]
    shown = [
        Effect(
            comparison.name,
            _mark(number, "key", viewBox="-8 -8 16 16", width=16, height=16, aria_hidden="true"),
            _whisker(row.f1, axis, number),
            interval_text(row.f1),
            row.f1.excludes_zero,
        )
        for number, (comparison, row) in enumerate(rows)
    ]
    name = f"{first.name} average" if first.is_average else first.name
    note = f"in {first.blocks_text} only: no interval" if first.is_rare else ""
    return EffectGroup(name, first.is_average, note, tuple(shown))


def _whisker(interval: Interval, axis: Range, number: int) -> Markup:
    """A difference with its interval, and a line where there is none."""
    middle = WHISKER_PX / 2
    zero = css_length(axis.place(0.0))
    parts = [element("line", class_="zero", x1=zero, x2=zero, y1=0, y2=WHISKER_PX)]
    if interval.low is not None and interval.high is not None:
        low, high = (css_length(axis.place(end)) for end in (interval.low, interval.high))
        parts.append(element("line", class_="whisker", x1=low, x2=high, y1=middle, y2=middle))
        parts += [element("line", class_="whisker", x1=x, x2=x, y1=middle - 4, y2=middle + 4) for x in (low, high)]
    if interval.estimate is not None:
        parts.append(_mark(number, "anchor", x=css_length(axis.place(interval.estimate)), y=middle))
    return _strip(*parts, height=WHISKER_PX)


def _mark(number: int, look: str, **attributes: str | float) -> Markup:
    shape = element("path", class_=f"mark mark-{number}", d=MARKS[number % len(MARKS)])
    return element("svg", shape, class_=look, **attributes)


def _spans(work: Work, axis: Range) -> Markup:
    """Stretches of time, each at least as wide as can be seen."""
    parts = [_track()]
    for start, stop in work.spans:
        width = max(axis.place(stop) - axis.place(start), 0.004)
        left = css_length(min(axis.place(start), 1 - width))
        parts.append(element("rect", class_="span", x=left, width=css_length(width), height=STRIP_PX))
    return _strip(*parts)


def _track() -> Markup:
    return element("rect", class_="track", width="100%", height=STRIP_PX, rx=2)


def _strip(*parts: Markup, height: float = STRIP_PX) -> Markup:
    return element("svg", *parts, class_="strip", width="100%", height=height, aria_hidden="true")


def _curve_chart(target: TargetFacts, curve: chartdata.Curve, highest_loss: float) -> CurveChart:
    steps = [step for points in (curve.f1, curve.loss) for step in points[:, 0].tolist()]
    last_step = max(steps, default=1.0) or 1.0
    upper = _Plot(F1_TOP, F1_HEIGHT, 1.0, last_step)
    lower = _Plot(LOSS_TOP, LOSS_HEIGHT, highest_loss, last_step)
    sentence = _sentence(curve, target.is_training)
    parts = [
        element("text", "validation F1", x=LEFT, y=F1_TOP - 3, class_="label"),
        *upper.ticks([(0.0, "0"), (0.5, ".5"), (1.0, "1")]),
        upper.line(curve.f1, "curve f1"),
        *_best(upper, curve),
        element("text", "training loss", x=LEFT, y=LOSS_TOP - 5, class_="label"),
        *lower.ticks([(0.0, "0"), (highest_loss, f"{highest_loss:.2g}")]),
        lower.line(curve.smooth_loss, "curve loss"),
        element("text", "0", x=LEFT, y=HEIGHT - 6, text_anchor="middle"),
        element("text", f"step {whole(round(last_step))}", x=WIDTH - RIGHT, y=HEIGHT - 6, text_anchor="end"),
    ]
    attributes = {"viewBox": f"0 0 {WIDTH:g} {HEIGHT:g}", "role": "img"}
    chart = element("svg", *parts, class_="plot", aria_label=f"Training of {target.name}: {sentence}", **attributes)
    numbers = html_table(
        ("step", "loss", "validation F1"), map(_numbers, target.history), caption=target.name, text_columns=0
    )
    return CurveChart(target.name, chart, sentence, numbers)


def _histogram(objects: ClassSummary) -> Histogram:
    volumes = objects.volumes_nm3 / 1e9
    edges = np.geomspace(volumes.min() * 0.999, volumes.max() * 1.001, min(BINS, max(2, len(volumes))) + 1)
    counts = np.histogram(volumes, edges)[0].tolist()
    axis = Range(log10(edges[0]), log10(edges[-1]))
    plot = _Plot(F1_TOP, BINS_HEIGHT, max(counts), 1.0)
    width = (WIDTH - LEFT - RIGHT) / len(counts)
    bars = [
        element("rect", class_="bar multilabel", x=LEFT + number * width, width=max(1.0, width - 1), y=plot.y(count),
                height=BINS_HEIGHT + F1_TOP - plot.y(count))
        for number, count in enumerate(counts)
    ]  # fmt: skip
    bottom = F1_TOP + BINS_HEIGHT
    ticks = [
        element("text", volume_um3(value), x=plot.x(axis.place(log10(value))), y=bottom + 14, text_anchor="middle")
        for value in _round_volumes(axis)
    ]
    median, total = (volume_um3(volume) for volume in (objects.median_um3 or 0.0, objects.total_um3))
    sentence = f"{whole(objects.count)} objects, median {median} µm³, together {total} µm³"
    parts = [
        *plot.ticks([(0.0, "0"), (float(max(counts)), whole(max(counts)))]),
        *bars,
        *ticks,
        element("text", "volume, µm³", x=WIDTH - RIGHT, y=bottom + 28, text_anchor="end", class_="label"),
    ]
    attributes = {"viewBox": f"0 0 {WIDTH:g} {bottom + 34:g}", "role": "img"}
    chart = element("svg", *parts, class_="plot", aria_label=f"Volumes of {objects.name}: {sentence}", **attributes)
    rows = [
        (f"{volume_um3(low)} to {volume_um3(high)}", whole(count))
        for low, high, count in zip(edges[:-1].tolist(), edges[1:].tolist(), counts, strict=True)
    ]
    return Histogram(objects.name, chart, sentence, html_table(("volume, µm³", "objects"), rows, caption=objects.name))


def _round_volumes(axis: Range) -> list[float]:
    """Powers of ten on a scale of logarithms, or its ends where it has fewer than two."""
    powers = [10.0**power for power in range(ceil(axis.low), floor(axis.high) + 1)]
    return powers if len(powers) > 1 else [10.0**axis.low, 10.0**axis.high]


def _best(plot: _Plot, curve: chartdata.Curve) -> list[Markup]:
    if curve.best is None:
        return []
    step, value = curve.best
    is_late = plot.x(step) > WIDTH / 2
    below = 15.0 if value > 0.85 else -8.0
    place = {"x": plot.x(step) + (3.0 if is_late else -3.0), "y": plot.y(value) + below}
    return [
        element("circle", class_="best", cx=plot.x(step), cy=plot.y(value), r=4),
        element("text", decimals(value), class_="value", text_anchor="end" if is_late else "start", **place),
    ]


def _sentence(curve: chartdata.Curve, is_training: bool) -> str:
    parts = []
    if curve.best:
        step, value = curve.best
        parts.append(f"best validation F1 {decimals(value)} at step {whole(round(step))}")
    if len(curve.loss) > 1:
        parts.append(f"loss from {curve.loss[0, 1]:.2f} to {curve.loss[-1, 1]:.2f}")
    if is_training:
        parts.append("not ended yet")
    return ", ".join(parts) or "nothing was measured yet"


def _numbers(record: Mapping[str, float | None]) -> tuple[str, str, str]:
    loss, f1 = record.get("loss"), record.get("validation_macro_f1")
    is_known = f1 is not None and f1 == f1  # not NaN
    return (
        whole(round(record["step"] or 0)),
        ABSENT if loss is None else f"{loss:.4f}",
        decimals(f1 if is_known else None),
    )
