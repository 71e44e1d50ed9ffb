"""NumPy's .npy: voxels that follow each other in the file."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np

from pipeline.errors import DataError
from pipeline.volume.sources.base import Location, Opening, RunFormat, as_volume_shape, decoding
from pipeline.volume.sources.registry import register

_MOST_HEADER_BYTES = 10_000


@register
class NpySource(RunFormat):
    """A NumPy .npy file in C order."""

    name = "NumPy array"
    suffixes = (".npy",)

    def __init__(self, location: Location, opening: Opening) -> None:
        assert location.path is not None
        self.location = location.text
        with decoding(self.location), location.path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            _check_length(file, version, self.location)
            reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran_order, dtype = reader(file)
            self.shape_zyx = as_volume_shape(shape, self.location)
            if fortran_order or dtype.hasobject:
                raise DataError(f"{self.location}: not plain voxels in C order; save np.ascontiguousarray(volume)")
            self._set_run(location.path, dtype, file.tell())

    @classmethod
    def refuse_references(cls, location: Location) -> None:
        """The format has none."""


def _check_length(file: BinaryIO, version: tuple[int, int], where: str) -> None:
    """Raise DataError for a header longer than any of plain voxels: NumPy makes room for what the file claims."""
    start = file.tell()
    claimed = int.from_bytes(file.read(2 if version == (1, 0) else 4), "little")
    file.seek(start)
    if claimed > _MOST_HEADER_BYTES:
        raise DataError(f"{where}: claims a header of {claimed} bytes; it is damaged, export it again")
