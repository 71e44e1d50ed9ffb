"""Boxes of voxels, the grids they form, and their place in nanometres. The order is z, y, x throughout."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import isfinite, prod

from pipeline.errors import InputError

Zyx = tuple[int, int, int]


def zyx(values: Sequence[int], name: str) -> Zyx:
    """Three integers, checked: a fraction is refused and never rounded.

    Raises InputError naming `name` for anything else.
    """
    try:
        z, y, x = (operator.index(value) for value in values)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} is {values!r}; it must be three whole numbers (z, y, x)") from error
    return z, y, x


@dataclass(frozen=True)
class Geometry:
    """Shape of a volume in voxels and its place in space.

    `voxel_size_nm` is the distance of neighbouring voxel centres, `translation_nm` the position of the centre
    of voxel (0, 0, 0), as in OME-Zarr. Raises InputError for an empty shape or a size that is not positive.
    """

    shape_zyx: Zyx
    voxel_size_nm: tuple[float, float, float]
    translation_nm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape_zyx", zyx(self.shape_zyx, "shape_zyx"))
        object.__setattr__(self, "voxel_size_nm", _lengths(self.voxel_size_nm, "voxel_size_nm"))
        object.__setattr__(self, "translation_nm", _lengths(self.translation_nm, "translation_nm"))
        if min(self.shape_zyx) < 1:
            raise InputError(f"shape_zyx is {self.shape_zyx}; each side must be at least one voxel")
        if min(self.voxel_size_nm) <= 0:
            raise InputError(f"voxel_size_nm is {self.voxel_size_nm}; each must be above zero")

    @property
    def block(self) -> Block:
        """The block of all voxels."""
        return Block.of_shape(self.shape_zyx)

    def coarser(self, factors_zyx: Sequence[int]) -> Geometry:
        """The geometry after merging windows of `factors_zyx` voxels; one cut off by the end counts as well.

        The centre of a window lies (factor - 1) / 2 voxels after the centre of its first voxel.
        """
        factors = zyx(factors_zyx, "factors_zyx")
        z, y, x = (-(-n // f) for n, f in zip(self.shape_zyx, factors, strict=True))
        sizes = [size * f for size, f in zip(self.voxel_size_nm, factors, strict=True)]
        centres = zip(self.translation_nm, self.voxel_size_nm, factors, strict=True)
        shifts = [origin + (f - 1) / 2 * size for origin, size, f in centres]
        return Geometry((z, y, x), _lengths(sizes, "voxel_size_nm"), _lengths(shifts, "translation_nm"))


@dataclass(frozen=True, order=True)
class Block:
    """A box of voxels, `start_zyx` included and `stop_zyx` excluded; never empty.

    Raises InputError when the ends are not whole numbers or enclose no voxel.
    """

    start_zyx: Zyx
    stop_zyx: Zyx

    def __post_init__(self) -> None:
        object.__setattr__(self, "start_zyx", zyx(self.start_zyx, "start_zyx"))
        object.__setattr__(self, "stop_zyx", zyx(self.stop_zyx, "stop_zyx"))
        if any(start >= stop for start, stop in zip(self.start_zyx, self.stop_zyx, strict=True)):
            raise InputError(
                f"block from {self.start_zyx} to {self.stop_zyx} is empty; each stop must exceed its start"
            )

    @classmethod
    def of_shape(cls, shape_zyx: Sequence[int]) -> Block:
        """The block from the origin that has this shape."""
        return cls((0, 0, 0), zyx(shape_zyx, "shape_zyx"))

    @property
    def shape_zyx(self) -> Zyx:
        """Lengths of the sides in voxels."""
        z, y, x = (stop - start for start, stop in zip(self.start_zyx, self.stop_zyx, strict=True))
        return z, y, x

    @property
    def voxels(self) -> int:
        """Number of voxels inside."""
        return prod(self.shape_zyx)

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index of this block in an array whose first voxel is (0, 0, 0)."""
        z, y, x = (slice(start, stop) for start, stop in zip(self.start_zyx, self.stop_zyx, strict=True))
        return z, y, x

    def intersect(self, other: Block) -> Block | None:
        """The voxels in both blocks; None when they share none."""
        start = _map(max, self.start_zyx, other.start_zyx)
        stop = _map(min, self.stop_zyx, other.stop_zyx)
        return Block(start, stop) if all(a < b for a, b in zip(start, stop, strict=True)) else None

    def contains(self, other: Block) -> bool:
        """Whether every voxel of the other block is in this one."""
        return self.intersect(other) == other

    def shift(self, by: Sequence[int]) -> Block:
        """The block moved by so many voxels."""
        offset = zyx(by, "shift")
        return Block(_map(operator.add, self.start_zyx, offset), _map(operator.add, self.stop_zyx, offset))

    def grow(self, lo_zyx: Sequence[int], hi_zyx: Sequence[int] | None = None) -> Block:
        """The block with `lo_zyx` more voxels before its start and `hi_zyx` (or as many) after its stop."""
        lo = zyx(lo_zyx, "lo_zyx")
        hi = lo if hi_zyx is None else zyx(hi_zyx, "hi_zyx")
        return Block(_map(operator.sub, self.start_zyx, lo), _map(operator.add, self.stop_zyx, hi))


def tile(region: Block, size_zyx: Sequence[int], origin_zyx: Sequence[int] = (0, 0, 0)) -> list[Block]:
    """The cells of a grid that meet a region, clipped to it, in C order (x fastest).

    The grid has cells of `size_zyx` voxels, one of which starts at `origin_zyx`.
    Raises InputError when a side of the cell is below one voxel.
    """
    size, origin = zyx(size_zyx, "size_zyx"), zyx(origin_zyx, "origin_zyx")
    if min(size) < 1:
        raise InputError(f"size_zyx is {size}; each side of a grid cell must be at least one voxel")
    axes = zip(region.start_zyx, region.stop_zyx, size, origin, strict=True)
    intervals = [list(_intervals(*axis)) for axis in axes]
    return [Block((z0, y0, x0), (z1, y1, x1)) for (z0, z1), (y0, y1), (x0, x1) in product(*intervals)]


def _lengths(values: Sequence[float], name: str) -> tuple[float, float, float]:
    try:
        z, y, x = (float(value) for value in values)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} is {values!r}; it must be three numbers (z, y, x) in nanometres") from error
    if not all(map(isfinite, (z, y, x))):
        raise InputError(f"{name} is {values!r}; each must be a finite number of nanometres")
    return z, y, x


def _intervals(start: int, stop: int, size: int, origin: int) -> Iterator[tuple[int, int]]:
    first = start - (start - origin) % size
    for edge in range(first, stop, size):
        yield max(edge, start), min(edge + size, stop)


def _map(function: Callable[[int, int], int], left: Zyx, right: Zyx) -> Zyx:
    z, y, x = map(function, left, right)
    return z, y, x
