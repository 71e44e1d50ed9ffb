"""Multi-page TIFF: classic, BigTIFF, ImageJ and OME-TIFF (tifffile decodes; truncation is looked for here)."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Sequence
from contextlib import ExitStack
from math import prod
from pathlib import Path
from typing import BinaryIO, NamedTuple
from xml.etree import ElementTree

import numpy as np
import tifffile

from pipeline.errors import DataError
from pipeline.volume.geometry import ZyxNm, nanometres
from pipeline.volume.sources.base import (
    COLOUR_CURE,
    Location,
    Opening,
    PagedFormat,
    as_grey,
    as_volume_shape,
    decoding,
    listed,
    shape_of,
    slice_of_run,
    volume_dimensions,
)
from pipeline.volume.sources.policy import DEFLATE_RATIO, refuse_lies
from pipeline.volume.sources.registry import register

SUFFIXES = (".tif", ".tiff")

# tifffile calls what was given to it without axes channels, or, of three or four, the planes of a colour image.
_SECTIONS_CURE = (
    "if these are the sections of a stack, write it again with tifffile.imwrite(..., photometric='minisblack', "
    "metadata={'axes': 'ZYX'}); else "
)

# Bytes that a stored byte can become at most, by the compression of a page: none, LZW, deflate (two numbers),
# PackBits; others, such as Zstandard, can be denser.
_RATIOS = {1: 1.0, 5: 2800.0, 8: DEFLATE_RATIO, 32946: DEFLATE_RATIO, 32773: 64.0}
_OTHER_RATIO = 1e5

_GREYS = (tifffile.PHOTOMETRIC.MINISWHITE, tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.PALETTE)
_COLOURS = (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR)  # which may all be greys

# Bytes of a value by its type in a directory.
_VALUE_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


@register
class TiffSource(PagedFormat):
    """A stack in one TIFF file: a page a slice, or (ImageJ above 4 GiB) one page before a run of all voxels."""

    name = "TIFF stack"
    suffixes = SUFFIXES

    def __init__(self, location: Location, opening: Opening) -> None:
        assert location.path is not None
        self.location = location.text
        self._path = location.path
        with ExitStack() as undo, decoding(self.location):
            check_not_truncated(self._path)
            self._file = undo.enter_context(_opened(self._path, opening.policy.follows_references))
            self._labels = opening.labels
            self._offsets, starts = _check_pages(self._file, self.location)
            first = self._file.pages.first
            pages, page_shape = len(self._file.pages), first.shape[:2] if first.axes == "YXS" else first.shape
            self.dtype = np.dtype(first.dtype).newbyteorder("=")
            self._depth = first.shape[0] if first.axes == "ZYX" else 1
            self._series = _only_series(self._file, self.location) if self._depth == 1 else None
            self._run_start = None
            if self._series is None:
                self.shape_zyx = as_volume_shape((pages * self._depth, *page_shape[-2:]), self.location)
                if self._depth > 1:
                    self.slices_at_once = first.tiledepth or 1
            else:
                axes, shape = _stack_of(self._series)
                z, y, x = volume_dimensions(shape, self.location, axes.lower())
                self.shape_zyx, self.axes_found = shape_of(shape, (z, y, x)), listed(axes.lower())
                if z is not None and (z, y, x) != (0, 1, 2):
                    self.order, self.slices_at_once = (z, y, x), 0
                self._run_start = _run_start(self._file, self._series, starts)
                if self._run_start is not None:
                    _check_end(self._run_start + prod(shape) * self.dtype.itemsize, self._path, self.location)
                _check_planes(self._series, self._file, self.stack_shape[0], self.location)
            _check_imagej_count(self._file, self.stack_shape[0], self.location)
            self.voxel_size_nm = _voxel_size_nm(self._file)
            self._layer: tuple[int, np.ndarray] | None = None
            if first.axes == "YXS":
                self.page(0)  # colours are refused before any work
            undo.pop_all()

    @classmethod
    def refuse_references(cls, location: Location) -> None:
        """An OME-TIFF may name the file in which a plane, or its description, lies."""
        assert location.path is not None
        with decoding(location.text):
            check_not_truncated(location.path)
            with tifffile.TiffFile(location.path) as file:
                for node in _ome_nodes(file.ome_metadata if file.is_ome else None, location.text):
                    named = {node.attrib.get("FileName"), node.attrib.get("MetadataFile")} - {None, location.path.name}
                    if named:
                        raise DataError(
                            f"{location.text}: is one part of an OME-TIFF of several files; export the stack into one "
                            "TIFF file"
                        )

    @classmethod
    def voxels_beside(cls, location: Location) -> set[Path]:
        assert location.path is not None
        with decoding(location.text), _opened(location.path, follows_references=True) as file:
            if not (file.is_ome or file.is_mmstack or file.is_ndtiff):
                return set()
            pages = (page for series in file.series for page in series.pages if page is not None)
            return {Path(page.parent.filehandle.path) for page in pages}

    def page(self, index: int) -> np.ndarray:
        if self._run_start is not None:
            stored = self.dtype.newbyteorder(self._file.byteorder)
            data = slice_of_run(self._path, stored, self._run_start, self.stack_shape, index)
            return as_meant(self._file.pages.first, data, self.where(index), labels=self._labels)
        if self._depth > 1:
            return self._volumetric_slice(index)
        listed = None if self._series is None else self._series.pages[index]
        if listed is not None and listed.parent is not self._file:
            with tifffile.TiffFile(listed.parent.filehandle.path, _multifile=False) as file:
                return self._decoded(file, listed.offset, index)
        return self._decoded(self._file, self._offsets[index] if listed is None else listed.offset, index)

    def _decoded(self, file: tifffile.TiffFile, offset: int, index: int) -> np.ndarray:
        """A page by its own tags: tifffile takes those of the first page for all pages of a series."""
        file.filehandle.seek(offset)
        page = tifffile.TiffPage(file, index=index)
        return as_meant(page, page.asarray(), self.where(index), labels=self._labels)

    def _volumetric_slice(self, z: int) -> np.ndarray:
        """A slice of pages of three dimensions (SGI's ImageDepth), of which a layer of tiles is decoded at once."""
        index, inside = divmod(z, self._depth)
        self._file.filehandle.seek(self._offsets[index])
        page = tifffile.TiffPage(self._file, index=index)
        depth = page.tiledepth or 1
        layer, inside = divmod(inside, depth)
        key = index * self._depth + layer
        if self._layer is None or self._layer[0] != key:
            tiles = len(page.dataoffsets) // -(-self._depth // depth)
            decoded = np.zeros((depth, *page.shape[1:]), self.dtype)
            for tile in range(layer * tiles, (layer + 1) * tiles):
                stored = self._file.filehandle.read_segments([page.dataoffsets[tile]], [page.databytecounts[tile]])
                data, (_, _, y, x, _), _ = page.decode(next(iter(stored))[0], tile, jpegtables=page.jpegtables)
                if data is not None:
                    inside_page = decoded[: data.shape[0], y : y + data.shape[1], x : x + data.shape[2]]
                    inside_page[...] = data[tuple(map(slice, inside_page.shape))][..., 0]
            self._layer = key, decoded
        return as_meant(page, self._layer[1][inside], self.where(z), labels=self._labels)

    def close(self) -> None:
        self._file.close()


def _stack_of(series: tifffile.TiffPageSeries) -> tuple[str, tuple[int, ...]]:
    """Names and lengths of the axes of a stack, without channels, time points and the like of which there is one.

    Names are Z, Y and X; none where the file does not name them.
    """
    colours = series.keyframe.axes == "YXS"
    lengths = list(zip(series.axes.upper(), series.shape, strict=True))[: -1 if colours else None]
    kept = [(axis, length) for axis, length in lengths if axis in "YX" or length > 1]
    shape = tuple(length for _, length in kept)
    if {axis for axis, _ in lengths} & {"Q", "I"} or not {"Y", "X"} <= {axis for axis, _ in kept}:
        return "", shape  # tifffile's names of a plain stack
    return "".join(axis if axis in "YX" else "Z" for axis, _ in kept), shape


def _check_planes(series: tifffile.TiffPageSeries, file: tifffile.TiffFile, planes: int, where: str) -> None:
    """Raise DataError where a description leaves out pages, counts more than there are, or takes one twice."""
    pages = len(file.pages)
    several = len({page.parent for page in series.pages if page is not None}) > 1
    if pages > 1 or several:
        named = [page for page in series.pages if page is not None]
        if len(named) < len(series.pages) or len(named) not in (1, planes):  # one alone begins a run of all voxels
            raise DataError(f"{where}: its description has no plane for {planes - len(named)} slices; export it again")
        if len({(page.parent.filehandle.path, page.index) for page in named}) < len(named):
            raise DataError(f"{where}: its description takes a plane for two slices; export it again")
    if pages != planes and not several and (pages > 1 or series.dataoffset is None):
        raise DataError(f"{where}: claims {planes} slices, but holds {pages}; export it again")


def _opened(path: Path, follows_references: bool) -> tifffile.TiffFile:
    if follows_references:
        return tifffile.TiffFile(path)
    # Micro-Manager's stacks name, or find by their names, the files in which they go on.
    return tifffile.TiffFile(path, _multifile=False, is_mmstack=False, is_ndtiff=False)


def read_page(path: Path, *, labels: bool) -> np.ndarray:
    """The slice in a TIFF of one page, shape (y, x)."""
    with tifffile.TiffFile(path) as file:
        return as_meant(file.pages.first, file.pages.first.asarray(), str(path), labels=labels)


def as_meant(page: tifffile.TiffPage, data: np.ndarray, where: str, *, labels: bool) -> np.ndarray:
    """Voxels by a page's photometric interpretation (TIFF 6.0, section 8).

    Where white is zero, grey values are turned round, and so are masks of one bit; ids and masks of more bits are the
    numbers themselves, as ImageJ's own masks with an inverting table are. A table of greys gives grey values; of
    labels, and of colours that only show them, the numbers count. Colours whose channels are equal are grey.
    """
    data = as_grey(data, where)
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and (not labels or page.bitspersample == 1):
        if data.dtype.kind == "b":
            if page.parent.is_shaped:  # a NumPy array, in which tifffile makes 1 black unless it is told otherwise
                if labels:
                    raise DataError(
                        f"{where}: a mask of one bit that does not tell whether 0 or 1 was drawn; save it as uint8"
                    )
                return data
            return np.asarray(np.logical_not(data))
        turned = data if data.dtype.kind == "f" else 2**page.bitspersample - 1 - data.astype(np.int64)
        return np.asarray(turned, data.dtype)
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE and not labels and page.colormap is not None:
        red, green, blue = page.colormap
        if (red == green).all() and (red == blue).all():
            return np.asarray(np.asarray(red >> (16 - 8 * data.dtype.itemsize), data.dtype)[data])
    return np.asarray(data)


def _run_start(file: tifffile.TiffFile, series: tifffile.TiffPageSeries, starts: Sequence[int]) -> int | None:
    """Where the voxels of a series begin, if they follow each other; several pages are then like the first.

    starts: of the voxels of each page, by its own tags; tifffile takes them for equally far apart.
    """
    first = file.pages.first
    if series.dataoffset is None or len(first.shape) > 2 or first.bitspersample != 8 * np.dtype(first.dtype).itemsize:
        return None
    if any(start != starts[0] + index * first.nbytes for index, start in enumerate(starts)):
        return None
    alike = {(page.keyframe.compression, page.keyframe.photometric) for page in file.pages if page.keyframe}
    return int(series.dataoffset) if alike == {(1, first.photometric)} else None


def page_header(path: Path) -> tuple[tuple[int, ...], np.dtype[np.generic], int]:
    """Shape and type of the first page, and the number of pages."""
    check_not_truncated(path)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        _refuse_meaning(page, str(path))
        _refuse_lies(page, str(path))
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
        while offset:
            if offset in seen:
                raise DataError(f"{path}: its list of pages goes round in a circle; it is damaged, export it again")
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
        entry_bytes = count * struct.calcsize(layout.entry)
        if offset + entry_bytes > size:
            raise _truncated(path, offset + entry_bytes, size)
        entries = struct.iter_unpack(layout.entry, file.read(entry_bytes))
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


def _check_pages(file: tifffile.TiffFile, where: str) -> tuple[list[int], list[int]]:
    """Raise DataError when pages differ, or hold voxels past the end of the file, or colours.

    Returns:
        Where the directory of each page begins, and where its voxels do.
    """
    offsets, starts = [], []
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
        _refuse_meaning(page, f"{where}, slice {index}")
        _refuse_lies(page, f"{where}, slice {index}")
        offsets.append(int(page.offset))
        starts.append(int(page.dataoffsets[0]) if page.dataoffsets else 0)
    if first.axes not in ("YX", "ZYX") and (first.axes != "YXS" or first.shape[2] > 4):
        cure = _SECTIONS_CURE if first.axes == "SYX" else ""
        raise DataError(f"{where}: is a colour image of shape {first.shape}; {cure}{COLOUR_CURE}")
    return offsets, starts


def _refuse_meaning(page: tifffile.TiffPage | tifffile.TiffFrame, where: str) -> None:
    """Raise DataError for numbers that are no grey values, ids or colours of a table (TIFF 6.0, section 8)."""
    first = page.keyframe
    assert first is not None, "a page has a key frame, which may be itself"
    if first.photometric not in _GREYS and not (first.photometric in _COLOURS and first.samplesperpixel > 1):
        name = getattr(first.photometric, "name", first.photometric)
        raise DataError(f"{where}: its photometric interpretation is {name}, no grey values; {COLOUR_CURE}")


def _refuse_lies(page: tifffile.TiffPage | tifffile.TiffFrame, where: str) -> None:
    """Compare the size of a page, and of its tiles, with what is stored of it."""
    first, stored = page.keyframe, sum(page.databytecounts)
    assert first is not None, "a page has a key frame, which may be itself"
    itemsize = np.dtype(first.dtype).itemsize
    ratio = _RATIOS.get(int(first.compression), _OTHER_RATIO) * 8 * itemsize / first.bitspersample
    for voxels in (prod(first.shape), prod(first.chunks)):
        refuse_lies(where, voxels * itemsize, stored, ratio)


def _only_series(file: tifffile.TiffFile, where: str) -> tifffile.TiffPageSeries | None:
    """The stack as its metadata describe it; None when they describe single pages, which then are the stack."""
    _check_ome_counts(file, where)
    if _differ(file):
        _check_names(file, None, where)
        return None
    series = file.series[0] if file.series else None
    _check_names(file, series if len(file.series) == 1 else None, where)
    if file.is_ome and (series is None or len(file.series) > 1 or series.kind != "ome"):
        raise DataError(
            f"{where}: its OME metadata do not describe one stack of its pages: of several images, or planes that it "
            "does not hold; export one image into one TIFF file"
        )
    if series is None or len(file.series) > 1:
        if any(len(each) > 1 for each in file.series):
            raise DataError(f"{where}: holds {len(file.series)} stacks; export each into a file of its own")
        return None
    lengths = dict(zip(series.axes, series.shape, strict=True))
    if lengths.get("T", 1) > 1 and lengths.get("Z", 1) > 1:
        raise DataError(
            f"{where}: has {lengths['T']} time points of {lengths['Z']} slices; save one of them (in Fiji: Image > "
            "Duplicate, with one frame)"
        )
    if lengths.get("C", 1) > 1:
        cure = _SECTIONS_CURE if lengths.get("Z", 1) == 1 else ""
        raise DataError(f"{where}: has several channels; {cure}{COLOUR_CURE}")
    return series


def _check_names(file: tifffile.TiffFile, series: tifffile.TiffPageSeries | None, where: str) -> None:
    """Raise DataError where tifffile's description calls axes what no volume has, or does not fit the pages."""
    described = {page.shaped_description for page in file.pages if isinstance(page, tifffile.TiffPage)} - {None}
    for metadata in map(json.loads, sorted(map(str, described))):
        if "axes" not in metadata:
            continue
        named = str(metadata["axes"]).upper()
        known = (named.count("Y"), named.count("X"), len(named)) == (1, 1, len(metadata["shape"]))
        if not known or not (named.rstrip("S").endswith("YX") or (series and series.kind == "shaped")):
            raise DataError(f"{where}: its axes are called {named}; write it again with those of a volume, ZYX")


def _differ(file: tifffile.TiffFile) -> bool:
    """Whether pages are stored in several ways, which tifffile takes for several series or none; each is a slice."""
    several = file.imagej_metadata or {} if file.is_imagej else {}
    if file.is_ome or any(int(several.get(name, 1)) > 1 for name in ("channels", "frames")):
        return False
    return len({page.hash for page in file.pages}) > 1


def _check_imagej_count(file: tifffile.TiffFile, slices: int, where: str) -> None:
    """Raise DataError where ImageJ's description counts more slices than tifffile found in the file."""
    claimed = int((file.imagej_metadata or {}).get("images", 1)) if file.is_imagej else 1
    if claimed > slices:
        raise DataError(f"{where}: truncated: of {claimed} slices it holds {slices}; copy or export it again")


def _check_ome_counts(file: tifffile.TiffFile, where: str) -> None:
    """Raise DataError where OME metadata count planes that are not there: tifffile makes a list of them first."""
    nodes = _ome_nodes(file.ome_metadata if file.is_ome else None, where)
    pages = _pages_of_all(file, nodes, where)
    for node in nodes:
        if _name(node) == "TiffData":
            numbers = [int(value) for value in node.attrib.values() if re.fullmatch(r"-?\d+", value)]
            claimed = -1 if min(numbers, default=0) < 0 else max(numbers, default=0)
        elif _name(node) == "Pixels":
            samples = prod(file.pages.first.shape[2:])
            counts = [int(node.attrib.get(f"Size{axis}", 1)) for axis in "ZCT"]
            claimed = -1 if min(counts) < 1 else prod(counts) // samples
            if not node.attrib.get("DimensionOrder", "").startswith("XY"):
                raise DataError(f"{where}: its OME metadata name no order of dimensions; export it again")
        elif "Along" in node.tag:
            claimed = int(float(node.attrib.get("End", 0)) - float(node.attrib.get("Start", 0)))
        else:
            continue
        if claimed < 0:
            raise DataError(f"{where}: its OME metadata count a number of planes below zero; export it again")
        if claimed > pages:
            raise DataError(f"{where}: its OME metadata claim {claimed} planes, but it holds {pages}; export it again")


def _pages_of_all(file: tifffile.TiffFile, nodes: Sequence[ElementTree.Element], where: str) -> int:
    """How many pages an OME-TIFF has, with those of the other files that its metadata name."""
    pages, own = len(file.pages), Path(file.filehandle.path)
    for name in sorted({node.attrib["FileName"] for node in nodes if "FileName" in node.attrib} - {own.name}):
        path = own.parent / name
        if not path.is_file():
            raise DataError(f"{where}: some of its planes lie in {name}, which is missing; copy it beside")
        check_not_truncated(path)
        with tifffile.TiffFile(path, _multifile=False) as other:
            _check_pages(other, str(path))
            pages += len(other.pages)
    return pages


def _voxel_size_nm(file: tifffile.TiffFile) -> ZyxNm | None:
    if file.is_imagej:
        return _imagej_voxel_size_nm(file)
    if file.is_ome and file.ome_metadata:
        return _ome_voxel_size_nm(file.ome_metadata)
    return None


def _imagej_voxel_size_nm(file: tifffile.TiffFile) -> ZyxNm | None:
    """From the pixels per unit of the first page, and the slice spacing and units of ImageJ's description.

    ImageJ takes the amount of a spacing below zero; y and z have the unit of x unless they name their own.
    """
    metadata = file.imagej_metadata or {}
    unit = str(metadata.get("unit", ""))
    lengths = [nanometres(str(metadata.get(f"{axis}unit", unit))) for axis in ("z", "y", "")]
    tags, spacing = file.pages.first.tags, metadata.get("spacing")
    known = [length for length in lengths if length is not None]
    if len(known) < 3 or not isinstance(spacing, int | float) or isinstance(spacing, bool):
        return None
    if "XResolution" not in tags or "YResolution" not in tags:
        return None
    (x_pixels, x_units), (y_pixels, y_units) = tags["XResolution"].value, tags["YResolution"].value
    if not x_pixels or not y_pixels:
        return None
    z_nm, y_nm, x_nm = known
    return abs(spacing) * z_nm, y_units / y_pixels * y_nm, x_units / x_pixels * x_nm


def _ome_voxel_size_nm(xml: str) -> ZyxNm | None:
    """PhysicalSize of the first image; the unit is the micrometre where it is left out (OME model 2016-06)."""
    pixels = next((node for node in _ome_nodes(xml, "") if _name(node) == "Pixels"), None)
    if pixels is None or any(f"PhysicalSize{axis}" not in pixels.attrib for axis in "ZYX"):
        return None
    lengths = [nanometres(pixels.attrib.get(f"PhysicalSize{axis}Unit", "µm")) for axis in "ZYX"]
    known = [length for length in lengths if length is not None]
    if len(known) < 3:
        return None
    z, y, x = (float(pixels.attrib[f"PhysicalSize{axis}"]) * length for axis, length in zip("ZYX", known, strict=True))
    return z, y, x


def _name(node: ElementTree.Element) -> str:
    """Of an element, without its namespace."""
    return node.tag.rpartition("}")[2]


def _ome_nodes(xml: str | None, where: str) -> list[ElementTree.Element]:
    """Every element of OME metadata. Raises DataError for what is no plain XML."""
    if not xml:
        return []
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        raise DataError(f"{where}: its OME metadata defines entities of its own; export it again")
    try:
        return list(ElementTree.fromstring(xml).iter())
    except ElementTree.ParseError as error:
        raise DataError(f"{where}: its OME metadata cannot be read ({error}); export it again") from error
