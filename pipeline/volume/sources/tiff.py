"""Multi-page TIFF: classic, BigTIFF, ImageJ and OME-TIFF (tifffile decodes; truncation is looked for here)."""

from __future__ import annotations

import struct
from contextlib import ExitStack
from math import prod
from pathlib import Path
from typing import BinaryIO, NamedTuple
from xml.etree import ElementTree

import numpy as np
import tifffile

from pipeline.errors import DataError
from pipeline.volume.sources.base import COLOUR_CURE, Location, PagedSource, VoxelSize, as_volume_shape, decoding
from pipeline.volume.sources.runs import slice_of_run

SUFFIXES = (".tif", ".tiff")

_NANOMETRES = {"nm": 1.0, "um": 1e3, "µm": 1e3, "μm": 1e3, "micron": 1e3, "microns": 1e3, "mm": 1e6, "å": 0.1}


# Bytes of a value by its type in a directory.
_VALUE_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


class TiffSource(PagedSource):
    """A stack in one TIFF file: a page a slice, or (ImageJ above 4 GiB) one page before a run of all voxels."""

    def __init__(self, location: Location) -> None:
        assert location.path is not None
        self.location = location.text
        self._path = location.path
        with ExitStack() as undo, decoding(self.location):
            check_not_truncated(self._path)
            self._file = undo.enter_context(tifffile.TiffFile(self._path))
            _check_pages(self._file, self.location)
            first = self._file.pages.first
            self._series = _only_series(self._file, self.location)
            shape = (len(self._file.pages), *first.shape) if self._series is None else self._series.shape
            self.shape_zyx = as_volume_shape(shape, self.location)
            self.dtype = np.dtype(first.dtype).newbyteorder("=")
            self._run_start = None if self._series is None else self._series.dataoffset
            if self._run_start is not None:
                _check_end(self._run_start + prod(shape) * self.dtype.itemsize, self._path, self.location)
            self.voxel_size_nm = _voxel_size_nm(self._file)
            undo.pop_all()

    @staticmethod
    def accepts(location: Location) -> bool:
        return location.suffix in SUFFIXES

    def page(self, z: int) -> np.ndarray:
        if self._run_start is None:
            return np.asarray(self._file.asarray(key=z, series=self._series))
        stored = self.dtype.newbyteorder(self._file.byteorder)
        return slice_of_run(self._path, stored, self._run_start, self.shape_zyx, z)

    def close(self) -> None:
        self._file.close()


def read_page(path: Path) -> np.ndarray:
    """The slice in a TIFF of one page, shape (y, x)."""
    return np.asarray(tifffile.imread(path, key=0))


def page_header(path: Path) -> tuple[tuple[int, ...], np.dtype[np.generic], int]:
    """Shape and type of the first page, and the number of pages."""
    check_not_truncated(path)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        return page.shape, np.dtype(page.dtype).newbyteorder("="), len(file.pages)


class _Layout(NamedTuple):
    """How the directories of pages are written: formats of struct, and the bytes that a value has room for."""

    number: str
    entry: str
    offset: str
    inline_bytes: int


def check_not_truncated(path: Path) -> None:
    """Raise DataError when the directory of a page, or a value in it, lies past the end of the file.

    tifffile only logs that and reads what is left. Layout: TIFF 6.0, section 2, and the BigTIFF extension.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        offset, layout = _first_directory(file, path)
        seen: set[int] = set()
        while offset and offset not in seen:
            seen.add(offset)
            offset = _next_directory(file, layout, offset, size, path)


def _first_directory(file: BinaryIO, path: Path) -> tuple[int, _Layout]:
    """Byte offset of the first directory, and how to read all of them."""
    file.seek(0)
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 16:
        raise DataError(f"{path}: is not a TIFF file; check the location or rename it")
    if struct.unpack(f"{order}H", head[2:4]) == (43,):
        return struct.unpack(f"{order}Q", head[8:16])[0], _Layout(f"{order}Q", f"{order}HHQQ", f"{order}Q", 8)
    return struct.unpack(f"{order}I", head[4:8])[0], _Layout(f"{order}H", f"{order}HHII", f"{order}I", 4)


def _next_directory(file: BinaryIO, layout: _Layout, offset: int, size: int, path: Path) -> int:
    try:
        file.seek(offset)
        (count,) = struct.unpack(layout.number, file.read(struct.calcsize(layout.number)))
        entries = struct.iter_unpack(layout.entry, file.read(count * struct.calcsize(layout.entry)))
        for _, kind, values, position in entries:
            value_bytes = values * _VALUE_BYTES.get(kind, 1)
            if value_bytes > layout.inline_bytes and position + value_bytes > size:
                raise _truncated(path, position + value_bytes, size)
        (following,) = struct.unpack(layout.offset, file.read(struct.calcsize(layout.offset)))
    except struct.error as error:
        raise _truncated(path, offset, size) from error
    return int(following)


def _check_end(end: int, path: Path, where: str) -> None:
    size = path.stat().st_size
    if end > size:
        raise _truncated(where, end, size)


def _truncated(where: object, needed: int, size: int) -> DataError:
    return DataError(f"{where}: truncated: {size} bytes, but it needs {needed} or more; copy or export it again")


def _check_pages(file: tifffile.TiffFile, where: str) -> None:
    """Raise DataError when pages differ, or hold voxels past the end of the file, or colours."""
    first = file.pages.first
    size = file.filehandle.size
    for index, page in enumerate(file.pages):
        if page.shape != first.shape or page.dtype != first.dtype:
            raise DataError(
                f"{where}, slice {index}: {page.shape} {page.dtype}, but slice 0 is {first.shape} {first.dtype}; "
                "save one stack of equal slices"
            )
        end = max(
            (offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)), default=0
        )
        if end > size:
            raise _truncated(f"{where}, slice {index}", end, size)
    if len(first.shape) != 2:
        raise DataError(f"{where}: is a colour image of shape {first.shape}; {COLOUR_CURE}")


def _only_series(file: tifffile.TiffFile, where: str) -> tifffile.TiffPageSeries | None:
    """The stack as its metadata describe it; None when they describe single pages, which then are the stack."""
    if len(file.series) != 1:
        return None
    series = file.series[0]
    if any(axis == "C" and length > 1 for axis, length in zip(series.axes, series.shape, strict=True)):
        raise DataError(f"{where}: has several channels; {COLOUR_CURE}")
    return series


def _voxel_size_nm(file: tifffile.TiffFile) -> VoxelSize | None:
    if file.is_imagej:
        return _imagej_voxel_size_nm(file)
    if file.is_ome and file.ome_metadata:
        return _ome_voxel_size_nm(file.ome_metadata)
    return None


def _imagej_voxel_size_nm(file: tifffile.TiffFile) -> VoxelSize | None:
    """From the pixels per unit of the first page, and the slice spacing and unit of ImageJ's description."""
    metadata = file.imagej_metadata or {}
    unit = str(metadata.get("unit", "")).replace("\\u00B5", "µ").lower()
    tags = file.pages.first.tags
    if unit not in _NANOMETRES or "spacing" not in metadata or "XResolution" not in tags or "YResolution" not in tags:
        return None
    (x_pixels, x_units), (y_pixels, y_units) = tags["XResolution"].value, tags["YResolution"].value
    if not x_pixels or not y_pixels:
        return None
    nanometres = _NANOMETRES[unit]
    return metadata["spacing"] * nanometres, y_units / y_pixels * nanometres, x_units / x_pixels * nanometres


def _ome_voxel_size_nm(xml: str) -> VoxelSize | None:
    """PhysicalSize of the first image; the unit is the micrometre where it is left out (OME model 2016-06)."""
    pixels = next((node for node in ElementTree.fromstring(xml).iter() if node.tag.endswith("}Pixels")), None)
    if pixels is None or any(f"PhysicalSize{axis}" not in pixels.attrib for axis in "ZYX"):
        return None
    units = [pixels.attrib.get(f"PhysicalSize{axis}Unit", "µm").lower() for axis in "ZYX"]
    if any(unit not in _NANOMETRES for unit in units):
        return None
    z, y, x = (float(pixels.attrib[f"PhysicalSize{a}"]) * _NANOMETRES[u] for a, u in zip("ZYX", units, strict=True))
    return z, y, x
