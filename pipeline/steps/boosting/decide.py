"""What is decided of boosting before any work is spent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pipeline.config import Boosting, BoostMethod
from pipeline.errors import ConfigError
from pipeline.nn.zssr.grids import Scaling
from pipeline.steps.boosting.blur import Blur, planned_blur
from pipeline.steps.runplan import BoostingPlan
from pipeline.volume.geometry import Geometry, Zyx

SMALLEST_SIDE_PX = 16
"""Of a coarse slice: less shows nothing to learn from, and nothing to see."""


def plan_boosting(
    settings: Boosting,
    methods: tuple[BoostMethod, ...],
    base: Path,
    geometries: Sequence[Geometry],
    *,
    downsampled: bool,
) -> BoostingPlan:
    """The plan for captures of these geometries; relative paths of kernels start at ``base``.

    Args:
        downsampled: whether the coarse images are made of the captures, or are the captures.

    Raises:
        ConfigError: slices too small, or a kernel larger than they are.
        DataError: a kernel that cannot be read.
    """
    kernel = planned_blur(settings.kernel, base)
    learnt = _learnt_kernel(settings, kernel, base)
    scaling = Scaling.centred(settings.factor)
    for geometry in geometries:
        z, y, x = geometry.shape_zyx
        coarse = (z, scaling.coarse_length(y), scaling.coarse_length(x)) if downsampled else geometry.shape_zyx
        _refuse_small_slices(coarse, settings.factor)
        if downsampled:
            _refuse_large_kernel("boosting.kernel", kernel, geometry.shape_zyx)
        if "zssr" in methods:
            _refuse_large_kernel("boosting.zssr.kernel", learnt, coarse)
    return BoostingPlan(
        methods=methods,
        downsampled=downsampled,
        factor=settings.factor,
        kernel=kernel,
        learnt_kernel=learnt,
        workers=settings.workers,
    )


def _learnt_kernel(settings: Boosting, known: Blur, base: Path) -> Blur | Literal["estimated"]:
    if settings.zssr.kernel == "known":
        return known
    return "estimated" if settings.zssr.kernel == "estimated" else planned_blur(settings.zssr.kernel, base)


def _refuse_small_slices(coarse_zyx: Zyx, factor: float) -> None:
    _, y, x = coarse_zyx
    if min(y, x) < SMALLEST_SIDE_PX:
        raise ConfigError(
            f"boosting.factor: coarse slices of {y} x {x} pixels (y, x) are too small to boost by {factor:g}; each "
            f"side must have at least {SMALLEST_SIDE_PX}: take a smaller factor, or leave boosting.methods empty ([])"
        )


def _refuse_large_kernel(field: str, kernel: Blur | str, slice_zyx: Zyx) -> None:
    if isinstance(kernel, str):
        return
    _, y, x = slice_zyx
    rows, columns = len(kernel), len(kernel[0])
    if rows > y or columns > x:
        raise ConfigError(
            f"{field}: the kernel has {rows} x {columns} pixels, the slices only {y} x {x} (y, x); crop the kernel"
        )
