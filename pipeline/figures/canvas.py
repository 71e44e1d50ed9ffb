"""A figure that is drawn on in pixels, and what figures made of pictures share: panels in rows, scale bar, legend.

Lengths that are not those of a picture are in em, the height of the text.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from matplotlib import patheffects
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.textpath import TextPath

from pipeline.figures.palette import REMARK, Rgb
from pipeline.formats import length, round_length

DPI = 150
_LINE, _REMARK_LINE, _INDENT, _BETWEEN_GROUPS = 1.7, 1.3, 1.7, 2.6
_BANDS_IN_BOX = 6


class Swatch(NamedTuple):
    """How a box of a legend looks: colours #rrggbb, bands in the second where there are two, opacity over white."""

    color: str
    band_color: str = ""
    opacity: float = 1.0


class Entry(NamedTuple):
    """One line of a legend: what it is, how it looks (None: a line of text), and what is to be said about it."""

    label: str
    swatch: Swatch | None = None
    remark: str = ""


Legend = Mapping[str, Sequence[Entry]]
"""Groups by heading."""


@dataclass(frozen=True)
class Panel:
    """A picture (y, x, 3) with its heading."""

    heading: str
    picture: Rgb
    size: tuple[int, int] | None = None
    """Width and height to draw it in; None: a pixel for each of its own."""
    width_nm: float | None = None
    """What its width stands for, where it has a scale bar."""
    on_white: bool = False
    """Whether the ground under its scale bar is white."""
    is_bold: bool = False


class Canvas:
    """A figure with its origin in the upper left corner; `em` is the height of its text in pixels."""

    def __init__(self, size: tuple[int, int], em: int) -> None:
        self.width, self.height = size
        self.em = em
        self.points = em * 72 / DPI
        # A hair more than the pixels wanted: matplotlib truncates.
        self.figure = Figure(figsize=((self.width + 1e-6) / DPI, (self.height + 1e-6) / DPI), dpi=DPI)

    def image(self, image: Rgb, left: int, lower: int, width: int, height: int) -> None:
        """Draw an image to the pixel; each voxel as one colour where it is not made smaller."""
        axes = self.figure.add_axes(
            (left / self.width, 1 - lower / self.height, width / self.width, height / self.height)
        )
        shrunk = image.shape[0] > height or image.shape[1] > width
        axes.imshow(image, aspect="auto", interpolation="antialiased" if shrunk else "nearest")
        axes.set_axis_off()

    def text(self, text: str, left: float, baseline: float, scale: float = 1, weight: str = "normal") -> Text:
        """Write a line of text, `scale` em high."""
        x, y = left / self.width, 1 - baseline / self.height
        return self.figure.text(x, y, plain(text), fontsize=scale * self.points, va="baseline", weight=weight)

    def box(self, color: str, left: float, lower: float, width: float, height: float) -> Rectangle:
        """Draw a filled box."""
        corner = left / self.width, 1 - lower / self.height
        box = Rectangle(corner, width / self.width, height / self.height, facecolor=color)
        self.figure.add_artist(box)
        return box

    def scale_bar(
        self, left: float, lower: float, panel_width: int, panel_width_nm: float, *, on_white: bool = False
    ) -> None:
        """Draw a bar of about a quarter of a panel into the panel whose lower left corner is given.

        White with a black outline, which is seen on any picture; plain black where the ground is white.
        """
        length_nm = round_length(0.25 * panel_width_nm)
        left, lower = left + 0.7 * self.em, lower - 0.7 * self.em
        bar = self.box("white", left, lower, panel_width * length_nm / panel_width_nm, 0.35 * self.em)
        bar.set(edgecolor="black", linewidth=self.points / 15, gid="scale bar")
        if on_white:
            bar.set_facecolor("black")
            self.text(length(length_nm), left, lower - 0.8 * self.em)
            return
        text = self.text(length(length_nm), left, lower - 0.8 * self.em, scale=1.2, weight="bold")
        text.set_color("white")
        text.set_path_effects([patheffects.withStroke(linewidth=self.points / 4, foreground="black")])

    def legend(self, legend: Legend, left: float, upper: float) -> None:
        """Draw the groups one below the other."""
        baseline = upper + self.em
        for heading, entries in legend.items():
            self.text(heading, left, baseline, weight="bold")
            for entry in entries:
                baseline += _LINE * self.em
                if entry.swatch:
                    self.swatch(entry.swatch, left, baseline + 0.15 * self.em)
                indent = _INDENT * self.em if entry.swatch else 0.0
                self.text(entry.label, left + indent, baseline)
                if entry.remark:
                    baseline += _REMARK_LINE * self.em
                    self.text(entry.remark, left + indent, baseline, scale=0.85).set_color(REMARK)
            baseline += _BETWEEN_GROUPS * self.em

    def swatch(self, swatch: Swatch, left: float, lower: float) -> None:
        """Draw a box of the height of the text, its lower left corner given."""
        side = self.em
        # A faint edge keeps a pale colour visible.
        self.box(swatch.color, left, lower, side, side).set_alpha(max(swatch.opacity, 0.5))
        if swatch.band_color and swatch.band_color != swatch.color:
            band = side / _BANDS_IN_BOX
            for number in range(0, _BANDS_IN_BOX, 2):
                self.box(swatch.band_color, left, lower - number * band, side, band)
        self.box("none", left, lower, side, side).set(edgecolor=REMARK, linewidth=self.points / 18)


def panels_figure(
    rows: Sequence[Sequence[Panel]],
    cell: tuple[int, int],
    *,
    em: int,
    title: str = "",
    legend: Legend | None = None,
    legend_place: tuple[int, int] | None = None,
    least_column_em: float = 7,
) -> Figure:
    """Return panels in rows, each in the upper left corner of its cell below its heading.

    Args:
        rows: may differ in length.
        cell: width and height of a cell in pixels.
        em: height of the text in pixels.
        title: above them all.
        legend: what is drawn beside them.
        legend_place: row and column of the cell that the legend begins in; None: on the right of the first row.
        least_column_em: room that a heading needs where panels are narrow.
    """
    width, height = cell
    top = 3 * em if title else em // 2
    pitch = round(max(width, least_column_em * em)) + em

    def corner(row: int, column: int) -> tuple[int, int]:
        return em + column * pitch, top + 2 * em + row * (height + 3 * em)

    columns = max(map(len, rows))
    right, lower = corner(len(rows) - 1, columns)
    lower += height + em
    if legend:
        left, upper = corner(*(legend_place or (0, columns)))
        needed = _legend_size(legend, em)
        right, lower = max(right, left + needed[0] + em), max(lower, upper + needed[1] + em)
    canvas = Canvas((right, lower), em)
    canvas.text(title, em, top - 0.2 * em, scale=1.3, weight="bold")
    for row, panels in enumerate(rows):
        for column, panel in enumerate(panels):
            _draw_panel(canvas, panel, *corner(row, column))
    if legend:
        canvas.legend(legend, left, upper)
    return canvas.figure


def figure_png(figure: Figure) -> bytes:
    """Return the figure as PNG, without the metadata that would differ between two runs or versions."""
    file = io.BytesIO()
    # Twice as fast as at zlib's own level, and no larger.
    figure.savefig(file, format="png", dpi="figure", metadata={"Software": None}, pil_kwargs={"compress_level": 3})
    return file.getvalue()


def plain(text: str) -> str:
    """Return text for a figure in which a dollar sign starts no formula."""
    return text.replace("$", r"\$")


def text_width(text: str) -> float:
    """Return the width of a line of text in em."""
    return float(TextPath((0, 0), plain(text), size=1).get_extents().width) if text else 0.0


def _draw_panel(canvas: Canvas, panel: Panel, left: int, upper: int) -> None:
    rows, columns = panel.picture.shape[:2]
    width, height = panel.size or (columns, rows)
    heading_weight = "bold" if panel.is_bold else "normal"
    canvas.text(panel.heading, left, upper - 0.5 * canvas.em, scale=1.1, weight=heading_weight)
    canvas.image(panel.picture, left, upper + height, width, height)
    if panel.width_nm:
        canvas.scale_bar(left, upper + height, width, panel.width_nm, on_white=panel.on_white)


def _legend_size(legend: Legend, em: int) -> tuple[int, int]:
    """Width and height in pixels."""
    entries = [entry for group in legend.values() for entry in group]
    lines = sum(_LINE + bool(entry.remark) * _REMARK_LINE for entry in entries)
    widest = max(max(text_width(entry.label), 0.85 * text_width(entry.remark)) for entry in entries)
    return round((widest + _INDENT) * em) + em, round((lines + _BETWEEN_GROUPS * len(legend)) * em)
