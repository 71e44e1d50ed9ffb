"""The legend of renders: boxes in the colour and the bands of a style, with a label and a remark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.textpath import TextPath

from pipeline.scoring.canvas import Canvas
from pipeline.scoring.figures import plain
from pipeline.scoring.render.surfaces import Style

_LINE = 1.7
_REMARK_LINE = 1.3
_BANDS_IN_BOX = 6


class Entry(NamedTuple):
    """One line of a legend: how it looks (None: a line of text), what it is, and what is to be said about it."""

    style: Style | None
    label: str
    remark: str = ""


def draw_legend(canvas: Canvas, heading: str, entries: Sequence[Entry], left: float, upper: float) -> float:
    """Draw a legend and return its lower edge, in pixels."""
    baseline = upper + canvas.em
    canvas.text(heading, left, baseline, weight="bold")
    for entry in entries:
        baseline += _LINE * canvas.em
        if entry.style:
            swatch(canvas, entry.style, left, baseline + 0.15 * canvas.em)
        indent = 1.7 * canvas.em if entry.style else 0.0
        canvas.text(entry.label, left + indent, baseline)
        if entry.remark:
            baseline += _REMARK_LINE * canvas.em
            canvas.text(entry.remark, left + indent, baseline, scale=0.85).set_color("#53606d")
    return baseline + canvas.em


def legend_width(entries: Sequence[Entry], em: int) -> int:
    """Return the width in pixels that `draw_legend` needs."""
    # A text path is measured in the unit of its size, here pixels.
    widest = max(TextPath((0, 0), plain(entry.label), size=em).get_extents().width for entry in entries)
    return round(widest + 3.2 * em)


def swatch(canvas: Canvas, style: Style, left: float, lower: float) -> None:
    """Draw a box of the height of the text in the colours of a style, its lower left corner given in pixels."""
    side = canvas.em
    # As it looks over white; a faint edge keeps a pale colour visible.
    canvas.box(style.color, left, lower, side, side).set_alpha(max(style.opacity, 0.5))
    if style.band_color != style.color:
        band = side / _BANDS_IN_BOX
        for number in range(0, _BANDS_IN_BOX, 2):
            canvas.box(style.band_color, left, lower - number * band, side, band)
    edge = canvas.box("none", left, lower, side, side)
    edge.set(edgecolor="#53606d", linewidth=canvas.points / 18)
