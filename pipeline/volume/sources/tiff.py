"""Multi-page TIFF: classic, BigTIFF, ImageJ and OME-TIFF (tifffile decodes; truncation is looked for here)."""

from __future__ import annotations

import struct
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

import numpy as np
import tifffile

from pipeline.errors import DataError
from pipeline.volume.sources.base import COLOUR_CURE, Location, PagedSource, VoxelSize, as_volume_shape, decoding

SUFFIXES = (".tif", ".tiff")

_NANOMETRES = {"nm": 1.0, "um": 1e3, "µm": 1e3, "μm": 1e3, "micron": 1e3, "microns": 1e3, "mm": 1e6, "å": 0.1}


class TiffSource(PagedSource):
    """A stack in one TIFF file."""

    def __init__(self, location: Location) -> None:
        assert location.path is not None
        self.location = location.text
        self._path = location.path
        with ExitStack() as undo, decoding(self.location):
            check_not_truncated(self._path)
            self._file = undo.enter_context(tifffile.TiffFile(self._path))
            self._series = _only_series(self._file, self.location)
            self.dtype = np.dtype(self._series.dtype).newbyteorder("=")
            self.shape_zyx = as_volume_shape(self._series.shape, self.location)
            self.voxel_size_nm = _voxel_size_nm(self._file)
            self._check_extent()
            undo.pop_all()

    @staticmethod
    def accepts(location: Location) -> bool:
        return location.suffix in SUFFIXES

    def page(self, z: int) -> np.ndarray:
        if self._series.dataoffset is None:
            return np.asarray(self._file.asarray(series=self._series, key=z))
        # ImageJ stacks above 4 GiB describe their first page only; the voxels of all follow in one run.
        _, height, width = self.shape_zyx
        stored = np.dtype(self._series.dtype).newbyteorder(self._file.byteorder)
        offset = self._series.dataoffset + z * height * width * stored.itemsize
        return np.fromfile(self._path, stored, height * width, offset=offset).reshape(height, width)

    def close(self) -> None:
        self._file.close()

    def _check_extent(self) -> None:
        if self._series.dataoffset is None and len(self._series.pages) < self.shape_zyx[0]:
            raise DataError(
                f"{self.location}: {len(self._series.pages)} of {self.shape_zyx[0]} pages are there; "
                "the file is truncated, export it again"
            )
        end = self._series.dataoffset + self._series.nbytes if self._series.dataoffset is not None else 0
        _check_size(self._path, end, self.location)


def read_page(path: Path) -> np.ndarray:
    """The slice in a TIFF of one page, shape (y, x)."""
    return np.asarray(tifffile.imread(path, key=0))


def page_header(path: Path) -> tuple[tuple[int, ...], np.dtype[np.generic], int]:
    """Shape and type of the first page, and the number of pages."""
    check_not_truncated(path)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        return page.shape, np.dtype(page.dtype).newbyteorder("="), len(file.pages)


def check_not_truncated(path: Path) -> None:
    """Raise DataError when the chain of pages, or the voxels of one, point past the end of the file.

    tifffile only logs the first and reads what is left. Layout: TIFF 6.0, section 2, and the BigTIFF extension.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        offset, layout = _first_directory(file, path)
        seen: set[int] = set()
        while offset and offset not in seen:
            seen.add(offset)
            offset = _next_directory(file, layout, offset, size, path)


def _first_directory(file: BinaryIO, path: Path) -> tuple[int, tuple[str, str, int]]:
    """Offset of the first directory, and how to read one: count format, offset format, bytes an entry."""
    file.seek(0)
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        raise DataError(f"{path}: is not a TIFF file; check the location or rename it")
    if struct.unpack(f"{order}H", head[2:4]) == (43,):
        return struct.unpack(f"{order}Q", head[8:16])[0], (f"{order}Q", f"{order}Q", 20)
    return struct.unpack(f"{order}I", head[4:8])[0], (f"{order}H", f"{order}I", 12)


def _next_directory(file: BinaryIO, layout: tuple[str, str, int], offset: int, size: int, path: Path) -> int:
    count_format, offset_format, entry_bytes = layout
    try:
        file.seek(offset)
        (entries,) = struct.unpack(count_format, file.read(struct.calcsize(count_format)))
        file.seek(entries * entry_bytes, 1)
        (following,) = struct.unpack(offset_format, file.read(struct.calcsize(offset_format)))
    except struct.error as error:
        raise _truncated(path, offset, size) from error
    return int(following)


def _check_size(path: Path, end: int, where: str) -> None:
    size = path.stat().st_size
    if end > size:
        raise _truncated(where, end, size)


def _truncated(where: object, needed: int, size: int) -> DataError:
    return DataError(f"{where}: truncated: {size} bytes, but it needs {needed} or more; copy or export it again")


def _only_series(file: tifffile.TiffFile, where: str) -> tifffile.TiffPageSeries:
    series = file.series
    if len(series) != 1:
        shapes = ", ".join(f"{part.shape} {part.dtype}" for part in series[:4])
        raise DataError(f"{where}: pages of different sizes or types ({shapes}); save one stack of equal slices")
    many = [axis for axis, length in zip(series[0].axes, series[0].shape, strict=True) if length > 1]
    if "S" in many or "C" in many:
        raise DataError(f"{where}: has several colours or channels; {COLOUR_CURE}")
    return series[0]


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
