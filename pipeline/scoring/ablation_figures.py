"""The chart of an ablation: how F1 differs from a reference, class by class, with its intervals."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pipeline.errors import InputError
from pipeline.scoring.ablation import NATIVE, Ablation
from pipeline.scoring.ablation_tables import signed
from pipeline.scoring.bootstrap import FEWEST_BLOCKS, Difference, Interval
from pipeline.scoring.figures import DPI, SMALL_POINTS, TEXT_POINTS, plain

# From light to dark, with Okabe and Ito's orange and blue, and hatched where two neighbours are alike in grey.
_STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#d0d0d0"},
    {"color": "#e69f00", "hatch": "///", "edgecolor": "#7a5400", "linewidth": 0},
    {"color": "#0072b2"},
    {"color": "#cc79a7", "hatch": "...", "edgecolor": "#6d3f59", "linewidth": 0},
    {"color": "#009e73", "hatch": "xxx", "edgecolor": "#00513b", "linewidth": 0},
)


def difference_figure(ablation: Ablation, reference: str = NATIVE) -> Figure:
    """Return bars of F1 minus the F1 of the reference, for every class and average and every other input.

    The line at the end of a bar is its interval; a class in too few blocks has none, and its label says so.
    Raises InputError when no input was compared with the reference.
    """
    comparisons = ablation.against(reference)
    if not comparisons:
        raise InputError(f"no input was compared with {reference!r}; give it and another among the inputs")
    rows = comparisons[0].rows
    height = 0.8 / len(comparisons)
    figure = Figure(figsize=(7, 1.2 + len(rows) * max(0.42, 0.2 * len(comparisons))), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    # A gap sets the averages apart from the classes.
    middles = [i + 0.5 * row.is_average for i, row in enumerate(rows)]
    # An input looks the same whatever it is compared with.
    boosted = (one.name for one in ablation.inputs if one.name != NATIVE)
    styles = dict(zip(boosted, cycle(_STYLES), strict=False))
    for i, comparison in enumerate(comparisons):
        offsets = [middle + (i - (len(comparisons) - 1) / 2) * height for middle in middles]
        intervals = [row.f1 for row in comparison.rows]
        _draw_bars(
            axes, intervals, offsets, height=0.9 * height, label=plain(comparison.name), **styles[comparison.name]
        )
    axes.set_yticks(middles, [_row_label(row) for row in rows])
    axes.set_ylim(middles[-1] + 0.6, -0.6)
    axes.set_title(f"F1 against {plain(reference)}", fontsize=TEXT_POINTS + 1, loc="left")
    _dress(axes)
    axes.set_xlabel(
        f"difference of F1; lines: {100 * ablation.confidence:g} % intervals over {ablation.blocks} blocks",
        fontsize=TEXT_POINTS,
    )
    return figure


def _dress(axes: Axes) -> None:
    axes.axvline(0, color="black", linewidth=1)
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: signed(value)))
    axes.tick_params(labelsize=TEXT_POINTS)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    style: dict[str, Any] = {"ncols": len(axes.containers), "frameon": False, "fontsize": TEXT_POINTS}
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0, **style)


def _draw_bars(axes: Axes, intervals: Sequence[Interval], middles: Sequence[float], **style: Any) -> None:
    lengths = [interval.estimate or 0 for interval in intervals]
    axes.barh(middles, lengths, **style)
    for interval, length, middle in zip(intervals, lengths, middles, strict=True):
        low, high = length, length
        if interval.low is not None and interval.high is not None:
            low, high = interval.low, interval.high
            axes.plot([low, high], [middle, middle], color="white", linewidth=2.8, solid_capstyle="butt")
            axes.plot([low, high], [middle, middle], color="black", linewidth=1.4, marker="|", markersize=5)
        _write_value(axes, interval, low if length < 0 else high, middle)


def _write_value(axes: Axes, interval: Interval, end: float, middle: float) -> None:
    """Write the difference beyond the end of the bar and of its interval."""
    is_left = (interval.estimate or 0) < 0
    axes.annotate(
        signed(interval.estimate),
        (end, middle),
        xytext=(-5 if is_left else 5, 0),
        textcoords="offset points",
        ha="right" if is_left else "left",
        va="center",
        fontsize=SMALL_POINTS,
    )


def _row_label(row: Difference) -> str:
    few = not row.is_average and row.blocks < FEWEST_BLOCKS
    return f"{plain(row.name)}\nin {row.blocks} block{'s' * (row.blocks != 1)}" if few else plain(row.name)
