"""Going through the voxels of an array in parts, for computations that need many bytes a voxel for a moment."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

PART_VOXELS = 2**18


def parts(flat: np.ndarray) -> Iterator[slice]:
    """Slices that cover a flat array; each so short that a few numbers a voxel take megabytes only."""
    for start in range(0, flat.size, PART_VOXELS):
        yield slice(start, start + PART_VOXELS)
