"""Charts of a study as matplotlib figures: confusion matrix, training curves, F1 of binary against multilabel.

Figures are made without pyplot, so there is no global state and nothing to close; `figure_png` turns one
into bytes that depend on nothing but the data. All colours that matter can be told apart with any colour
vision.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.scoring.confusion import ConfusionMatrix
from pipeline.scoring.tables import Row, ScoreTable, decimals

DPI = 150
TEXT_POINTS = 9
SMALL_POINTS = 7

# Okabe and Ito, "Color universal design" (2008), less its yellow, which is too faint for a line on white.
SAFE_COLORS = ("#000000", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_SIDE_COLORS = {"binary": "#e69f00", "multilabel": "#0072b2"}
_LEGEND: dict[str, Any] = {
    "fontsize": TEXT_POINTS,
    "title_fontsize": TEXT_POINTS,
    "frameon": False,
    "alignment": "left",
}
_MOST_CURVE_POINTS = 100

History = Sequence[Mapping[str, float | None]]


def figure_png(figure: Figure) -> bytes:
    """Return the figure as PNG, without the metadata that would differ between two runs or versions."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi="figure", metadata={"Software": None})
    return file.getvalue()


def plain(text: str) -> str:
    """Return text for a figure in which a dollar sign starts no formula."""
    return text.replace("$", r"\$")


def confusion_figure(matrix: ConfusionMatrix, title: str = "") -> Figure:
    """Return the confusion matrix: each row in per cent of its class, with the counts below.

    The column "not predicted" is there only when such voxels are.
    """
    first = 0 if matrix.counts[:, 0].any() else 1
    counts = matrix.counts[:, first:]
    support = matrix.counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(support, 1)
    rows, columns = counts.shape
    figure = Figure(figsize=(2.6 + 0.82 * columns, 2.0 + 0.62 * rows), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    # The square root shows an error of a few per cent, which is where the interest lies.
    axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1), aspect="auto")
    _write_cells(axes, counts, shares)
    names = [plain(name) for name in matrix.class_names]
    axes.set_xticks(range(columns), ["not predicted", *names][first:], rotation=35, ha="right")
    axes.set_yticks(
        range(rows), [f"{n}\n{abbreviate(int(s))} voxels" for n, s in zip(names, support.flat, strict=True)]
    )
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


def training_figure(histories: Mapping[str, History]) -> Figure:
    """Return loss and validation F1 over the steps, a line a target; "multilabel" is drawn heavier.

    A history is a list of records with "step" and any of "loss" and "validation_macro_f1"; of a long history the
    loss is averaged over stretches of equal length. The best validation of each target is marked and named.
    Raises InputError when no history has a record.
    """
    if not any(histories.values()):
        raise InputError("there are no training records to draw; train at least one target first")
    figure = Figure(figsize=(10.5, 3.8), dpi=DPI, layout="constrained")
    loss_axes, f1_axes = figure.subplots(1, 2)
    for (target, history), style in zip(histories.items(), _line_styles(), strict=False):
        line: dict[str, Any] = {**style, "linewidth": 2.2 if target == "multilabel" else 1.2}
        loss_axes.plot(*_stretches(*_series(history, "loss")), **line)
        f1_axes.plot(*_series(history, "validation_macro_f1"), **line)
        _label_best(f1_axes, plain(target), history, line)
    _dress(loss_axes, "training loss")
    _dress(f1_axes, "validation F1, macro")
    for axes in (loss_axes, f1_axes):
        axes.set_xlabel("step", fontsize=TEXT_POINTS)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    loss_axes.set_ylim(bottom=0)
    f1_axes.set_ylim(0, 1)
    figure.legend(loc="outside right upper", title="best validation F1", **_LEGEND)
    return figure


def f1_figure(table: ScoreTable) -> Figure:
    """Return bars of the F1 of every class and of the averages, binary beside multilabel."""
    rows, sides = table.rows, list(table.sides)
    figure = Figure(figsize=(7, 1.1 + 0.42 * len(rows)), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    height = 0.8 / len(sides)
    # A gap sets the averages apart from the classes.
    middles = [i + 0.5 * row.is_average for i, row in enumerate(rows)]
    for i, side in enumerate(sides):
        offsets = [middle + (i - (len(sides) - 1) / 2) * height for middle in middles]
        _draw_bars(axes, rows, side, offsets, height)
    axes.set_yticks(middles, [plain(row.name) for row in rows])
    axes.set_ylim(middles[-1] + 0.6, -0.6)
    axes.set_xlim(0, 1.08)
    axes.set_xticks(np.linspace(0, 1, 6))
    _dress(axes, "F1 on the test region")
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0, **_LEGEND)
    return figure


def abbreviate(count: int) -> str:
    """Return a count to three digits with its unit: 950, 12.3k, 456M, 1.20G."""
    rounded = float(f"{count:.3g}")
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if rounded >= size:
            return f"{rounded / size:#.3g}".rstrip(".") + unit
    return str(count)


def _write_cells(axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for (row, column), share in np.ndenumerate(shares):
        count = int(counts[row, column])
        if count == 0:
            continue
        color = "white" if share > 0.35 else "black"
        style: dict[str, Any] = {"color": color, "ha": "center", "va": "center"}
        axes.text(column, row - 0.12, _cell_percent(share), fontsize=TEXT_POINTS, **style)
        axes.text(column, row + 0.22, abbreviate(count), fontsize=SMALL_POINTS, **style)


def _cell_percent(share: float) -> str:
    return "<0.1" if share < 0.0005 else f"{100 * share:.1f}"


def _series(history: History, key: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Steps and values of the records that hold a finite value under `key`."""
    pairs = [(record["step"], value) for record in history if (value := record.get(key)) is not None]
    steps, values = np.array(pairs, np.float64).reshape(-1, 2).T
    finite = np.isfinite(values)
    return steps[finite], values[finite]


def _stretches(
    steps: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means over at most `_MOST_CURVE_POINTS` stretches: the noise of single batches hides the course."""
    parts = max(1, min(len(steps), _MOST_CURVE_POINTS))
    if len(steps) <= parts:
        return steps, values
    means = [np.array([part.mean() for part in np.array_split(series, parts)]) for series in (steps, values)]
    return means[0], means[1]


def _label_best(axes: Axes, target: str, history: History, line: Mapping[str, Any]) -> None:
    steps, values = _series(history, "validation_macro_f1")
    best = f"{decimals(values.max())}  " if len(values) else ""
    axes.plot([], [], label=f"{best}{target}", **line)
    if len(values):
        axes.plot(steps[values.argmax()], values.max(), "o", color=line["color"], markersize=5)


def _line_styles() -> Iterator[dict[str, Any]]:
    dashes = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
    return ({"linestyle": dash, "color": color} for dash, color in product(dashes, SAFE_COLORS))


def _draw_bars(axes: Axes, rows: Sequence[Row], side: str, middles: Sequence[float], height: float) -> None:
    scores = [row.sides[side] for row in rows]
    values = [None if s is None else s.f1 for s in scores]
    lengths = [value or 0 for value in values]
    axes.barh(middles, lengths, height=0.9 * height, color=_SIDE_COLORS[side], label=side)
    for middle, length, value in zip(middles, lengths, values, strict=True):
        axes.text(length + 0.01, middle, decimals(value), va="center", fontsize=SMALL_POINTS)


def _dress(axes: Axes, title: str) -> None:
    axes.set_title(plain(title), fontsize=TEXT_POINTS + 1, loc="left")
    axes.tick_params(labelsize=TEXT_POINTS)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
