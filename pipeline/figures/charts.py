"""Charts of a study as matplotlib figures: confusion matrix, training curves, F1 by class, effects of boosting.

Figures are made without pyplot, so there is no global state and nothing to close; their bytes depend on nothing but
the data. All colours that matter can be told apart with any colour vision.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, product
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pipeline.errors import InputError
from pipeline.figures import chartdata
from pipeline.figures.canvas import DPI, plain
from pipeline.figures.palette import (
    BLUE,
    GRID,
    LIGHT_SCALE,
    LINE_COLORS,
    METHOD_STYLES,
    ORANGE,
    SIDE_COLORS,
    VERMILION,
    ink_on,
    rgb,
    shade,
)
from pipeline.formats import amount, decimals, signed, whole
from pipeline.scoring.ablation import NATIVE, Ablation
from pipeline.scoring.bootstrap import Difference, Interval
from pipeline.scoring.confusion import ConfusionMatrix
from pipeline.scoring.reliability import LIKELIEST, Reliability, Trust
from pipeline.scoring.suggestions import Suggestion
from pipeline.scoring.tables import ScoreTable
from pipeline.volume.geometry import Block, Zyx, ZyxNm

TEXT_POINTS = 9
SMALL_POINTS = 7
LEAST_IN_A_BIN = 20
_LEGEND: dict[str, Any] = {
    "fontsize": TEXT_POINTS,
    "title_fontsize": TEXT_POINTS,
    "frameon": False,
    "alignment": "left",
}
_ABOVE: dict[str, Any] = {**_LEGEND, "loc": "lower right", "bbox_to_anchor": (1, 1), "borderaxespad": 0}


def confusion_figure(counts: ConfusionMatrix, title: str = "") -> Figure:
    """Return the confusion matrix: each row in per cent of its class, with the counts below.

    The column "not predicted" is there only when such voxels are.
    """
    shown = chartdata.matrix(counts)
    rows, columns = len(shown.rows), len(shown.columns)
    figure = Figure(figsize=(2.6 + 0.82 * columns, 2.0 + 0.62 * rows), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    colors = [[shade(cell.share, LIGHT_SCALE) for cell in row.cells] for row in shown.rows]
    axes.imshow(np.array([[rgb(color) for color in row] for row in colors], np.uint8), aspect="auto")
    for place, row in enumerate(shown.rows):
        for column, cell in enumerate(row.cells):
            if cell.voxels:
                style: dict[str, Any] = {"color": ink_on(colors[place][column]), "ha": "center", "va": "center"}
                axes.text(column, place - 0.12, cell.text, fontsize=TEXT_POINTS, **style)
                axes.text(column, place + 0.22, amount(cell.voxels), fontsize=SMALL_POINTS, **style)
    axes.set_xticks(range(columns), [plain(name) for name in shown.columns], rotation=35, ha="right")
    axes.set_yticks(range(rows), [f"{plain(row.name)}\n{amount(row.support)} voxels" for row in shown.rows])
    axes.set_xlabel("prediction (per cent of the class in the truth, and voxels)", fontsize=TEXT_POINTS)
    axes.set_ylabel("truth", fontsize=TEXT_POINTS)
    axes.set_title(plain(title), fontsize=TEXT_POINTS + 2, loc="left")
    axes.tick_params(length=0, labelsize=TEXT_POINTS)
    axes.set_xticks(np.arange(columns - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(rows - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)
    return figure


def training_figure(histories: Mapping[str, chartdata.History]) -> Figure:
    """Return loss and validation F1 over the steps, a line a target; "multilabel" is drawn heavier.

    The best validation of each target is marked and named. Raises InputError when no history has a record.
    """
    if not any(histories.values()):
        raise InputError("there are no training records to draw; train at least one target first")
    figure = Figure(figsize=(10.5, 3.8), dpi=DPI, layout="constrained")
    loss_axes, f1_axes = figure.subplots(1, 2)
    for (target, history), style in zip(histories.items(), _line_styles(), strict=False):
        curve = chartdata.curve(target, history)
        line: dict[str, Any] = {**style, "linewidth": 2.2 if target == "multilabel" else 1.2}
        loss_axes.plot(*curve.smooth_loss.T, **line)
        f1_axes.plot(*curve.f1.T, **line)
        best = f"{decimals(curve.best[1])}  " if curve.best else ""
        f1_axes.plot([], [], label=f"{best}{plain(target)}", **line)
        if curve.best:
            f1_axes.plot(*curve.best, "o", color=line["color"], markersize=5)
    _dress(loss_axes, "training loss")
    _dress(f1_axes, "validation F1, macro")
    for axes in (loss_axes, f1_axes):
        axes.set_xlabel("step", fontsize=TEXT_POINTS)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: whole(round(step))))
    loss_axes.set_ylim(bottom=0)
    f1_axes.set_ylim(0, 1)
    figure.legend(loc="outside right upper", title="best validation F1", **_LEGEND)
    return figure


def suggestions_figure(
    shape_zyx: Zyx, voxel_size_nm: ZyxNm, blocks: Sequence[Block], doubts: Sequence[float], chosen: Sequence[Suggestion]
) -> Figure:
    """Return a map of the doubt in a volume, seen along z, with the suggested blocks by their rank.

    Where blocks lie behind each other, the greatest doubt shows.
    """
    _, height_um, width_um = (count * edge / 1000 for count, edge in zip(shape_zyx, voxel_size_nm, strict=True))
    scale = 7 / max(height_um, width_um)
    size = (max(4.0, scale * width_um) + 1.6, max(2.0, scale * height_um) + 1.2)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    most = max([*doubts, 1e-6])
    seen: dict[_Place, float] = {}
    for doubt, block in zip(doubts, blocks, strict=True):
        place = _seen_along_z(block, voxel_size_nm)
        seen[place] = max(doubt, seen.get(place, 0.0))
    for place, doubt in seen.items():
        axes.add_patch(Rectangle(*place, color=shade(doubt / most, LIGHT_SCALE)))
    named: dict[_Place, list[str]] = {}
    for rank, each in enumerate(chosen, start=1):
        named.setdefault(_seen_along_z(each.block, voxel_size_nm), []).append(f"{rank}: z {each.block.start_zyx[0]}")
    for place, names in named.items():
        (left, top), width, height = place
        axes.add_patch(Rectangle(*place, fill=False, edgecolor=VERMILION, linewidth=1.5))
        style: dict[str, Any] = {"fontsize": SMALL_POINTS, "color": ink_on(shade(seen[place] / most, LIGHT_SCALE))}
        axes.text(left + width / 2, top + height / 2, "\n".join(names), ha="center", va="center", **style)
    axes.set_xlim(0, width_um)
    axes.set_ylim(height_um, 0)
    axes.set_aspect("equal")
    axes.set_xlabel("x, µm", fontsize=TEXT_POINTS)
    axes.set_ylabel("y, µm", fontsize=TEXT_POINTS)
    title = f"blocks to label, and doubt up to {most:.1f} times the average (dark)"
    axes.set_title(title, fontsize=TEXT_POINTS, loc="left")
    return figure


_Place = tuple[tuple[float, float], float, float]


def _seen_along_z(block: Block, voxel_size_nm: ZyxNm) -> _Place:
    """Upper left corner (x, y), width and height in micrometres."""
    (_, top, left), (_, rows, columns), (_, by_y, by_x) = block.start_zyx, block.shape_zyx, voxel_size_nm
    return (left * by_x / 1000, top * by_y / 1000), columns * by_x / 1000, rows * by_y / 1000


def f1_figure(table: ScoreTable) -> Figure:
    """Return bars of the F1 of every class and of the averages, side beside side."""
    rows, sides = table.rows, list(table.sides)
    labels = [plain(row.name) for row in rows]
    figure, axes, middles = _bar_axes(labels, [row.is_average for row in rows], 1.1, 0.42)
    for place, side in enumerate(sides):
        height, offsets = _offsets(middles, place, len(sides))
        values = [row.value("f1", side) for row in rows]
        lengths = [value or 0 for value in values]
        axes.barh(offsets, lengths, height=0.9 * height, color=SIDE_COLORS[side], label=side)
        for middle, length, value in zip(offsets, lengths, values, strict=True):
            axes.text(length + 0.01, middle, decimals(value), va="center", fontsize=SMALL_POINTS)
    axes.set_xlim(0, 1.08)
    axes.set_xticks(np.linspace(0, 1, 6))
    _dress(axes, "F1 on the test region", "x")
    axes.legend(ncols=len(sides), **_ABOVE)
    return figure


def reliability_figure(trust: Trust) -> Figure:
    """Return reliability diagrams: how often the likeliest class is right, and how often each class is there.

    Of the multilabel network where there is one; on the diagonal probabilities are right as often as they say. Bins
    with hardly any voxels are left out. Raises InputError when nothing was counted.
    """
    if not trust.calibrations:
        raise InputError("there are no probabilities to judge; predict the test part first")
    network, found = next(iter(trust.calibrations.items()))
    figure = Figure(figsize=(10.5, 4.4), dpi=DPI, layout="constrained")
    best_axes, class_axes = figure.subplots(1, 2)
    if LIKELIEST in found.after:
        for what, one, style in (
            ("as trained", found.before[LIKELIEST], {"color": ORANGE, "linestyle": "--"}),
            ("calibrated", found.after[LIKELIEST], {"color": BLUE}),
        ):
            best_axes.plot(*_diagram(one), marker="o", markersize=4, label=f"{decimals(one.error)}  {what}", **style)
        best_axes.legend(title="expected calibration error", loc="upper left", **_LEGEND)
    lines = []
    classes = ((name, one) for name, one in found.after.items() if name != LIKELIEST)
    for (name, one), style in zip(classes, _line_styles(), strict=False):
        lines += class_axes.plot(*_diagram(one), label=f"{decimals(one.error)}  {plain(name)}", linewidth=1.2, **style)
    _dress(best_axes, f"likeliest class, {plain(network)}")
    _dress(class_axes, f"each class, calibrated, {plain(network)}")
    for axes in (best_axes, class_axes):
        axes.plot([0, 1], [0, 1], color=GRID, linewidth=1, zorder=0)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_xlabel("probability", fontsize=TEXT_POINTS)
        axes.set_ylabel("share of voxels that are of the class", fontsize=TEXT_POINTS)
    figure.legend(handles=lines, loc="outside right upper", title="calibration error", **_LEGEND)
    return figure


def _diagram(one: Reliability) -> tuple[list[float], list[float]]:
    """Mean probability and share that came true, of the bins that hold enough to tell."""
    held = one.voxels >= LEAST_IN_A_BIN
    return (one.said[held] / one.voxels[held]).tolist(), (one.right[held] / one.voxels[held]).tolist()


def difference_figure(ablation: Ablation, reference: str = NATIVE) -> Figure:
    """Return bars of F1 minus the F1 of the reference, for every class and average and every other input.

    The line at the end of a bar is its interval; a class in too few blocks has none, and its label says so.
    Raises InputError when no input was compared with the reference.
    """
    comparisons = ablation.against(reference)
    if not comparisons:
        raise InputError(f"no input was compared with {reference!r}; give it and another among the inputs")
    rows = comparisons[0].rows
    labels, averages = [_row_label(row) for row in rows], [row.is_average for row in rows]
    figure, axes, middles = _bar_axes(labels, averages, 1.2, max(0.42, 0.2 * len(comparisons)))
    # An input looks the same whatever it is compared with.
    boosted = (one.name for one in ablation.inputs if one.name != NATIVE)
    styles = dict(zip(boosted, cycle(METHOD_STYLES), strict=False))
    for place, comparison in enumerate(comparisons):
        height, offsets = _offsets(middles, place, len(comparisons))
        intervals = [row.f1 for row in comparison.rows]
        lengths = [interval.estimate or 0 for interval in intervals]
        axes.barh(offsets, lengths, height=0.9 * height, label=plain(comparison.name), **styles[comparison.name])
        for interval, middle in zip(intervals, offsets, strict=True):
            _draw_interval(axes, interval, middle)
    _dress(axes, f"F1 against {plain(reference)}", "x")
    axes.axvline(0, color="black", linewidth=1)
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: signed(value)))
    axes.spines["left"].set_visible(False)
    axes.legend(ncols=len(comparisons), **_ABOVE)
    axes.set_xlabel(
        f"difference of F1; lines: {100 * ablation.confidence:g} % intervals over {ablation.blocks} blocks",
        fontsize=TEXT_POINTS,
    )
    return figure


def _bar_axes(
    labels: Sequence[str], averages: Sequence[bool], inches: float, inches_a_row: float
) -> tuple[Figure, Axes, list[float]]:
    """A figure of horizontal bars, and where the middle of each row is; a gap sets the averages apart."""
    figure = Figure(figsize=(7, inches + inches_a_row * len(labels)), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    middles = [place + 0.5 * is_average for place, is_average in enumerate(averages)]
    axes.set_yticks(middles, labels)
    axes.set_ylim(middles[-1] + 0.6, -0.6)
    axes.tick_params(axis="y", length=0)
    return figure, axes, middles


def _offsets(middles: Sequence[float], place: int, of: int) -> tuple[float, list[float]]:
    """Height and middles of the bars of one series."""
    height = 0.8 / of
    return height, [middle + (place - (of - 1) / 2) * height for middle in middles]


def _draw_interval(axes: Axes, interval: Interval, middle: float) -> None:
    """The interval at the end of its bar, and beyond both the difference in figures."""
    length = interval.estimate or 0
    low, high = length, length
    if interval.low is not None and interval.high is not None:
        low, high = interval.low, interval.high
        axes.plot([low, high], [middle, middle], color="white", linewidth=2.8, solid_capstyle="butt")
        axes.plot([low, high], [middle, middle], color="black", linewidth=1.4, marker="|", markersize=5)
    is_left = length < 0
    axes.annotate(
        signed(interval.estimate),
        (low if is_left else high, middle),
        xytext=(-5 if is_left else 5, 0),
        textcoords="offset points",
        ha="right" if is_left else "left",
        va="center",
        fontsize=SMALL_POINTS,
    )


def _row_label(row: Difference) -> str:
    return f"{plain(row.name)}\nin {row.blocks_text}" if row.is_rare else plain(row.name)


def _line_styles() -> Iterator[dict[str, Any]]:
    dashes = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
    return ({"linestyle": dash, "color": color} for dash, color in product(dashes, LINE_COLORS))


def _dress(axes: Axes, title: str, grid: Literal["both", "x"] = "both") -> None:
    axes.set_title(plain(title), fontsize=TEXT_POINTS + 1, loc="left")
    axes.tick_params(labelsize=TEXT_POINTS)
    axes.grid(axis=grid, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
