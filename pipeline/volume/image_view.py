"""A raw image as vemseg stores it: in a type that is kept, without NaN."""

from __future__ import annotations

import numpy as np

from pipeline.errors import DataError
from pipeline.volume.geometry import Block
from pipeline.volume.sources.base import Source

KEPT_TYPES = ("uint8", "uint16", "float32")


def stored_dtype(source: Source) -> np.dtype[np.generic]:
    """The type in which an image is stored: uint8, uint16 and float32 as they are, all others as float32.

    float32 holds whole numbers exactly up to 2^24, far beyond the grey levels of a detector. Truth values
    become uint8. Raises DataError for what is no number.
    """
    if source.dtype.kind not in "buif":
        raise DataError(f"{source.location}: voxels of type {source.dtype}; save them as integers or floats")
    if source.dtype.kind == "b":
        return np.dtype(np.uint8)
    return source.dtype if source.dtype.name in KEPT_TYPES else np.dtype(np.float32)


class ImageView(Source):
    """Slices `start` to `stop` (excluded) of an image, in the type in which they are stored."""

    def __init__(self, source: Source, start: int, stop: int) -> None:
        self._source, self._start = source, start
        self.location, self.voxel_size_nm = source.location, source.voxel_size_nm
        self.slices_at_once = source.slices_at_once
        self.shape_zyx = (stop - start, *source.shape_zyx[1:])
        self.dtype = stored_dtype(source)

    def where(self, z: int) -> str:
        return self._source.where(z + self._start)

    def read_block(self, block: Block) -> np.ndarray:
        data = self._source.read_block(block.shift((self._start, 0, 0)))
        with np.errstate(over="ignore"):  # reported below, with its place
            data = data.astype(self.dtype, copy=False)
        if self.dtype.kind == "f":
            self._check_finite(data, block)
        return data

    def _check_finite(self, data: np.ndarray, block: Block) -> None:
        finite = np.isfinite(data)
        if finite.all():
            return
        bad = np.count_nonzero(~finite, axis=(1, 2))
        z = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"{self.where(block.start_zyx[0] + z)}: {bad[z]} voxels are NaN, infinite or too large for float32; "
            "replace them by numbers"
        )
