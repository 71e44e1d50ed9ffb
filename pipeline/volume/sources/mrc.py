"""MRC: voxels that follow each other behind a header of 1024 bytes and, maybe, an extended one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mrcfile.dtypes import HEADER_DTYPE
from mrcfile.utils import data_dtype_from_header

from pipeline.errors import DataError
from pipeline.volume.geometry import Zyx, ZyxNm
from pipeline.volume.sources.base import (
    Dimensions,
    Location,
    Opening,
    RunFormat,
    as_volume_shape,
    decoding,
    listed,
    shape_of,
    slice_of_run,
)
from pipeline.volume.sources.registry import register

_HALF_BYTES = 101
_MODES = (0, 1, 2, 6, 12, _HALF_BYTES)
_OTHER_MODES = {3: " (complex integers)", 4: " (complex numbers)", 16: " (colour)"}

# IMOD's marks in the header: it wrote the file, and its bytes are signed (mrc_format.txt of IMOD).
_IMOD_STAMP_OFFSET, _IMOD_STAMP, _IMOD_SIGNED_BYTES = 152, 1146047817, 1
_IMOD_HALF_BYTES = 16  # two columns in each byte of mode 0


_IMAGE_STACK_NOTE = "Its MRC header is that of an image stack, which does not tell how far its sections are apart."


@register
class MrcSource(RunFormat):
    """An MRC2014 volume (Cheng et al. 2015, doi:10.1016/j.jsb.2015.04.002); its voxel size is in angstrom."""

    name = "MRC volume"
    suffixes = (".mrc", ".rec", ".map", ".mrcs", ".st")

    def __init__(self, location: Location, opening: Opening) -> None:
        assert location.path is not None
        self.location = location.text
        with decoding(self.location):
            header = _header(location.path)
            self._columns = int(header.nx) if int(header.mode) == _HALF_BYTES else 0
            dtype = np.dtype(np.uint8 if self._columns else data_dtype_from_header(header))
            if dtype == np.int8 and (_imod_flags(header) or 0) & _IMOD_HALF_BYTES:
                raise DataError(
                    f"{self.location}: has two columns in each byte of mode 0, as IMOD marks it; write it as mode 1 "
                    "(in IMOD: newstack -mode 1)"
                )
            shape = as_volume_shape((int(header.nz), int(header.ny), int(header.nx)), self.location)
            dimensions = _dimensions(header, self.location)
            self.axes_found = listed(["zyx"[dimensions.index(place)] for place in range(3)])
            self.shape_zyx = shape_of(shape, dimensions)
            if dtype == np.int8 and _is_unsigned(header):
                dtype = np.dtype(np.uint8)
            if _is_image_stack(header, self.shape_zyx):
                self.voxel_size_note = _IMAGE_STACK_NOTE
            else:
                self.voxel_size_nm = _mrc_voxel_size_nm(header)
            if int(header.nsymbt) < 0:
                raise DataError(f"{self.location}: its extended header has {header.nsymbt} bytes; export it again")
            offset = HEADER_DTYPE.itemsize + int(header.nsymbt)
            if not self._columns:
                self._set_run(location.path, dtype, offset, shape, dimensions)
                return
            self._set_half_bytes(location.path, offset, shape, dimensions)

    def _set_half_bytes(self, path: Path, offset: int, shape: Zyx, dimensions: Dimensions) -> None:
        """Mode 101: two columns in each byte, the first in its low bits; each row begins with a byte of its own.

        As IMOD reads it (libiimod/mrcsec.c): its mrc_format.txt and MRC2014 leave the order open.
        """
        whole, (sections, rows, columns) = self.shape_zyx, shape
        self._packed = self.shape_zyx = sections, rows, -(-columns // 2)
        self._set_run(path, np.dtype(np.uint8), offset)
        self.shape_zyx, (z, y, x) = whole, dimensions
        if z is not None and (z, y, x) != (0, 1, 2):
            self.order, self.slices_at_once = (z, y, x), 0

    def page(self, index: int) -> np.ndarray:
        if not self._columns:
            return super().page(index)
        stored = slice_of_run(self._path, self._stored, self._offset, self._packed, index)
        return np.stack([stored & 15, stored >> 4], -1).reshape(len(stored), -1)[:, : self._columns]

    @classmethod
    def refuse_references(cls, location: Location) -> None:
        """The format has none."""


def _header(path: Path) -> Any:
    """The first 1024 bytes, in the byte order that they state or, where software got that wrong, that gives a mode.

    Not by mrcfile's reader, which also reads an extended header, of whatever length the file claims.
    """
    content = np.fromfile(path, HEADER_DTYPE, 1)
    if not len(content):
        raise DataError(f"{path}: has no MRC header of {HEADER_DTYPE.itemsize} bytes; copy or export it again")
    orders = (">", "<") if bytes(content["machst"][0])[:1] == b"\x11" else ("<", ">")
    headers = [content.reshape(()).view(HEADER_DTYPE.newbyteorder(order)).view(np.recarray) for order in orders]
    header = next((each for each in headers if int(each.mode) in _MODES), headers[0])
    if (mode := int(header.mode)) in _MODES:
        return header
    raise DataError(
        f"{path}: MRC mode {mode}{_OTHER_MODES.get(mode, '')} is not read; save it as mode 0, 1, 2, 6 or 12"
    )


def _is_image_stack(header: Any, shape_zyx: Zyx) -> bool:
    """Whether a cell is one voxel deep though there are more: its length is then that of all, or of one.

    Space group 0 alone does not tell: IMOD writes it for volumes, too.
    """
    counts = (header.mz, header.my, header.mx)
    several = any(int(count) == 1 < voxels for count, voxels in zip(counts, shape_zyx, strict=True))
    return several or (int(header.ispg) == 0 and int(header.mz) != shape_zyx[0])


def _mrc_voxel_size_nm(header: Any) -> ZyxNm | None:
    cells = zip((header.cella.z, header.cella.y, header.cella.x), (header.mz, header.my, header.mx), strict=True)
    angstrom = [float(length) / float(count) if count else 0.0 for length, count in cells]
    # One angstrom or less is what software writes that does not know; no section is that thin.
    if min(angstrom) <= 1.0:
        return None
    return angstrom[0] / 10, angstrom[1] / 10, angstrom[2] / 10


def _dimensions(header: Any, where: str) -> Dimensions:
    """Which of sections, rows and columns are z, y and x; all zero is left out by some software and means the usual."""
    axes = [int(header.maps), int(header.mapr), int(header.mapc)]
    if sorted(axes) == [1, 2, 3]:
        return axes.index(3), axes.index(2), axes.index(1)
    if any(axes):
        raise DataError(f"{where}: its columns, rows and sections are axes {axes[::-1]}; they are to be 1, 2 and 3")
    return 0, 1, 2


def _is_unsigned(header: Any) -> bool:
    """Whether mode 0 means unsigned bytes, as IMOD wrote them before it followed the standard, and ITK still does.

    IMOD's stamp tells; where it is missing, a maximum that no signed byte can be does, as IMOD's own reader decides.
    """
    flags = _imod_flags(header)
    if flags is not None:
        return not flags & _IMOD_SIGNED_BYTES
    return float(header.dmin) >= 0 and float(header.dmax) > np.iinfo(np.int8).max


def _imod_flags(header: Any) -> int | None:
    """What IMOD marks in the header; None where it did not write it."""
    stamp, flags = np.frombuffer(header.tobytes(), header.nx.dtype, 2, _IMOD_STAMP_OFFSET)
    return int(flags) if int(stamp) == _IMOD_STAMP else None
