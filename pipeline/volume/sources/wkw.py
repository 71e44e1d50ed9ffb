"""webKnossos' own format, WKW: cubes of blocks in Morton order, in a dataset that says where its layers end.

By the specification in scalableminds/webknossos-wrap (MIT), and that of ``datasource-properties.json``. A reader of our
own, since the `webknossos` library is under AGPL-3, and `wkw` is made for Linux on x86 alone.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from pipeline.errors import DataError
from pipeline.volume.geometry import Block, Zyx, ZyxNm, nanometres, zyx
from pipeline.volume.sources.base import COLOUR_CURE, Format, Location, Opening, decoding
from pipeline.volume.sources.policy import Limits, refuse_large
from pipeline.volume.sources.registry import register

PROPERTIES, HEADER = "datasource-properties.json", "header.wkw"
_TYPES = ("u1", "<u2", "<u4", "<u8", "<f4", "<f8", "i1", "<i2", "<i4", "<i8")
"""By their numbers, from 1; the signed ones are in no specification, but in `wkw` since 1.1."""
_RAW, _LZ4 = 1, (2, 3)
_HEADER = struct.Struct("<3sBBBBBQ")
_ENDS = struct.Struct("<QQ")
_FIRST_END = 8
"""Where the table of the blocks' ends begins, if the start of the first is taken for one."""
_MOST_BLOCK_BYTES = 2**31


@dataclass(frozen=True)
class _Header:
    """How the blocks of a cube are stored; `data_offset` is 0 in the header of all cubes."""

    version: int
    block_bits: int
    cube_bits: int
    block_type: int
    dtype: np.dtype[Any]
    data_offset: int = 0

    @classmethod
    def read(cls, file: IO[bytes], where: str) -> _Header:
        """Raises DataError for what is no header, or of a kind that is not known."""
        magic, version, sides, kind, voxel_type, voxel_bytes, offset = _HEADER.unpack(file.read(_HEADER.size))
        if magic != b"WKW" or version != 1 or kind not in (_RAW, *_LZ4) or not 1 <= voxel_type <= len(_TYPES):
            raise DataError(f"{where}: a WKW header that is not known (version {version}, type {kind}, {voxel_type})")
        dtype = np.dtype(_TYPES[voxel_type - 1])
        if voxel_bytes != dtype.itemsize:
            raise DataError(f"{where}: has several channels; {COLOUR_CURE}")
        return cls(version, sides & 15, sides >> 4, kind, dtype, offset)

    @property
    def block_bytes(self) -> int:
        """Of a block's voxels."""
        return self.dtype.itemsize << 3 * self.block_bits

    def is_like(self, other: _Header) -> bool:
        """Whether blocks are stored in the same way."""
        return {**vars(self), "data_offset": 0} == {**vars(other), "data_offset": 0}


@register
class WkwSource(Format):
    """One magnification of a layer of a dataset: the finest, or the one that is named."""

    name = "webKnossos dataset (WKW)"
    has_levels = True

    def __init__(self, location: Location, opening: Opening) -> None:
        assert location.path is not None
        self.location = location.text
        with decoding(self.location):
            given = location.path / (location.inner or "")
            beyond = None if opening.policy.follows_references else location.path
            top = _dataset_of(given, beyond, self.location)
            layer, names = _layer(_properties(top), given.relative_to(top).parts, self.location)
            mag = _magnification(top, layer, names, location.cut.level, self.location)
            self._folder = mag.folder
            with (mag.folder / HEADER).open("rb") as file:
                self._header = header = _Header.read(file, self.location)
            self.dtype, self.chunk_bytes = header.dtype.newbyteorder("="), header.block_bytes
            refuse_large(self.location, 0, self.chunk_bytes, Limits(piece_bytes=_MOST_BLOCK_BYTES))
            self._first_zyx, self.shape_zyx = mag.first_zyx, mag.shape_zyx
            self.voxel_size_nm = _size_nm(_properties(top).get("scale"), mag.factors_zyx)
            self.densest = opening.policy.limits.sparse_ratio
            if not opening.policy.follows_references:
                self.stored_bytes = sum(path.stat().st_size for path in mag.folder.rglob("*.wkw"))

    @classmethod
    def accepts(cls, location: Location) -> bool:
        if location.path is None:
            return False
        if location.inner and (location.path / PROPERTIES).is_file():
            return True
        place = location.path / (location.inner or "")
        return any(found for depth in ("", "*/", "*/*/") for found in place.glob(f"{depth}{HEADER}"))

    @classmethod
    def refuse_references(cls, location: Location) -> None:
        """Places of magnifications that lead out of their dataset are refused for whomever."""

    @classmethod
    def parts(cls, location: Location) -> dict[str, tuple[int, ...]]:
        if location.path is None or not (location.path / PROPERTIES).is_file():
            return {}
        with decoding(location.text):
            layers = _wkw_layers(_properties(location.path))
            return {name: _box(layer, (1, 1, 1), location.text)[1] for name, layer in layers.items()}

    def read_block(self, block: Block) -> np.ndarray:
        with decoding(self.where(block.start_zyx[0])):
            out = np.zeros(block.shape_zyx, self.dtype)
            wanted = block.shift(self._first_zyx)
            for cube in _cells(wanted, self._header.block_bits + self._header.cube_bits):
                z, y, x = cube
                with suppress(FileNotFoundError), (self._folder / f"z{z}/y{y}/x{x}.wkw").open("rb") as file:
                    self._read_cube(file, cube, wanted, out)
            return out

    def _read_cube(self, file: IO[bytes], cube: Zyx, wanted: Block, out: np.ndarray) -> None:
        """Put what a cube holds of the voxels that are wanted in their places."""
        header, side = _Header.read(file, file.name), 1 << self._header.block_bits
        if not header.is_like(self._header):
            raise DataError(f"{file.name}: is stored otherwise than the {HEADER} of all cubes says; export it again")
        whole = _block_at(cube, header.block_bits + header.cube_bits).intersect(wanted)
        assert whole is not None
        for place in _cells(whole, header.block_bits):
            number = _morton([at & (1 << header.cube_bits) - 1 for at in place])
            content = np.frombuffer(_content(file, header, number), header.dtype).reshape(side, side, side)
            stored = _block_at(place, header.block_bits)
            part = stored.intersect(wanted)
            assert part is not None
            inside = part.relative_to(stored)
            out[part.relative_to(wanted).slices] = content[inside.slices]


def _content(file: IO[bytes], header: _Header, number: int) -> bytes:
    """The voxels of a block of a cube, x fastest."""
    import imagecodecs  # slow to import

    if header.block_type == _RAW:
        file.seek(header.data_offset + number * header.block_bytes)
        content = file.read(header.block_bytes)
    else:
        file.seek(_FIRST_END + number * 8)
        start, stop = _ENDS.unpack(file.read(_ENDS.size))
        if not 0 < stop - start <= 2 * header.block_bytes + 64:  # what cannot be packed becomes a little longer
            raise DataError(f"{file.name}: block {number} from {start} to {stop}; it is damaged, export it again")
        file.seek(start)
        content = bytes(imagecodecs.lz4_decode(file.read(stop - start), out=header.block_bytes))
    if len(content) != header.block_bytes:
        raise DataError(f"{file.name}: truncated: block {number} is not whole; copy or export it again")
    return content


def _morton(place_zyx: Sequence[int]) -> int:
    """The number of a block in its cube: the bits of x, y and z in turn, from the lowest."""
    z, y, x = place_zyx
    return sum((x >> bit & 1 | (y >> bit & 1) << 1 | (z >> bit & 1) << 2) << 3 * bit for bit in range(16))


def _cells(block: Block, bits: int) -> Iterator[Zyx]:
    """The cubes of a side of 2^bits voxels that a block touches, by their places among them."""
    spans = zip(block.start_zyx, block.stop_zyx, strict=True)
    return (
        zyx(place, "cube")
        for place in product(*(range(start >> bits, (stop - 1 >> bits) + 1) for start, stop in spans))
    )


def _block_at(place_zyx: Zyx, bits: int) -> Block:
    return Block(zyx([at << bits for at in place_zyx], "start"), zyx([at + 1 << bits for at in place_zyx], "stop"))


# --- the dataset


@dataclass(frozen=True)
class _Magnification:
    """Where one is, and its first voxel and its shape in its own voxels."""

    folder: Path
    factors_zyx: Zyx
    first_zyx: Zyx
    shape_zyx: Zyx


def _dataset_of(given: Path, beyond: Path | None, where: str) -> Path:
    """The folder of the dataset that a place is, or is a layer or a magnification of; not outside of `beyond`."""
    for folder in (given, given.parent, given.parent.parent):
        if (beyond is None or folder.is_relative_to(beyond)) and (folder / PROPERTIES).is_file():
            return folder
    raise DataError(
        f"{where}: cubes of webKnossos without the {PROPERTIES} of their dataset, which says where the volume ends; "
        "give the dataset's folder, with all that is in it"
    )


def _properties(top: Path) -> Mapping[str, Any]:
    content = json.loads((top / PROPERTIES).read_text(encoding="utf-8"))
    assert isinstance(content, dict), f"{PROPERTIES} holds no object"
    return content


def _wkw_layers(properties: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {str(layer["name"]): layer for layer in properties["dataLayers"] if layer.get("dataFormat") == "wkw"}


def _layer(properties: Mapping[str, Any], inside: Sequence[str], where: str) -> tuple[Mapping[str, Any], Sequence[str]]:
    """The layer that is meant, and what stands behind it of the place in the dataset."""
    layers = _wkw_layers(properties)
    if not inside and len(layers) == 1:
        return next(iter(layers.values())), ()
    if not inside or inside[0] not in layers:
        raise DataError(f"{where}: name one layer, as in {where}:/color: it has {', '.join(layers) or 'none in WKW'}")
    return layers[inside[0]], inside[1:]


def _magnification(top: Path, layer: Mapping[str, Any], names: Sequence[str], level: int, where: str) -> _Magnification:
    known: dict[Zyx, Path] = {}
    for entry in layer.get("mags") or layer.get("wkwResolutions") or ():
        stated = entry.get("mag", entry.get("resolution"))
        x, y, z = map(_whole, [stated] * 3 if isinstance(stated, int) else stated)
        known[z, y, x] = _folder(top, str(layer["name"]), (z, y, x), entry.get("path"), where)
    if not known or min(map(min, known)) < 1:
        raise DataError(f"{where}: its {PROPERTIES} lists no magnifications; export it again")
    sizes = sorted(known, key=lambda factors: (prod(factors), factors))
    if names:
        sizes = [factors for factors in sizes if known[factors] == top / str(layer["name"]) / names[0]]
    if not level < len(sizes):
        listed = ", ".join(str(folder.relative_to(top)) for folder in known.values())
        raise DataError(f"{where}: has no such magnification; it has {listed}, the finest being level 0")
    factors = sizes[level]
    first_zyx, shape_zyx = _box(layer, factors, where)
    return _Magnification(known[factors], factors, first_zyx, shape_zyx)


def _folder(top: Path, layer: str, factors_zyx: Zyx, stated: Any, where: str) -> Path:
    """Of a magnification: as it is stated, else by its name, which is one number where all are the same."""
    if stated is not None:
        path = Path(str(stated))
        if path.is_absolute() or ".." in path.parts or ":" in str(stated):
            raise DataError(f"{where}: a magnification lies outside of the dataset, at {stated}; copy it into it")
        return top / path
    z, y, x = factors_zyx
    names = [*([str(x)] if x == y == z else []), f"{x}-{y}-{z}"]
    return next((top / layer / name for name in names if (top / layer / name).is_dir()), top / layer / names[0])


def _box(layer: Mapping[str, Any], factors_zyx: Zyx, where: str) -> tuple[Zyx, Zyx]:
    """First voxel and shape of a layer in a magnification; it holds whatever it covers a part of."""
    box = layer["boundingBox"]
    first = [_whole(number) for number in reversed(box["topLeft"])]
    lengths = [_whole(box[side]) for side in ("depth", "height", "width")]
    if min(first) < 0 or min(lengths) < 1:
        raise DataError(f"{where}: the box of layer {layer['name']} starts at {first} with sides {lengths} (z, y, x)")
    starts = [start // factor for start, factor in zip(first, factors_zyx, strict=True)]
    stops = [-(-(start + side) // factor) for start, side, factor in zip(first, lengths, factors_zyx, strict=True)]
    return zyx(starts, "start"), zyx([stop - start for start, stop in zip(starts, stops, strict=True)], "shape")


def _whole(number: Any) -> int:
    if type(number) is not int:
        raise ValueError(f"{PROPERTIES} has {number!r} where voxels are counted")
    return number


def _size_nm(scale: Any, factors_zyx: Zyx) -> ZyxNm | None:
    """Of a magnification; numbers alone are nanometres."""
    sizes, unit = (scale.get("factor"), scale.get("unit", "nanometer")) if isinstance(scale, Mapping) else (scale, "nm")
    length = nanometres(str(unit))
    if length is None or not isinstance(sizes, list) or len(sizes) != 3:
        return None
    z, y, x = (float(size) * length * factor for size, factor in zip(reversed(sizes), factors_zyx, strict=True))
    return z, y, x
