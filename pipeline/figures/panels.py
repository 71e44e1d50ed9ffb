"""Figures of slices: what was seen, labelled and predicted, or boosted, side by side to one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.figures.canvas import Entry, Panel, Swatch, panels_figure
from pipeline.figures.palette import UNLABELLED, Rgb
from pipeline.figures.slices import (
    SliceComparison,
    class_image,
    compare_slice,
    error_entries,
    error_image,
    grey_image,
    topmost_class,
)
from pipeline.scoring.confusion import Ids, check_bits, check_ids
from pipeline.volume.geometry import ZyxNm


class InputSlice(NamedTuple):
    """One input at native voxel size and its segmentation, both (y, x)."""

    name: str
    image: NDArray[Any]
    segmentation: NDArray[Any]
    """Class ids, or uint32 bit masks of overlapping classes."""


class _Fit(NamedTuple):
    """How a slice is drawn: every `step`-th voxel, as a panel of so many pixels."""

    step: int
    width: int
    height: int
    width_nm: float

    @property
    def thin(self) -> tuple[slice, slice]:
        """A section of 10,000 × 10,000 is thinned before it is coloured."""
        return np.s_[:: self.step, :: self.step]

    def panel(self, heading: str, picture: Rgb, *, scale_bar: bool = False, is_bold: bool = False) -> Panel:
        width_nm = self.width_nm if scale_bar else None
        return Panel(heading, picture, (self.width, self.height), width_nm, is_bold=is_bold)


def slice_figure(
    raw: NDArray[Any],
    truth: NDArray[Any],
    prediction: NDArray[Any],
    *,
    class_names: Sequence[str],
    colors: Sequence[str],
    voxel_size_nm: ZyxNm,
    title: str = "",
    background: int | None = None,
    overlapping: bool = False,
) -> Figure:
    """Return raw, truth, prediction and errors of one slice, with a legend and a scale bar.

    Voxels without label or prediction show the raw data.

    Args:
        raw: grey values (y, x).
        truth: class ids (y, x), or uint32 bit masks where `overlapping`.
        prediction: the same.
        class_names: in the order of their ids, from 1.
        colors: of the classes, #rrggbb.
        voxel_size_nm: z, y, x.
        title: above the panels.
        background: the class that missed and invented refer to; None: the most frequent in the truth.
        overlapping: whether a voxel may have several classes.

    Raises:
        InputError: shapes, ids, names and colours do not fit each other.
    """
    _check(truth, {"raw": raw}, class_names, colors, background)
    seen = compare_slice(truth, prediction, class_names, background=background, overlapping=overlapping)
    fit = _fitted(raw.shape, voxel_size_nm, smallest=500, largest=1100)
    grey = grey_image(raw[fit.thin])
    share = f"{_error_percent(seen)} of labelled voxels" if seen.error_share is not None else "nothing labelled"
    panels = [
        fit.panel("Raw", grey, scale_bar=True),
        fit.panel("Truth", class_image(seen.truth_ids[fit.thin], colors, grey)),
        fit.panel("Prediction", class_image(seen.predicted_ids[fit.thin], colors, grey)),
        fit.panel(f"Errors: {share}", error_image(seen.kinds[fit.thin], grey)),
    ]
    unlabelled = "" if seen.labelled.all() else "not labelled: raw data"
    legend = {"Classes": _classes(class_names, colors, unlabelled), "Errors": _boxes(error_entries([seen]))}
    return _wrapped(panels, fit, legend, title)


def preview_figure(
    raw: NDArray[Any],
    segmentation: NDArray[Any],
    *,
    class_names: Sequence[str],
    colors: Sequence[str],
    voxel_size_nm: ZyxNm,
    title: str = "",
    overlapping: bool = False,
) -> Figure:
    """Return raw and segmentation of one slice, with a legend and a scale bar: for data that nobody labelled.

    Both arrays are (y, x); the segmentation holds class ids, or uint32 bit masks where `overlapping`. Voxels that
    were not predicted show the raw data. `voxel_size_nm` is z, y, x.

    Raises:
        InputError: shapes, ids, names and colours do not fit each other.
    """
    _check(segmentation, {"raw": raw}, class_names, colors)
    if overlapping:
        check_bits(segmentation, segmentation, len(class_names))
        segmentation = topmost_class(segmentation, len(class_names))
    check_ids(segmentation, segmentation, len(class_names))
    fit = _fitted(raw.shape, voxel_size_nm, smallest=500, largest=1100)
    grey = grey_image(raw[fit.thin])
    panels = [
        fit.panel("Raw", grey, scale_bar=True),
        fit.panel("Segmentation", class_image(segmentation[fit.thin], colors, grey)),
    ]
    unlabelled = "" if segmentation.all() else "no class: raw data"
    return _wrapped(panels, fit, {"Classes": _classes(class_names, colors, unlabelled)}, title)


def ablation_slice_figure(
    inputs: Sequence[InputSlice],
    truth: NDArray[Any],
    *,
    class_names: Sequence[str],
    colors: Sequence[str],
    voxel_size_nm: ZyxNm,
    title: str = "",
    background: int | None = None,
    overlapping: bool = False,
) -> Figure:
    """Return a column an input (image, segmentation, errors), then the truth with a legend below it.

    All arrays are (y, x) of one shape; `voxel_size_nm` is z, y, x. All images have the same grey scale, so that a
    loss of contrast shows. `background` is the class that missed and invented refer to (None: the most frequent in
    the truth). Voxels without label or prediction show the image. A slice of a thousand voxels a side shows little of
    what boosting changes; cut it to a `telling_window` first.

    Raises:
        InputError: there is no input, or shapes, ids, names and colours do not fit each other.
    """
    if not inputs:
        raise InputError("no input to draw; give at least one")
    arrays = {f"{what} of {one.name}": getattr(one, what) for one in inputs for what in ("image", "segmentation")}
    _check(truth, arrays, class_names, colors, background)
    comparisons = [
        compare_slice(truth, one.segmentation, class_names, background=background, overlapping=overlapping)
        for one in inputs
    ]
    fit = _fitted(truth.shape, voxel_size_nm, smallest=380, largest=520)
    greys = _equally_grey([one.image[fit.thin] for one in inputs])
    rows: list[list[Panel]] = [[], [], []]
    for one, seen, grey in zip(inputs, comparisons, greys, strict=True):
        errors = f"Errors: {_error_percent(seen)}" if seen.error_share is not None else "Errors"
        rows[0].append(fit.panel(one.name, grey, scale_bar=not rows[0], is_bold=True))
        rows[1].append(fit.panel("Segmentation", class_image(seen.predicted_ids[fit.thin], colors, grey)))
        rows[2].append(fit.panel(errors, error_image(seen.kinds[fit.thin], grey)))
    rows[0].append(fit.panel("Truth", class_image(comparisons[0].truth_ids[fit.thin], colors, greys[0]), is_bold=True))
    unlabelled = "" if comparisons[0].labelled.all() else "not labelled: image"
    legend = {"Classes": _classes(class_names, colors, unlabelled), "Errors": _boxes(error_entries(comparisons))}
    em = min(max(round(len(rows[0]) * fit.width / 90), 16), 26)
    return panels_figure(
        rows,
        (fit.width, fit.height),
        em=em,
        title=title,
        legend=legend,
        legend_place=(1, len(inputs)),
        least_column_em=9,
    )


def boost_figure(coarse_YX: NDArray[Any], fine_YX: NDArray[Any], *, voxel_size_nm: ZyxNm, title: str) -> Figure:
    """Return a window of a slice before and after boosting with one grey scale and in one size.

    ``voxel_size_nm`` (z, y, x) is that of the fine one.
    """
    fit = _fitted(fine_YX.shape, voxel_size_nm, smallest=500, largest=1100)
    values = np.concatenate([coarse_YX.ravel(), fine_YX.ravel()])[None]
    grey, edge = grey_image(values), coarse_YX.size
    pictures = grey[:, :edge].reshape(*coarse_YX.shape, 3), grey[:, edge:].reshape(*fine_YX.shape, 3)
    panels = [
        fit.panel(f"{picture.shape[0]} × {picture.shape[1]} pixels", picture, scale_bar=place == 0)
        for place, picture in enumerate(pictures)
    ]
    return _wrapped(panels, fit, {}, title)


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


def _error_percent(seen: SliceComparison) -> str:
    return f"{100 * (seen.error_share or 0):.1f} %"


def _classes(class_names: Sequence[str], colors: Sequence[str], unlabelled: str) -> list[Entry]:
    entries = _boxes(dict(zip(class_names, colors, strict=True)))
    return [*entries, Entry(unlabelled, Swatch(UNLABELLED))] if unlabelled else entries


def _boxes(colors: Mapping[str, str]) -> list[Entry]:
    return [Entry(label, Swatch(color)) for label, color in colors.items()]


def _fitted(shape_yx: tuple[int, ...], voxel_size_nm: ZyxNm, *, smallest: int, largest: int) -> _Fit:
    """A voxel is drawn as a whole number of pixels wherever the slice is small enough, and nanometres are square."""
    step = max(1, max(shape_yx) // largest)
    rows, columns = (-(-length // step) for length in shape_yx)
    _, voxel_y, voxel_x = voxel_size_nm
    square_rows = rows * voxel_y / voxel_x
    longest = max(square_rows, columns)
    scale = ceil(smallest / longest) if longest < smallest else min(1.0, largest / longest)
    width, height = (max(1, round(side * scale)) for side in (columns, square_rows))
    return _Fit(step, width, height, columns * step * voxel_x)


def _wrapped(panels: Sequence[Panel], fit: _Fit, legend: Mapping[str, Sequence[Entry]], title: str) -> Figure:
    """Panels in as many rows as make a picture that fits a page, the legend on their right."""
    aspect = fit.width / fit.height
    most = 4 if aspect < 0.6 else 2 if aspect < 2.5 else 1
    columns = min(len(panels), most)
    em = min(max(round(columns * fit.width / 65), 18), 30)
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    return panels_figure(rows, (fit.width, fit.height), em=em, title=title, legend=legend)


def _check(
    ids: NDArray[Any],
    arrays: Mapping[str, NDArray[Any]],
    class_names: Sequence[str],
    colors: Sequence[str],
    background: int | None = None,
) -> None:
    for what, array in arrays.items():
        if ids.ndim != 2 or ids.size == 0 or array.shape != ids.shape:
            raise InputError(f"{what} {array.shape} and ids {ids.shape}: give one (y, x) slice of both")
    if len(class_names) != len(colors):
        raise InputError(f"{len(class_names)} class names and {len(colors)} colours: give one colour a class")
    if background is not None and not 1 <= background <= len(class_names):
        raise InputError(f"background {background}: give a class id from 1 to {len(class_names)}, or None")
