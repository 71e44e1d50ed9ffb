"""What every input format offers: slices, or blocks, of one volume (z, y, x)."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from math import inf, prod
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import numpy as np

from pipeline.errors import DataError, InputError, VemsegError
from pipeline.volume.geometry import Block, Zyx, ZyxNm
from pipeline.volume.objects import local_directory
from pipeline.volume.sources.cut import ALL, Cut
from pipeline.volume.sources.policy import Policy
from pipeline.volume.stores import MOST_STATES, State, Store

Dimensions = tuple[int | None, int, int]
"""Which dimensions of an array are z, y and x; z is None for a single slice."""

COLOUR_CURE = "convert it to greyscale first (in Fiji: Image > Type > 8-bit), or export a single channel"


@dataclass(frozen=True)
class Location:
    """Where an input lies: a local path or a URL, the part of the file after ``:/``, and what of it is taken."""

    text: str
    path: Path | None
    inner: str | None
    cut: Cut = ALL

    @classmethod
    def parse(cls, text: str, base: Path) -> Location:
        """Read a path or URL, with or without ``:/inner`` and a cut behind it; relative paths start at `base`."""
        whole, cut = Cut.split(text)
        if "://" in whole:
            url, inner = _split_url(whole)
            return cls(text, local_directory(url), _checked_inner(inner, text), cut)
        match = re.fullmatch(r"(?P<path>.+?)(?::(?P<inner>/.*))?", whole, re.DOTALL)
        if match is None:
            raise InputError("an input location is empty; give a file, a folder or a URL")
        return cls(text, base / Path(match["path"]).expanduser(), _checked_inner(match["inner"] or "", text), cut)

    @property
    def url(self) -> str:
        """A URL without what stands behind it."""
        return _split_url(Cut.split(self.text)[0])[0]

    @property
    def suffix(self) -> str:
        """The file name's ending in lower case, such as ``.tif``; empty for a folder or a remote place."""
        return self.path.suffix.lower() if self.path is not None and self.path.is_file() else ""


# As Neuroglancer writes the format of a place: `precomputed://gs://…`, or `gs://…/|neuroglancer-precomputed:`.
_KIND_BEFORE = re.compile(r"(?:precomputed|n5|zarr[23]?)://(?=\w+://)")
_KIND_BEHIND = re.compile(r"\|(?:neuroglancer-precomputed|n5|zarr[23]?):$")


def _split_url(text: str) -> tuple[str, str]:
    text = _KIND_BEHIND.sub("", _KIND_BEFORE.sub("", text, count=1))
    scheme, _, rest = text.partition("://")
    place, _, inner = rest.partition(":/")
    return f"{scheme}://{place}", inner


def _checked_inner(inner: str, text: str) -> str | None:
    if ".." in inner.split("/"):
        raise InputError(f"{text}: the part after ':/' must not contain '..'")
    return inner.strip("/") or None


class Source(ABC):
    """One volume of an input file, read slice by slice or block by block; use it as a context manager.

    location: as the user wrote it. shape_zyx: voxels. dtype: of a voxel in the file.
    origin_zyx: where its first voxel is in the whole volume, of which it may be a box.
    axes_found: names of the axes in the order of the file, where it names them, else empty.
    voxel_size_nm: (z, y, x) where the file states it with a unit, else None.
    voxel_size_note: a sentence for the user where the file states a voxel size that cannot be believed, else empty.
    slices_at_once: how many whole slices are decoded to read any block; 0 where a block costs its own voxels.
    slice_numbers: of slices in files of their own, as their names have them; else empty.
    chunk_bytes: what is decoded at once to read any voxel, where that is not a slice.
    fetched_zyx: chunk of the whole volume that is fetched at once to read any voxel of a remote one; None for files.
    stored_bytes, densest: bytes of the files, and of voxels that one of them can be at most; None where unknown, or
    where each slice was looked at.
    """

    location: str
    shape_zyx: Zyx
    dtype: np.dtype[Any]
    origin_zyx: Zyx = (0, 0, 0)
    axes_found: str = ""
    voxel_size_nm: ZyxNm | None = None
    voxel_size_note: str = ""
    slices_at_once: int = 0
    slice_numbers: tuple[Decimal, ...] = ()
    chunk_bytes: int = 0
    fetched_zyx: Zyx | None = None
    stored_bytes: int | None = None
    densest: float = inf

    @abstractmethod
    def read_block(self, block: Block) -> np.ndarray:
        """The voxels of a block. Raises DataError naming file and slice when they cannot be read."""

    def read(self, z_start: int, z_stop: int) -> np.ndarray:
        """Whole slices from `z_start` up to, not including, `z_stop`; shape (z, y, x)."""
        _, height, width = self.shape_zyx
        return self.read_block(Block((z_start, 0, 0), (z_stop, height, width)))

    def states(self, block: Block) -> tuple[State, ...] | None:
        """Of the objects in a remote place in which a block lies, and of those that say how; None for files.

        Also None where they are more than can be asked for one by one.
        """
        return None

    @property
    def size_bytes(self) -> int:
        """Of all voxels, as they are in the file."""
        return prod(self.shape_zyx) * self.dtype.itemsize

    def where(self, z: int) -> str:
        """How to name one slice in a message."""
        return f"{self.location}, slice {z}"

    def close(self) -> None:  # noqa: B027 - most formats hold nothing open
        """Release files and temporary folders."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Box(Source):
    """A box of a source, as a volume of its own."""

    def __init__(self, source: Source, block: Block, location: str) -> None:
        self._source, self.origin_zyx = source, block.start_zyx
        self.location, self.shape_zyx, self.dtype = location, block.shape_zyx, source.dtype
        self.axes_found, self.chunk_bytes = source.axes_found, source.chunk_bytes
        self.fetched_zyx = source.fetched_zyx
        self.voxel_size_nm, self.voxel_size_note = source.voxel_size_nm, source.voxel_size_note
        self.slices_at_once = source.slices_at_once
        self.slice_numbers = source.slice_numbers[block.slices[0]]

    def read_block(self, block: Block) -> np.ndarray:
        return self._source.read_block(block.shift(self.origin_zyx))

    def states(self, block: Block) -> tuple[State, ...] | None:
        return self._source.states(block.shift(self.origin_zyx))

    def where(self, z: int) -> str:
        return self._source.where(z + self.origin_zyx[0])

    def close(self) -> None:
        self._source.close()


@dataclass(frozen=True)
class Opening:
    """How a source is opened.

    policy: see `Policy`. gaps_allowed: whether the numbers of slices in a folder may have gaps.
    labels: whether voxels are ids or masks, which no table of greys changes.
    """

    policy: Policy
    gaps_allowed: bool = False
    labels: bool = False


class Format(Source):
    """A source that is an entry of the registry: a way in which volumes are stored.

    name: for messages. suffixes: of its files, in lower case; none for folders. extra: of vemseg's optional
    dependencies, which it needs. has_levels: whether other levels of a pyramid than the finest can be asked for.
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    has_levels: ClassVar[bool] = False

    @abstractmethod
    def __init__(self, location: Location, opening: Opening) -> None:
        """Read the headers, and compare what they claim with what is there; voxels are read later."""

    @classmethod
    def accepts(cls, location: Location) -> bool:
        """Whether a location is of this format, by its name or what lies in its folder."""
        path = location.path
        return path is not None and path.is_file() and path.name.lower().endswith(cls.suffixes)

    @classmethod
    @abstractmethod
    def refuse_references(cls, location: Location) -> None:
        """Raise DataError where voxels or metadata lie in other files, before any of those is opened."""

    @classmethod
    def parts(cls, location: Location) -> dict[str, tuple[int, ...]]:
        """Name and shape of each volume in a file of several, as written after ``:/``; empty where it has but one."""
        return {}

    @classmethod
    def voxels_beside(cls, location: Location) -> set[Path]:
        """Files in which voxels of a volume lie, where its own, which may be among them, names others."""
        return set()


Index = tuple[int | slice, ...]
"""What is taken of an array along each of its dimensions."""


@dataclass(frozen=True)
class Grid:
    """In which objects of a remote place the cells of an array lie.

    sides: of a cell, along each dimension of the array. key: of the object of a cell, by its place in the grid.
    descriptions: keys of what says how the array is stored.
    """

    place: Store
    sides: tuple[int, ...]
    key: Callable[[tuple[int, ...]], str]
    descriptions: tuple[str, ...]

    def within(self, index: Index) -> list[range]:
        """The cells that are touched, along each dimension."""
        spans = [slice(part, part + 1) if isinstance(part, int) else part for part in index]
        return [
            range(span.start // side, (span.stop - 1) // side + 1) for span, side in zip(spans, self.sides, strict=True)
        ]

    def states(self, index: Index) -> tuple[State, ...] | None:
        """Of the objects of these cells, and of the descriptions; None where there are too many to ask for."""
        cells = self.within(index)
        if prod(map(len, cells)) > MOST_STATES:
            return None
        return self.place.states_of([*self.descriptions, *map(self.key, product(*cells))])


class ArrayFormat(Format):
    """A format of which a library hands out any block of one array, whose dimensions may have names."""

    _grid: Grid | None = None

    def _take(
        self,
        array: Any,
        names: Sequence[str | None],
        chunks: tuple[int, ...] | None,
        shape_zyx: Zyx | None = None,
    ) -> Zyx | None:
        """Take in how an array of `self.dtype` is read.

        Args:
            array: has a shape and is indexed as NumPy's are.
            names: of its dimensions, if they have any.
            chunks: that it is stored in; None: in one run.
            shape_zyx: what of it is the volume, where that is not all.

        Returns:
            The edges of a chunk.
        """
        self._array, self.axes_found = array, listed(names)
        self._dimensions = volume_dimensions(array.shape, self.location, names)
        self.shape_zyx = shape_zyx or shape_of(array.shape, self._dimensions)
        chunk_zyx = shape_of(chunks, self._dimensions) if chunks else None
        self.slices_at_once = slices_per_chunk(chunk_zyx, self.shape_zyx)
        self.chunk_bytes = prod(chunks or ()) * self.dtype.itemsize
        return chunk_zyx

    def read_block(self, block: Block) -> np.ndarray:
        with decoding(self.where(block.start_zyx[0])):
            return np.asarray(read_dimensions(self._array, self._dimensions, block), self.dtype)

    def states(self, block: Block) -> tuple[State, ...] | None:
        if self._grid is None:
            return None
        return self._grid.states(index_of(self._dimensions, len(self._array.shape), block))


class PagedFormat(Format):
    """A format of which only whole pages can be decoded: slices, unless `order` says otherwise.

    order: which of page, row and column (0, 1, 2) z, y and x are.
    """

    slices_at_once = 1
    order: Zyx = (0, 1, 2)

    @abstractmethod
    def page(self, index: int) -> np.ndarray:
        """One page, shape (rows, columns)."""

    @property
    def stack_shape(self) -> Zyx:
        """Pages, rows and columns."""
        pages, rows, columns = (self.shape_zyx[self.order.index(place)] for place in range(3))
        return pages, rows, columns

    def read_block(self, block: Block) -> np.ndarray:
        pages, rows, columns = (block.slices[self.order.index(place)] for place in range(3))
        out = np.empty([part.stop - part.start for part in (pages, rows, columns)], self.dtype)
        for number, index in enumerate(range(pages.start, pages.stop)):
            with decoding(self.where(index)):
                page = self.page(index)
            if page.shape != self.stack_shape[1:]:  # NumPy would repeat a row
                raise DataError(
                    f"{self.where(index)}: {page.shape} pixels (y, x) where its metadata claim "
                    f"{self.stack_shape[1:]}; export it again"
                )
            out[number] = page[rows, columns]
        return out.transpose(self.order)


class RunFormat(PagedFormat):
    """Voxels in C order from a fixed offset.

    Slices are read, not mapped: a memory map also brings in the neighbours of what is touched, so that memory
    would grow with the volume.
    """

    def _set_run(
        self,
        path: Path,
        dtype: np.dtype[Any],
        offset: int,
        shape: tuple[int, ...] = (),
        dimensions: Dimensions = (0, 1, 2),
    ) -> None:
        """Take note of where the voxels lie, and of their dimensions where these are not z, y and x.

        Raises DataError when the file ends before they do.
        """
        self._path, self._stored, self._offset = path, dtype, offset
        self._shape, self._dimensions = shape, dimensions
        if not self._is_in_order:
            self.slices_at_once = 0
        self.dtype = dtype.newbyteorder("=")
        needed, size = offset + prod(self.shape_zyx) * dtype.itemsize, path.stat().st_size
        if size < needed:
            raise DataError(f"{self.location}: truncated: {size} bytes instead of {needed}; copy or export it again")

    @property
    def _is_in_order(self) -> bool:
        kept = [dimension for dimension in self._dimensions if dimension is not None]
        return kept == sorted(kept)  # others have length one

    def read_block(self, block: Block) -> np.ndarray:
        if self._is_in_order:
            return super().read_block(block)
        with decoding(self.where(block.start_zyx[0])):
            mapped = np.memmap(self._path, self._stored, "r", self._offset, self._shape)
            return np.array(read_dimensions(mapped, self._dimensions, block), self.dtype)

    def page(self, index: int) -> np.ndarray:
        return slice_of_run(self._path, self._stored, self._offset, self.shape_zyx, index)


def slice_of_run(path: Path, dtype: np.dtype[Any], offset: int, shape_zyx: Zyx, z: int) -> np.ndarray:
    """One slice (y, x) of the voxels that follow each other from an offset in bytes."""
    _, height, width = shape_zyx
    start = offset + z * height * width * dtype.itemsize
    return np.fromfile(path, dtype, height * width, offset=start).reshape(height, width)


@contextmanager
def decoding(where: str) -> Iterator[None]:
    """Report any failure of a decoder as damage to the input named by `where`."""
    try:
        yield
    except (VemsegError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise DataError(f"{where}: no such file; check the location") from error
    except PermissionError as error:
        raise InputError(f"{where}: access denied; check the permissions") from error
    except Exception as error:  # decoders raise whatever they like on damaged files
        detail = str(error).split("\n", 1)[0][:200] or type(error).__name__
        raise DataError(f"{where}: cannot be read ({detail}); it may be truncated, export it again") from error


def as_grey(data: np.ndarray, where: str) -> np.ndarray:
    """The grey values (y, x) of pixels with channels (y, x, channel) that are equal, and opaque.

    Raises DataError for colours, and where something shows through.
    """
    if data.ndim == 2:
        return data
    greys, opacity = (data[..., :3], data[..., 3:]) if data.shape[-1] > 2 else (data[..., :1], data[..., 1:])
    opaque = 1 if data.dtype.kind in "bf" else np.iinfo(data.dtype).max
    if (greys != greys[..., :1]).any() or (opacity != opaque).any():
        raise DataError(f"{where}: is a colour image, or transparent; {COLOUR_CURE}")
    return np.ascontiguousarray(greys[..., 0])


def slices_per_chunk(chunks: tuple[int, ...] | None, shape: tuple[int, ...]) -> int:
    """`Source.slices_at_once` of an array stored in chunks; None stands for one run of voxels."""
    if chunks is None or chunks[-2:] != shape[-2:]:
        return 0
    return chunks[-3] if len(chunks) > 2 else 1


def as_volume_shape(shape: tuple[int, ...], where: str) -> Zyx:
    """(z, y, x) of an array of two or three dimensions; more are taken when they have length one."""
    return shape_of(shape, volume_dimensions(shape, where))


def volume_dimensions(shape: tuple[int, ...], where: str, names: Sequence[str | None] = ()) -> Dimensions:
    """Which dimensions of an array are z (None for a single slice), y and x.

    By their names where these hold z, y or x; else the last three are, once a channel of length one behind them, and
    what has length one before them, is left out. Raises DataError naming `where` for any other shape, and for names
    that are not one for each dimension.
    """
    known = [str(name).lower() for name in names]
    if {"z", "y", "x"} & set(known):
        if len(known) != len(shape) or not {"y", "x"} <= set(known) or len(set(known)) < len(known):
            raise DataError(f"{where}: has shape {shape}, and axes called {', '.join(known)}; name them z, y and x")
        kept = [known.index(axis) if axis in known else None for axis in "zyx"]
    else:
        left = list(range(len(shape)))
        while len(left) > 3 and 1 in (shape[left[-1]], shape[left[0]]):
            left.pop(-1 if shape[left[-1]] == 1 else 0)
        kept = [None, *left] if len(left) == 2 else [*left]
    others = [length for dimension, length in enumerate(shape) if dimension not in kept]
    if len(kept) != 3 or min(shape, default=0) < 1 or any(length > 1 for length in others):
        raise DataError(f"{where}: has shape {shape}; a volume has three axes (z, y, x), {COLOUR_CURE}")
    z, y, x = kept
    assert y is not None
    assert x is not None
    return z, y, x


def listed(names: Sequence[str | None]) -> str:
    """Names of dimensions as `Source.axes_found` has them; empty where they are not names of axes."""
    known = [str(name).lower() for name in names]
    return ", ".join(known) if {"y", "x"} <= set(known) else ""


def shape_of(lengths: Sequence[int], dimensions: Dimensions) -> Zyx:
    """Those of the lengths of an array's dimensions that are z, y and x."""
    z, y, x = dimensions
    return 1 if z is None else int(lengths[z]), int(lengths[y]), int(lengths[x])


def index_of(dimensions: Dimensions, count: int, block: Block) -> Index:
    """What a block (z, y, x) is of an array of `count` dimensions, of which all others have length one."""
    index: list[int | slice] = [0] * count
    for dimension, part in zip(dimensions, block.slices, strict=True):
        if dimension is not None:
            index[dimension] = part
    return tuple(index)


def read_dimensions(array: Any, dimensions: Dimensions, block: Block) -> np.ndarray:
    """A block (z, y, x) of an array whose dimensions have another order, or more of length one."""
    data = np.asarray(array[index_of(dimensions, len(array.shape), block)])
    kept = [dimension for dimension in dimensions if dimension is not None]
    return data.transpose([sorted(kept).index(dimension) for dimension in kept]).reshape(block.shape_zyx)
