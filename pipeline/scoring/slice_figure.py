"""The figure of one slice: raw, truth, prediction and errors side by side, with a legend and a scale bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.scoring.canvas import Canvas, Legend, legend_size
from pipeline.scoring.comparison import SliceComparison, compare_slice, error_entries
from pipeline.scoring.confusion import check_bits, check_ids
from pipeline.scoring.slices import Rgb, class_image, error_image, grey_image, topmost_class


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
    seen = compare_slice(truth, prediction, class_names, background=background, overlapping=overlapping)
    step, thin = _thinned(raw)
    grey = grey_image(raw[thin])
    panels = {
        "Raw": grey,
        "Truth": class_image(seen.truth_ids[thin], colors, grey),
        "Prediction": class_image(seen.predicted_ids[thin], colors, grey),
        _error_heading(seen): error_image(seen.kinds[thin], grey),
    }
    entries = {"Classes": dict(zip(class_names, colors, strict=True)), "Errors": error_entries([seen])}
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


def _error_heading(seen: SliceComparison) -> str:
    if seen.error_share is None:
        return "Errors: nothing labelled"
    return f"Errors: {100 * seen.error_share:.1f} % of labelled voxels"


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


def _compose(
    panels: Mapping[str, Rgb],
    entries: Legend,
    pixel_size_nm: tuple[float, float],
    title: str,
) -> Figure:
    rows, columns = next(iter(panels.values())).shape[:2]
    pixel_y, pixel_x = pixel_size_nm
    layout = _layout(rows * pixel_y / pixel_x, columns, len(panels), has_title=bool(title))
    canvas = Canvas(layout.size(len(panels), legend_size(entries, layout.em)), layout.em)
    canvas.text(title, layout.em, layout.top - 0.2 * layout.em, scale=1.3, weight="bold")
    for i, (name, image) in enumerate(panels.items()):
        left, upper = layout.panel(i)
        canvas.image(image, left, upper + layout.height, layout.width, layout.height)
        canvas.text(name, left, upper - 0.5 * layout.em, scale=1.1)
    left, upper = layout.panel(0)
    canvas.scale_bar(left, upper + layout.height, layout.width, columns * pixel_x)
    canvas.legend(entries, layout.legend_left, upper)
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
