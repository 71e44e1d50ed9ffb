"""Source patches that reach beyond the capture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError

Scalar = TypeVar("Scalar", bound=np.generic)


def cut_source_patch(
    image_CZYX: NDArray[np.float32], labels_ZYX: NDArray[Scalar], start_zyx: Sequence[int], shape_zyx: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[Scalar]]:
    """The source patch that starts at `start_zyx` (negative: before the capture's first voxel), copied.

    Beyond the capture the image is its mirror image, edge voxel not repeated, and the labels are 0: not labelled,
    so that no loss is computed there. The mirror repeats as often as a thin capture needs. InputError when image
    and labels differ in shape.
    """
    if image_CZYX.shape[1:] != labels_ZYX.shape:
        raise InputError(f"image {image_CZYX.shape[1:]} and labels {labels_ZYX.shape} must have the same shape")
    image, labels = image_CZYX, labels_ZYX
    for axis, (start, length) in enumerate(zip(start_zyx, shape_zyx, strict=True)):
        index = np.arange(start, start + length)
        size = labels_ZYX.shape[axis]
        if start >= 0 and start + length <= size:
            image = image[(slice(None),) * (axis + 1) + (slice(start, start + length),)]
            labels = labels[(slice(None),) * axis + (slice(start, start + length),)]
            continue
        mirrored = _mirror(index, size)
        image, labels = image.take(mirrored, axis + 1), labels.take(mirrored, axis)
        outside = (index < 0) | (index >= size)
        labels[(slice(None),) * axis + (outside,)] = 0
    return np.array(image, order="C"), np.array(labels, order="C")


def _mirror(index: NDArray[np.int_], size: int) -> NDArray[np.int_]:
    """Folds any index into [0, size): ... 2 1 0 1 2 ... size-1 size-2 ..."""
    period = max(2 * (size - 1), 1)
    folded = index % period
    return np.minimum(folded, period - folded) if size > 1 else np.zeros_like(index)
