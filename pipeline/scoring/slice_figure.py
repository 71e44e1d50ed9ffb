"""The figure of one slice: raw, truth, prediction and errors side by side, with a legend and a scale bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextPath
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.scoring.confusion import Ids, check_bits, check_ids
from pipeline.scoring.figures import DPI, plain
from pipeline.scoring.slices import (
    ERROR_COLORS,
    ErrorKind,
    Rgb,
    class_image,
    error_image,
    error_kinds,
    error_kinds_of_bits,
    grey_image,
    most_frequent,
    topmost_class,
)


def slice_figure(
    raw: NDArray[Any],
    truth: NDArray[Any],
    prediction: NDArray[Any],
    *,
    class_names: Sequence[str],
    colors: Sequence[str],
    voxel_size_nm: tuple[float, float, float],
    title: str = "",
    background: int | None = None,
    overlapping: bool = False,
) -> Figure:
    """Return raw, truth, prediction and errors of one slice, with a legend and a scale bar.

    The three arrays are (y, x); truth and prediction hold class ids, or uint32 bit masks where
    `overlapping`. `voxel_size_nm` is z, y, x. `background` is the class that missed and invented refer to
    (None: the most frequent in the truth). Voxels without label or prediction show the raw data.
    Raises InputError when shapes, ids, names and colours do not fit each other.
    """
    _check(raw, truth, class_names, colors, background)
    (check_bits if overlapping else check_ids)(truth, prediction, len(class_names))
    if overlapping:
        shown: list[Ids] = [topmost_class(bits, len(class_names)) for bits in (truth, prediction)]
        labelled, kinds = (truth & 1) > 0, error_kinds_of_bits(truth, prediction)
        meanings = _MEANINGS_OF_BITS
    else:
        shown, labelled = [truth, prediction], truth > 0
        background = most_frequent(truth) if background is None else background
        kinds = error_kinds(truth, prediction, background)
        meanings = _meanings(class_names[background - 1] if background else "nothing")
    # A section of 10,000 × 10,000 is thinned before it is coloured: no panel can show more.
    step = max(1, max(raw.shape) // _LARGEST_PANEL)
    thin = np.s_[::step, ::step]
    grey = grey_image(raw[thin])
    panels = {
        "Raw": grey,
        "Truth": class_image(shown[0][thin], colors, grey),
        "Prediction": class_image(shown[1][thin], colors, grey),
        f"Errors: {_error_share(kinds, labelled)}": error_image(kinds[thin], grey),
    }
    entries = {"Classes": dict(zip(class_names, colors, strict=True)), "Errors": _error_entries(kinds, meanings)}
    if not labelled.all():
        entries["Classes"]["not labelled: raw data"] = "#999999"
    _, voxel_y_nm, voxel_x_nm = voxel_size_nm
    return _compose(panels, entries, (step * voxel_y_nm, step * voxel_x_nm), title)


_MEANINGS_OF_BITS = {
    ErrorKind.MISSED: "missed: lacks a class",
    ErrorKind.INVENTED: "invented: has one too many",
    ErrorKind.CONFUSED: "confused: both",
    ErrorKind.NOT_PREDICTED: "not predicted",
}


def _meanings(background: str) -> dict[ErrorKind, str]:
    return {
        ErrorKind.MISSED: f"missed: taken for {background}",
        ErrorKind.INVENTED: f"invented: is {background}",
        ErrorKind.CONFUSED: "confused: is another class",
        ErrorKind.NOT_PREDICTED: "not predicted",
    }


def _error_entries(kinds: NDArray[np.uint8], meanings: Mapping[ErrorKind, str]) -> dict[str, str]:
    """Legend of the errors; missed and invented always, so that their absence can be seen."""
    always = (ErrorKind.MISSED, ErrorKind.INVENTED)
    return {meanings[kind]: ERROR_COLORS[kind] for kind in ErrorKind if kind in always or (kinds == kind).any()}


def _error_share(kinds: NDArray[np.uint8], labelled: NDArray[np.bool_]) -> str:
    if not labelled.any():
        return "nothing labelled"
    return f"{100 * np.count_nonzero(kinds) / np.count_nonzero(labelled):.1f} % of labelled voxels"


# Panels are placed to the pixel, so that a voxel is drawn as a whole number of pixels wherever the slice is small
# enough. All other lengths of the layout are in em, the height of the text.
_SMALLEST_PANEL = 500
_LARGEST_PANEL = 1100


@dataclass(frozen=True)
class _Layout:
    """A grid of panels with a legend on its right; pixels from the upper left corner."""

    width: int
    height: int
    """Size of a panel."""
    columns: int
    em: int
    """Height of the text."""
    top: int
    """Where the first row, its heading included, begins."""

    def panel(self, i: int) -> tuple[int, int]:
        """Left and upper edge of panel i."""
        row, column = divmod(i, self.columns)
        left = self.em + column * (self.width + self.em)
        return left, self.top + 2 * self.em + row * (self.height + 3 * self.em)

    def size(self, panels: int, legend_width: int) -> tuple[int, int]:
        """Width and height of the whole figure."""
        _, upper = self.panel(panels - 1)
        grid_right = self.em + self.columns * (self.width + self.em)
        return grid_right + legend_width, upper + self.height + self.em


class _Canvas:
    """A figure that is drawn on in pixels from its upper left corner."""

    def __init__(self, size: tuple[int, int], em: int) -> None:
        self.width, self.height = size
        self.points = em * 72 / DPI
        # A hair more than the pixels wanted: matplotlib truncates.
        self.figure = Figure(figsize=((self.width + 1e-6) / DPI, (self.height + 1e-6) / DPI), dpi=DPI)

    def image(self, image: Rgb, left: int, upper: int, width: int, height: int) -> Axes:
        bottom = 1 - (upper + height) / self.height
        axes = self.figure.add_axes(
            (left / self.width, bottom, width / self.width, height / self.height),
        )
        shrunk = image.shape[0] > height or image.shape[1] > width
        axes.imshow(image, aspect="auto", interpolation="antialiased" if shrunk else "nearest")
        axes.set_axis_off()
        return axes

    def text(self, text: str, left: float, baseline: float, scale: float = 1, weight: str = "normal") -> None:
        x, y = left / self.width, 1 - baseline / self.height
        self.figure.text(x, y, plain(text), fontsize=scale * self.points, va="baseline", weight=weight)

    def square(self, color: str, left: float, lower: float, side: float) -> None:
        corner = left / self.width, 1 - lower / self.height
        self.figure.add_artist(Rectangle(corner, side / self.width, side / self.height, color=color))


def _compose(
    panels: Mapping[str, Rgb],
    entries: Mapping[str, Mapping[str, str]],
    pixel_size_nm: tuple[float, float],
    title: str,
) -> Figure:
    rows, columns = next(iter(panels.values())).shape[:2]
    pixel_y, pixel_x = pixel_size_nm
    layout = _layout(rows * pixel_y / pixel_x, columns, has_title=bool(title))
    canvas = _Canvas(layout.size(len(panels), _legend_width(entries, layout.em)), layout.em)
    canvas.text(title, layout.em, layout.top - 0.2 * layout.em, scale=1.3, weight="bold")
    for i, (name, image) in enumerate(panels.items()):
        left, upper = layout.panel(i)
        axes = canvas.image(image, left, upper, layout.width, layout.height)
        canvas.text(name, left, upper - 0.5 * layout.em, scale=1.1)
        if i == 0:
            _draw_scale_bar(axes, columns, rows, pixel_x, canvas.points)
    _draw_legend(canvas, entries, layout)
    return canvas.figure


def _layout(square_rows: float, image_columns: int, has_title: bool) -> _Layout:
    width, height = _panel_size(square_rows, image_columns)
    columns = _panel_columns(width / height)
    em = min(max(round(columns * width / 65), 18), 30)
    return _Layout(width, height, columns, em, top=3 * em if has_title else em // 2)


def _panel_size(square_rows: float, columns: int) -> tuple[int, int]:
    """Width and height of a panel in pixels, for a slice of so many square voxels."""
    longest = max(square_rows, columns)
    scale = min(1.0, _LARGEST_PANEL / longest)
    if longest < _SMALLEST_PANEL:
        scale = np.ceil(_SMALLEST_PANEL / longest)
    return max(1, round(columns * scale)), max(1, round(square_rows * scale))


def _panel_columns(aspect: float) -> int:
    """Panels side by side, so that four of them make a picture that fits a page."""
    if aspect < 0.6:
        return 4
    return 2 if aspect < 2.5 else 1


def _draw_scale_bar(axes: Axes, columns: int, rows: int, pixel_x_nm: float, points: float) -> None:
    length_um = round_length(0.25 * columns * pixel_x_nm / 1000)
    length, thick = length_um * 1000 / pixel_x_nm, 0.016 * rows
    left, bottom = 0.03 * columns, 0.97 * rows
    axes.add_patch(Rectangle((left, bottom - thick), length, thick, facecolor="white", edgecolor="black"))
    text = axes.text(left + length / 2, bottom - 1.8 * thick, f"{length_um:g} µm", ha="center", va="bottom")
    text.set(color="white", fontsize=1.1 * points, fontweight="bold")
    text.set_path_effects([patheffects.withStroke(linewidth=points / 4, foreground="black")])


def round_length(most: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not above `most`."""
    power = 10.0 ** np.floor(np.log10(most))
    return float(f"{max(step * power for step in (1, 2, 5) if step * power <= most * (1 + 1e-9)):.6g}")


def _legend_width(entries: Mapping[str, Mapping[str, str]], em: int) -> int:
    labels = [label for group in entries.values() for label in group]
    # A text path is measured in the unit of its size, here pixels.
    widest = max(TextPath((0, 0), plain(label), size=em).get_extents().width for label in labels)
    return round(widest + 3 * em)


def _draw_legend(canvas: _Canvas, entries: Mapping[str, Mapping[str, str]], layout: _Layout) -> None:
    left, upper = layout.panel(0)
    left += layout.columns * (layout.width + layout.em)
    baseline: float = upper + layout.em
    for heading, group in entries.items():
        canvas.text(heading, left, baseline, weight="bold")
        for label, color in group.items():
            baseline += 1.6 * layout.em
            canvas.square(color, left, baseline + 0.15 * layout.em, layout.em)
            canvas.text(label, left + 1.6 * layout.em, baseline)
        baseline += 2.6 * layout.em


def _check(
    raw: NDArray[Any],
    truth: NDArray[Any],
    class_names: Sequence[str],
    colors: Sequence[str],
    background: int | None,
) -> None:
    if raw.ndim != 2 or raw.shape != truth.shape or raw.size == 0:
        raise InputError(f"a slice figure of raw {raw.shape} and truth {truth.shape}: give one (y, x) slice of both")
    if len(class_names) != len(colors):
        raise InputError(f"{len(class_names)} class names and {len(colors)} colours: give one colour a class")
    if background is not None and not 1 <= background <= len(class_names):
        raise InputError(f"background {background}: give a class id from 1 to {len(class_names)}, or None")
