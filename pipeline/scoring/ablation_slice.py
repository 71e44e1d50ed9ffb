"""The figure of one slice for all inputs: images in the first row, segmentations below, error maps below those."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.scoring.canvas import Canvas, Legend, legend_size
from pipeline.scoring.comparison import SliceComparison, compare_slice, error_entries
from pipeline.scoring.confusion import Ids
from pipeline.scoring.slices import Rgb, class_image, error_image, grey_image

# Five panels side by side fill a page at this size.
_SMALLEST_PANEL = 380
_LARGEST_PANEL = 520


class InputSlice(NamedTuple):
    """One input at native voxel size and its segmentation, both (y, x)."""

    name: str
    image: NDArray[Any]
    segmentation: NDArray[Any]
    """Class ids, or uint32 bit masks of overlapping classes."""


Panel = tuple[str, Rgb]
"""Heading and picture."""


def ablation_slice_figure(
    inputs: Sequence[InputSlice],
    truth: NDArray[Any],
    *,
    class_names: Sequence[str],
    colors: Sequence[str],
    voxel_size_nm: tuple[float, float, float],
    title: str = "",
    background: int | None = None,
    overlapping: bool = False,
) -> Figure:
    """Return a column an input (image, segmentation, errors), then the truth with a legend below it.

    All arrays are (y, x) of one shape; `voxel_size_nm` is z, y, x. All images have the same grey scale, so that a
    loss of contrast shows. `background` is the class that missed and invented refer to (None: the most frequent in
    the truth). Voxels without label or prediction show the image. A slice of a thousand voxels a side shows little of
    what boosting changes; cut it to a `telling_window` first.
    Raises InputError when there is no input or shapes, ids, names and colours do not fit each other.
    """
    _check(inputs, truth, class_names, colors, background)
    comparisons = [
        compare_slice(truth, one.segmentation, class_names, background=background, overlapping=overlapping)
        for one in inputs
    ]
    step = max(1, max(truth.shape) // _LARGEST_PANEL)
    thin = np.s_[::step, ::step]
    greys = _equally_grey([one.image[thin] for one in inputs])
    seen_on_grey = list(zip(comparisons, greys, strict=True))
    entries = {"Classes": dict(zip(class_names, colors, strict=True)), "Errors": error_entries(comparisons)}
    if not comparisons[0].labelled.all():
        entries["Classes"]["not labelled: image"] = "#999999"
    rows = [
        [(one.name, grey) for one, grey in zip(inputs, greys, strict=True)],
        [("Segmentation", class_image(seen.predicted_ids[thin], colors, grey)) for seen, grey in seen_on_grey],
        [(_error_heading(seen), error_image(seen.kinds[thin], grey)) for seen, grey in seen_on_grey],
    ]
    rows[0].append(("Truth", class_image(comparisons[0].truth_ids[thin], colors, greys[0])))
    _, voxel_y_nm, voxel_x_nm = voxel_size_nm
    return _compose(rows, entries, (step * voxel_y_nm, step * voxel_x_nm), title)


def telling_window(truth: Ids, segmentations: Sequence[Ids], side: int) -> tuple[slice, slice]:
    """Return the window (y, x) of `side` voxels in which the segmentations differ most from each other.

    Only labelled voxels count (not 0 in `truth`); all arrays are (y, x) of one shape. The window is found to an
    eighth of its side, and is the whole slice along an axis that is shorter. It shows where boosting makes a
    difference, not how large that is on average.
    """
    differ = np.zeros(truth.shape, np.bool_)
    for segmentation in segmentations[1:]:
        differ |= segmentation != segmentations[0]
    differ &= truth > 0
    sides = [min(side, length) for length in truth.shape]
    step = max(1, side // 8)
    starts = [_starts(length, size, step) for length, size in zip(truth.shape, sides, strict=True)]
    counts = _window_sums(_window_sums(differ.astype(np.int64), starts[0], sides[0], 0), starts[1], sides[1], 1)
    y, x = np.unravel_index(int(counts.argmax()), counts.shape)
    return slice(starts[0][y], starts[0][y] + sides[0]), slice(starts[1][x], starts[1][x] + sides[1])


def _starts(length: int, size: int, step: int) -> list[int]:
    return sorted({*range(0, length - size + 1, step), length - size})


def _window_sums(values: NDArray[np.int64], starts: Sequence[int], size: int, axis: int) -> NDArray[np.int64]:
    """Sums of `size` entries along an axis from each of the starts."""
    ends = np.pad(values.cumsum(axis=axis), [(int(i == axis), 0) for i in range(2)])
    first = np.asarray(starts)
    sums: NDArray[np.int64] = ends.take(first + size, axis=axis) - ends.take(first, axis=axis)
    return sums


def _equally_grey(images: Sequence[NDArray[Any]]) -> list[Rgb]:
    """Grey images with one black and one white point."""
    return np.split(grey_image(np.concatenate(images)), len(images))


def _error_heading(seen: SliceComparison) -> str:
    return "Errors" if seen.error_share is None else f"Errors: {100 * seen.error_share:.1f} %"


@dataclass(frozen=True)
class _Layout:
    """Rows of panels of one size; pixels from the upper left corner."""

    width: int
    height: int
    em: int
    top: int

    @classmethod
    def of(cls, shape: tuple[int, int], pixel_size_nm: tuple[float, float], columns: int, has_title: bool) -> _Layout:
        """Return the layout for pictures of (y, x) pixels, which are drawn with square nanometres."""
        rows, width = shape[0] * pixel_size_nm[0] / pixel_size_nm[1], shape[1]
        scale = min(1.0, _LARGEST_PANEL / max(rows, width))
        if max(rows, width) < _SMALLEST_PANEL:
            scale = ceil(_SMALLEST_PANEL / max(rows, width))
        panel = max(1, round(width * scale)), max(1, round(rows * scale))
        em = min(max(round(columns * panel[0] / 90), 16), 26)
        return cls(*panel, em, top=3 * em if has_title else em // 2)

    def panel(self, row: int, column: int) -> tuple[int, int]:
        """Left and upper edge of a panel."""
        pitch = max(self.width, 9 * self.em) + self.em
        return self.em + column * pitch, self.top + 2 * self.em + row * (self.height + 3 * self.em)


def _compose(
    rows: Sequence[Sequence[Panel]], entries: Legend, pixel_size_nm: tuple[float, float], title: str
) -> Figure:
    pixels_y, pixels_x = rows[0][0][1].shape[:2]
    columns = len(rows[0])
    layout = _Layout.of((pixels_y, pixels_x), pixel_size_nm, columns, has_title=bool(title))
    em = layout.em
    legend_left, truth_upper = layout.panel(0, columns - 1)
    legend_upper = truth_upper + layout.height + em
    legend_width, legend_height = legend_size(entries, em)
    right = legend_left + max(layout.width, legend_width) + em
    lower = max(layout.panel(len(rows) - 1, 0)[1] + layout.height, legend_upper + legend_height) + em
    canvas = Canvas((right, lower), em)
    canvas.text(title, em, layout.top - 0.2 * em, scale=1.3, weight="bold")
    for r, row in enumerate(rows):
        for c, (heading, picture) in enumerate(row):
            left, upper = layout.panel(r, c)
            canvas.image(picture, left, upper + layout.height, layout.width, layout.height)
            canvas.text(heading, left, upper - 0.5 * em, scale=1.1, weight="bold" if r == 0 else "normal")
    left, upper = layout.panel(0, 0)
    canvas.scale_bar(left, upper + layout.height, layout.width, pixels_x * pixel_size_nm[1])
    canvas.legend(entries, legend_left, legend_upper)
    return canvas.figure


def _check(
    inputs: Sequence[InputSlice],
    truth: NDArray[Any],
    class_names: Sequence[str],
    colors: Sequence[str],
    background: int | None,
) -> None:
    if not inputs:
        raise InputError("no input to draw; give at least one")
    for name, image, segmentation in inputs:
        if truth.ndim != 2 or truth.size == 0 or not image.shape == segmentation.shape == truth.shape:
            raise InputError(
                f"{name}: image {image.shape}, segmentation {segmentation.shape} and truth {truth.shape}; "
                "give one (y, x) slice of all three"
            )
    if len(class_names) != len(colors):
        raise InputError(f"{len(class_names)} class names and {len(colors)} colours: give one colour a class")
    if background is not None and not 1 <= background <= len(class_names):
        raise InputError(f"background {background}: give a class id from 1 to {len(class_names)}, or None")
