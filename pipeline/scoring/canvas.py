"""A figure that is drawn on in pixels, with the parts that figures of slices share: scale bar and legend.

Lengths that are not those of an image are in em, the height of the text.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import patheffects
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.textpath import TextPath

from pipeline.scoring.figures import DPI, plain
from pipeline.scoring.slices import Rgb

Legend = Mapping[str, Mapping[str, str]]
"""Groups by heading, each the colours (#rrggbb) by label."""


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
        size = scale * self.points
        return self.figure.text(x, y, plain(text), fontsize=size, va="baseline", weight=weight)

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
        length_um = round_length(0.25 * panel_width_nm / 1000)
        left, lower = left + 0.7 * self.em, lower - 0.7 * self.em
        bar = self.box("white", left, lower, panel_width * length_um * 1000 / panel_width_nm, 0.35 * self.em)
        bar.set(edgecolor="black", linewidth=self.points / 15, gid="scale bar")
        if on_white:
            bar.set_facecolor("black")
        if on_white:
            self.text(f"{length_um:g} µm", left, lower - 0.8 * self.em)
            return
        text = self.text(f"{length_um:g} µm", left, lower - 0.8 * self.em, scale=1.2, weight="bold")
        text.set_color("white")
        text.set_path_effects([patheffects.withStroke(linewidth=self.points / 4, foreground="black")])

    def legend(self, legend: Legend, left: float, upper: float) -> None:
        """Draw the groups one below the other."""
        baseline = upper + self.em
        for heading, group in legend.items():
            self.text(heading, left, baseline, weight="bold")
            for label, color in group.items():
                baseline += 1.6 * self.em
                self.box(color, left, baseline + 0.15 * self.em, self.em, self.em)
                self.text(label, left + 1.6 * self.em, baseline)
            baseline += 2.6 * self.em


def legend_size(legend: Legend, em: int) -> tuple[int, int]:
    """Return width and height in pixels that `Canvas.legend` needs."""
    labels = [label for group in legend.values() for label in group]
    # A text path is measured in the unit of its size, here pixels.
    widest = max(TextPath((0, 0), plain(label), size=em).get_extents().width for label in labels)
    return round(widest + 3 * em), round((1.6 * len(labels) + 2.6 * len(legend)) * em)


def round_length(most: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not above `most`."""
    power = 10.0 ** np.floor(np.log10(most))
    return float(f"{max(step * power for step in (1, 2, 5) if step * power <= most * (1 + 1e-9)):.6g}")
