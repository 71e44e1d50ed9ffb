"""Formats whose voxels follow each other in the file, in C order: NumPy .npy and MRC."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from mrcfile.utils import data_dtype_from_header

from pipeline.errors import DataError
from pipeline.volume.geometry import Zyx
from pipeline.volume.sources.base import Location, PagedSource, VoxelSize, as_volume_shape, decoding

MRC_SUFFIXES = (".mrc", ".rec", ".map", ".mrcs", ".st")

_MRC_HEADER_BYTES = 1024
# IMOD's marks in the header: it wrote the file, and its bytes are signed (mrc_format.txt of IMOD).
_IMOD_STAMP_OFFSET, _IMOD_STAMP, _IMOD_SIGNED_BYTES = 152, 1146047817, 1


class RunSource(PagedSource):
    """Voxels in C order from a fixed offset.

    Slices are read, not mapped: a memory map also brings in the neighbours of what is touched, so that memory
    would grow with the volume.
    """

    def _set_run(self, path: Path, dtype: np.dtype[Any], offset: int) -> None:
        """Take note of where the voxels lie. Raises DataError when the file ends before they do."""
        self._path, self._stored, self._offset = path, dtype, offset
        self.dtype = dtype.newbyteorder("=")
        needed, size = offset + prod(self.shape_zyx) * dtype.itemsize, path.stat().st_size
        if size < needed:
            raise DataError(f"{self.location}: truncated: {size} bytes instead of {needed}; copy or export it again")

    def page(self, z: int) -> np.ndarray:
        return slice_of_run(self._path, self._stored, self._offset, self.shape_zyx, z)


def slice_of_run(path: Path, dtype: np.dtype[Any], offset: int, shape_zyx: Zyx, z: int) -> np.ndarray:
    """One slice (y, x) of the voxels that follow each other from an offset in bytes."""
    _, height, width = shape_zyx
    start = offset + z * height * width * dtype.itemsize
    return np.fromfile(path, dtype, height * width, offset=start).reshape(height, width)


class NpySource(RunSource):
    """A NumPy .npy file in C order."""

    def __init__(self, location: Location) -> None:
        assert location.path is not None
        self.location = location.text
        with decoding(self.location), location.path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran_order, dtype = reader(file)
            self.shape_zyx = as_volume_shape(shape, self.location)
            if fortran_order or dtype.hasobject:
                raise DataError(f"{self.location}: not plain voxels in C order; save np.ascontiguousarray(volume)")
            self._set_run(location.path, dtype, file.tell())

    @staticmethod
    def accepts(location: Location) -> bool:
        return location.suffix == ".npy"


class MrcSource(RunSource):
    """An MRC2014 volume (Cheng et al. 2015, doi:10.1016/j.jsb.2015.04.002); its voxel size is in angstrom."""

    def __init__(self, location: Location) -> None:
        assert location.path is not None
        self.location = location.text
        with decoding(self.location):
            # Permissive, for software that leaves the map id or the machine stamp empty.
            with mrcfile.open(location.path, permissive=True, header_only=True) as file:
                header = file.header
                dtype = np.dtype(data_dtype_from_header(header))
            self.shape_zyx = as_volume_shape((int(header.nz), int(header.ny), int(header.nx)), self.location)
            if dtype == np.int8 and _imod_unsigned(header.tobytes(), header.nx.dtype):
                dtype = np.dtype(np.uint8)
            self.voxel_size_nm = _mrc_voxel_size_nm(header)
            self._set_run(location.path, dtype, _MRC_HEADER_BYTES + int(header.nsymbt))

    @staticmethod
    def accepts(location: Location) -> bool:
        return location.suffix in MRC_SUFFIXES


def _mrc_voxel_size_nm(header: Any) -> VoxelSize | None:
    cells = zip((header.cella.z, header.cella.y, header.cella.x), (header.mz, header.my, header.mx), strict=True)
    angstrom = [float(length) / float(count) if count else 0.0 for length, count in cells]
    # One angstrom or less is what software writes that does not know; no section is that thin.
    if min(angstrom) <= 1.0:
        return None
    return angstrom[0] / 10, angstrom[1] / 10, angstrom[2] / 10


def _imod_unsigned(header: bytes, integer: np.dtype[Any]) -> bool:
    """Whether mode 0 means unsigned bytes, as IMOD wrote them before it followed the standard."""
    stamp, flags = np.frombuffer(header, integer.newbyteorder(integer.byteorder), 2, _IMOD_STAMP_OFFSET)
    return int(stamp) == _IMOD_STAMP and not int(flags) & _IMOD_SIGNED_BYTES
