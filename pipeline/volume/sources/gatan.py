"""Gatan's DigitalMicrograph files (DM3, DM4): a tree of tags, in which the voxels are one array.

Gatan has not published the layout; it is read as it is publicly described, and as ncempy 1.16 reads it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pipeline.errors import DataError
from pipeline.volume.geometry import ZyxNm, nanometres
from pipeline.volume.sources.base import Location, Opening, RunFormat, as_volume_shape, decoding
from pipeline.volume.sources.registry import register

SUFFIXES = (".dm3", ".dm4")

_GROUP, _VALUE = 20, 21
_STRUCT, _STRING, _ARRAY = 15, 18, 20
_CODES = {2: "i2", 3: "i4", 4: "u2", 5: "u4", 6: "f4", 7: "f8", 8: "u1", 9: "u1", 10: "i1", 11: "i8", 12: "u8"}
_VOXELS = {1: "i2", 2: "f4", 6: "u1", 7: "i4", 9: "i1", 10: "u2", 11: "u4", 12: "f8", 14: "u1", 39: "i8", 40: "u8"}
_DEEPEST, _MOST_TAGS, _LONGEST_TEXT = 32, 200_000, 4096


@dataclass(frozen=True)
class Image:
    """Where the voxels of a file lie: dtype, shape and byte offset; voxel size where a stack states it."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    size_nm: ZyxNm | None


@register
class GatanSource(RunFormat):
    """The image, or stack of images, of a DM3 or DM4 file; its preview is left out."""

    name = "Gatan DM3 or DM4"
    suffixes = SUFFIXES

    def __init__(self, location: Location, opening: Opening) -> None:
        assert location.path is not None
        self.location = location.text
        with decoding(self.location):
            image = image_of(location.path)
            self.shape_zyx = as_volume_shape(image.shape, self.location)
            self.voxel_size_nm = image.size_nm
            self._set_run(location.path, image.dtype, image.offset)

    @classmethod
    def refuse_references(cls, location: Location) -> None:
        """The format has none."""


def image_of(path: Path) -> Image:
    """The largest image of a file. Raises DataError where there is none that can be read."""
    with path.open("rb") as file:
        tags = dict(_Tags(file, path).all())
    images = {name.rpartition("/")[0] for name in tags if name.startswith("ImageList/") and name.endswith("/Data")}
    found = [image for name in images if (image := _image(tags, name, path))]
    if not found:
        raise DataError(f"{path}: holds no image; copy or export it again")
    return max(found, key=lambda image: prod(image.shape))


def _image(tags: dict[str, Any], name: str, path: Path) -> Image | None:
    data, kind = tags[f"{name}/Data"], tags.get(f"{name}/DataType")
    lengths = list(_numbered(tags, f"{name}/Dimensions/"))
    if not isinstance(data, tuple) or not lengths or not all(isinstance(length, int) for length in lengths):
        return None
    if kind not in _VOXELS:
        raise DataError(f"{path}: voxels of Gatan's type {kind}, such as colours; save it as integers or floats")
    offset, count, order = data
    dtype, shape = np.dtype(_VOXELS[kind]).newbyteorder(order), tuple(reversed(lengths))
    if min(shape) < 1 or prod(shape) * dtype.itemsize != count:
        raise DataError(f"{path}: its voxels are {count} bytes, but its dimensions are {shape}; export it again")
    calibration = f"{name}/Calibrations/Dimension/"
    scales = [tags.get(f"{calibration}{axis}/Scale") for axis in range(len(shape))]
    units = [nanometres(str(tags.get(f"{calibration}{axis}/Units", ""))) for axis in range(len(shape))]
    if len(shape) != 3 or not all(isinstance(scale, float) for scale in scales) or None in units:
        return Image(dtype, shape, offset, None)
    x, y, z = (float(scale or 0) * (unit or 0) for scale, unit in zip(scales, units, strict=True))
    return Image(dtype, shape, offset, (z, y, x))


def _numbered(tags: dict[str, Any], prefix: str) -> Iterator[Any]:
    number = 0
    while f"{prefix}{number}" in tags:
        yield tags[f"{prefix}{number}"]
        number += 1


class _Tags:
    """The tags of a file, by their path; those without a name are counted. An array is its offset, bytes and order."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path, self._count = file, path, 0
        self._size = file.seek(0, 2)
        file.seek(0)
        (self._version,) = self._numbers("i", 1)
        if self._version not in (3, 4):
            raise DataError(f"{path}: is no DM3 or DM4 file; check the location or rename it")
        self._long = "i" if self._version == 3 else "q"
        self._numbers(self._long, 1)
        self._order = "<" if self._numbers("i", 1)[0] == 1 else ">"

    def all(self, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
        """Path and value of every tag below a group, at whose start the file is."""
        self._numbers("b", 2)
        (entries,) = self._numbers(self._long, 1)
        unnamed = 0
        for _ in range(entries):
            (kind,), (length,) = self._numbers("B", 1), self._numbers("H", 1)
            name = self._bytes(length).decode("latin-1")
            if not name:
                name, unnamed = str(unnamed), unnamed + 1
            if self._version == 4:
                self._numbers("q", 1)
            self._count += 1
            if depth > _DEEPEST or self._count > _MOST_TAGS or kind not in (_GROUP, _VALUE):
                raise DataError(f"{self._path}: its tags are damaged; copy or export it again")
            if kind == _GROUP:
                yield from self.all(f"{prefix}{name}/", depth + 1)
            else:
                yield f"{prefix}{name}", self._value()

    def _value(self) -> Any:
        self._bytes(4)
        (length,) = self._numbers(self._long, 1)
        info = self._numbers(self._long, length)
        if info[0] in _CODES:
            (value,) = struct.unpack(f"{self._order}{np.dtype(_CODES[info[0]]).char}", self._bytes(_size(info[:1])))
            return value
        size = _size(info)
        offset = self._file.tell()
        if size < 0 or offset + size > self._size:
            raise DataError(
                f"{self._path}: truncated: {self._size} bytes, but it needs {offset + size} or more; copy it again"
            )
        is_text = info[0] == _STRING or (info[0] == _ARRAY and info[1] == 4)
        if is_text and size <= _LONGEST_TEXT:
            return self._bytes(size).decode("utf-16-le" if self._order == "<" else "utf-16-be", "replace")
        self._file.seek(size, 1)
        return offset, size, self._order

    def _numbers(self, kind: str, count: int) -> tuple[int, ...]:
        """Whole numbers of the structure, which are big-endian."""
        if not 0 <= count <= _LONGEST_TEXT:
            raise DataError(f"{self._path}: its tags are damaged; copy or export it again")
        return struct.unpack(f">{count}{kind}", self._bytes(count * struct.calcsize(f">{kind}")))

    def _bytes(self, count: int) -> bytes:
        content = self._file.read(count)
        if len(content) < count:
            raise DataError(f"{self._path}: truncated: its tags end after {self._size} bytes; copy it again")
        return content


def _size(info: tuple[int, ...]) -> int:
    """Bytes of what a tag's description says: a number, a struct, a text, or an array of numbers or structs."""
    kind, *rest = info
    if kind == _STRUCT:
        return sum(np.dtype(_CODES[code]).itemsize for code in rest[3::2][: rest[1]])
    if kind == _STRING:
        return 2 * rest[0]
    if kind == _ARRAY:
        return _size(tuple(rest[:-1])) * rest[-1]
    return np.dtype(_CODES[kind]).itemsize
