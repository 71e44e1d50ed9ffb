"""The figure of one slice: raw, truth, prediction and errors side by side, with a legend and a scale bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.textpath import TextPath
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.scoring.confusion import Ids, check_bits, check_ids
from pipeline.scoring.figures import DPI, plain
from pipeline.scoring.slices import (
    ERROR_COLORS,
    Bits,
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
    if overlapping:
        seen = _compare_bits(truth, prediction, len(class_names))
    else:
        seen = _compare_ids(truth, prediction, class_names, background)
    step, thin = _thinned(raw)
    grey = grey_image(raw[thin])
    panels = {
        "Raw": grey,
        "Truth": class_image(seen.truth_ids[thin], colors, grey),
        "Prediction": class_image(seen.predicted_ids[thin], colors, grey),
        f"Errors: {_error_share(seen)}": error_image(seen.kinds[thin], grey),
    }
    entries = {"Classes": dict(zip(class_names, colors, strict=True)), "Errors": _error_entries(seen)}
    if not seen.labelled.all():
        entries["Classes"]["not labelled: raw data"] = "#999999"
    _, voxel_y_nm, voxel_x_nm = voxel_size_nm
    return _compose(panels, entries, (step * voxel_y_nm, step * voxel_x_nm), title)


def preview_figure(
    raw: NDArray[Any],
    segmentation: NDArray[Any],
    *,
    class_names: Sequence[str],
    colors: Sequence[str],
    voxel_size_nm: tuple[float, float, float],
    title: str = "",
    overlapping: bool = False,
) -> Figure:
    """Return raw and segmentation of one slice, with a legend and a scale bar: for data that nobody labelled.

    Both arrays are (y, x); the segmentation holds class ids, or uint32 bit masks where `overlapping`. Voxels that
    were not predicted show the raw data. `voxel_size_nm` is z, y, x.
    Raises InputError when shapes, ids, names and colours do not fit each other.
    """
    _check(raw, segmentation, class_names, colors, background=None)
    if overlapping:
        check_bits(segmentation, segmentation, len(class_names))
        segmentation = topmost_class(segmentation, len(class_names))
    check_ids(segmentation, segmentation, len(class_names))
    step, thin = _thinned(raw)
    grey = grey_image(raw[thin])
    panels = {"Raw": grey, "Segmentation": class_image(segmentation[thin], colors, grey)}
    classes = dict(zip(class_names, colors, strict=True))
    if not segmentation.all():
        classes["no class: raw data"] = "#999999"
    _, voxel_y_nm, voxel_x_nm = voxel_size_nm
    return _compose(panels, {"Classes": classes}, (step * voxel_y_nm, step * voxel_x_nm), title)


def _thinned(raw: NDArray[Any]) -> tuple[int, tuple[slice, slice]]:
    """Every how manieth voxel is drawn: a section of 10,000 × 10,000 is thinned before it is coloured."""
    step = max(1, max(raw.shape) // _LARGEST_PANEL)
    return step, np.s_[::step, ::step]


@dataclass(frozen=True)
class _Comparison:
    """Truth and prediction of a slice, ready to draw: arrays (y, x) and the words for each kind of error."""

    truth_ids: Ids
    predicted_ids: Ids
    labelled: NDArray[np.bool_]
    kinds: NDArray[np.uint8]
    meanings: Mapping[ErrorKind, str]


def _compare_ids(truth: Ids, predicted: Ids, class_names: Sequence[str], background: int | None) -> _Comparison:
    check_ids(truth, predicted, len(class_names))
    background = most_frequent(truth) if background is None else background
    meanings = _meanings(class_names[background - 1] if background else "nothing")
    return _Comparison(truth, predicted, truth > 0, error_kinds(truth, predicted, background), meanings)


def _compare_bits(truth: Bits, predicted: Bits, n_classes: int) -> _Comparison:
    check_bits(truth, predicted, n_classes)
    shown = topmost_class(truth, n_classes), topmost_class(predicted, n_classes)
    return _Comparison(*shown, (truth & 1) > 0, error_kinds_of_bits(truth, predicted), _MEANINGS_OF_BITS)


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


def _error_entries(seen: _Comparison) -> dict[str, str]:
    """Legend of the errors; missed and invented always, so that their absence can be seen."""
    there = {ErrorKind.MISSED, ErrorKind.INVENTED, *np.unique(seen.kinds).tolist()}
    return {seen.meanings[kind]: ERROR_COLORS[kind] for kind in ErrorKind if kind in there}


def _error_share(seen: _Comparison) -> str:
    voxels = np.count_nonzero(seen.labelled)
    if voxels == 0:
        return "nothing labelled"
    return f"{100 * np.count_nonzero(seen.kinds) / voxels:.1f} % of labelled voxels"


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
        upper = self.top + 2 * self.em + row * (self.height + 3 * self.em)
        return self.em + column * self._column_width, upper

    def size(self, panels: int, legend_size: tuple[int, int]) -> tuple[int, int]:
        """Width and height of the whole figure."""
        lowest = max(self.panel(panels - 1)[1] + self.height, self.panel(0)[1] + legend_size[1])
        return self.legend_left + legend_size[0], lowest + self.em

    @property
    def legend_left(self) -> int:
        return self.em + self.columns * self._column_width

    @property
    def _column_width(self) -> int:
        """A panel and the gap after it; a very narrow panel is given room for its heading."""
        return max(self.width, 7 * self.em) + self.em


class _Canvas:
    """A figure that is drawn on in pixels from its upper left corner."""

    def __init__(self, size: tuple[int, int], em: int) -> None:
        self.width, self.height = size
        self.points = em * 72 / DPI
        # A hair more than the pixels wanted: matplotlib truncates.
        self.figure = Figure(figsize=((self.width + 1e-6) / DPI, (self.height + 1e-6) / DPI), dpi=DPI)

    def image(self, image: Rgb, left: int, lower: int, width: int, height: int) -> None:
        axes = self.figure.add_axes(
            (left / self.width, 1 - lower / self.height, width / self.width, height / self.height)
        )
        shrunk = image.shape[0] > height or image.shape[1] > width
        axes.imshow(image, aspect="auto", interpolation="antialiased" if shrunk else "nearest")
        axes.set_axis_off()

    def text(self, text: str, left: float, baseline: float, scale: float = 1, weight: str = "normal") -> Text:
        x, y = left / self.width, 1 - baseline / self.height
        size = scale * self.points
        return self.figure.text(x, y, plain(text), fontsize=size, va="baseline", weight=weight)

    def box(self, color: str, left: float, lower: float, width: float, height: float) -> Rectangle:
        corner = left / self.width, 1 - lower / self.height
        box = Rectangle(corner, width / self.width, height / self.height, facecolor=color)
        self.figure.add_artist(box)
        return box


def _compose(
    panels: Mapping[str, Rgb],
    entries: Mapping[str, Mapping[str, str]],
    pixel_size_nm: tuple[float, float],
    title: str,
) -> Figure:
    rows, columns = next(iter(panels.values())).shape[:2]
    pixel_y, pixel_x = pixel_size_nm
    layout = _layout(rows * pixel_y / pixel_x, columns, len(panels), has_title=bool(title))
    canvas = _Canvas(layout.size(len(panels), _legend_size(entries, layout.em)), layout.em)
    canvas.text(title, layout.em, layout.top - 0.2 * layout.em, scale=1.3, weight="bold")
    for i, (name, image) in enumerate(panels.items()):
        left, upper = layout.panel(i)
        canvas.image(image, left, upper + layout.height, layout.width, layout.height)
        canvas.text(name, left, upper - 0.5 * layout.em, scale=1.1)
    _draw_scale_bar(canvas, layout, columns * pixel_x)
    _draw_legend(canvas, entries, layout)
    return canvas.figure


def _layout(square_rows: float, image_columns: int, panels: int, has_title: bool) -> _Layout:
    width, height = _panel_size(square_rows, image_columns)
    columns = min(panels, _panel_columns(width / height))
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


def _draw_scale_bar(canvas: _Canvas, layout: _Layout, width_nm: float) -> None:
    """A bar of about a quarter of the first panel, which is `width_nm` wide, in its lower left corner."""
    length_um = round_length(0.25 * width_nm / 1000)
    em, corner = layout.em, layout.panel(0)
    left, lower = corner[0] + 0.7 * em, corner[1] + layout.height - 0.7 * em
    bar = canvas.box("white", left, lower, layout.width * length_um * 1000 / width_nm, 0.35 * em)
    bar.set(edgecolor="black", linewidth=canvas.points / 15, gid="scale bar")
    text = canvas.text(f"{length_um:g} µm", left, lower - 0.8 * em, scale=1.2, weight="bold")
    text.set_color("white")
    text.set_path_effects([patheffects.withStroke(linewidth=canvas.points / 4, foreground="black")])


def round_length(most: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not above `most`."""
    power = 10.0 ** np.floor(np.log10(most))
    return float(f"{max(step * power for step in (1, 2, 5) if step * power <= most * (1 + 1e-9)):.6g}")


def _legend_size(entries: Mapping[str, Mapping[str, str]], em: int) -> tuple[int, int]:
    labels = [label for group in entries.values() for label in group]
    # A text path is measured in the unit of its size, here pixels.
    widest = max(TextPath((0, 0), plain(label), size=em).get_extents().width for label in labels)
    return round(widest + 3 * em), round((1.6 * len(labels) + 2.6 * len(entries)) * em)


def _draw_legend(canvas: _Canvas, entries: Mapping[str, Mapping[str, str]], layout: _Layout) -> None:
    left, baseline = layout.legend_left, layout.panel(0)[1] + 1.0 * layout.em
    for heading, group in entries.items():
        canvas.text(heading, left, baseline, weight="bold")
        for label, color in group.items():
            baseline += 1.6 * layout.em
            canvas.box(color, left, baseline + 0.15 * layout.em, layout.em, layout.em)
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
        raise InputError(f"a figure of raw {raw.shape} and ids {truth.shape}: give one (y, x) slice of both")
    if len(class_names) != len(colors):
        raise InputError(f"{len(class_names)} class names and {len(colors)} colours: give one colour a class")
    if background is not None and not 1 <= background <= len(class_names):
        raise InputError(f"background {background}: give a class id from 1 to {len(class_names)}, or None")
