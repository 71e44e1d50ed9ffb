"""Boxes of voxels, the grids that they form, and their place in nanometres. The order is z, y, x throughout."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from itertools import product
from math import isfinite, prod

import numpy as np

from pipeline.errors import InputError
from pipeline.formats import sides

Zyx = tuple[int, int, int]
"""Voxels: z, y, x."""
ZyxNm = tuple[float, float, float]
"""Nanometres: z, y, x."""

# A chunk is compressed at once, a shard is one object in the store.
CHUNK_VOXELS = 2**18
SHARD_VOXELS = 2**22
PART_VOXELS = 2**18

# Edges of a voxel that differ by more are worth a word.
_UNEVEN = 1.02


_NANOMETRES = {
    0.1: ("a", "å", "angstrom", "angstroms", "ångström"),
    1.0: ("nm", "nanometer", "nanometers", "nanometre", "nanometres"),
    1e3: ("um", "µm", "μm", "micron", "microns", "micrometer", "micrometers", "micrometre", "micrometres"),
    1e6: ("mm", "millimeter", "millimeters", "millimetre", "millimetres"),
    1e7: ("cm", "centimeter", "centimetre"),
    1e9: ("m", "meter", "meters", "metre", "metres"),
    2.54e7: ("inch", "inches"),
    1e-3: ("pm", "picometer", "picometre"),
}
_OF_UNIT = {unit: length for length, units in _NANOMETRES.items() for unit in units}


def nanometres(unit: str) -> float | None:
    """How many a unit of length has, as programs write its name; None for what is no known length."""
    return _OF_UNIT.get(unit.strip().lower().replace("\\u00b5", "µ").replace("\\u00c5", "å"))


def doubts_of_size(size_nm: ZyxNm) -> Iterator[str]:
    """What is odd about a voxel size, and mostly an exchange of axes: finer in z, or no square in the plane."""
    z, y, x = size_nm
    voxels = f"voxels of {sides(size_nm, by='x')} nm"
    if z * _UNEVEN < min(y, x):
        yield f"{voxels} are finer in z than in the plane, which microscopes seldom are: is that z, y, x, not x, y, z?"
    elif max(y, x) > _UNEVEN * min(y, x):
        yield f"{voxels} are no squares in y and x: is that z, y, x in nanometres?"


def zyx(values: Sequence[int], name: str) -> Zyx:
    """Three integers, checked: a fraction is refused and never rounded.

    Raises InputError naming `name` for anything else.
    """
    try:
        z, y, x = (operator.index(value) for value in values)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} is {values!r}; it must be three whole numbers (z, y, x)") from error
    return z, y, x


# Axes whose voxels are at most this much larger than the smallest are merged together with it.
NEAR_ISOTROPIC = 1.5


@dataclass(frozen=True)
class Geometry:
    """Shape of a volume in voxels and its place in space.

    `voxel_size_nm` is the distance of neighbouring voxel centres, `translation_nm` the position of the centre
    of voxel (0, 0, 0), as in OME-Zarr. Raises InputError for an empty shape or a size that is not positive.
    """

    shape_zyx: Zyx
    voxel_size_nm: ZyxNm
    translation_nm: ZyxNm = (0.0, 0.0, 0.0)

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

    @property
    def voxel_um3(self) -> float:
        """Volume of a voxel in cubic micrometres."""
        z, y, x = self.voxel_size_nm
        return z * y * x / 1e9

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

    @classmethod
    def around(cls, blocks: Sequence[Block]) -> Block:
        """The smallest block that holds all of these, of which there is at least one."""
        low = reduce(partial(_map, min), (block.start_zyx for block in blocks))
        return cls(low, reduce(partial(_map, max), (block.stop_zyx for block in blocks)))

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

    def relative_to(self, outer: Block) -> Block:
        """The block counted from the first voxel of another one: its place in an array of that block."""
        return self.shift([-edge for edge in outer.start_zyx])

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


def default_grid(geometry: Geometry) -> tuple[Zyx, Zyx]:
    """Chunk and shard sides (z, y, x) for a volume; the chunk divides the shard.

    Sides are powers of two, near-cubic in nanometres, and no longer than it takes to cover the volume. A
    chunk holds up to 2^18 voxels and a shard up to 2^22, however large the volume: a worker that holds a few
    shards in memory needs no more for a larger one.
    """
    chunk = _doubled((1, 1, 1), geometry, CHUNK_VOXELS)
    return chunk, _doubled(chunk, geometry, SHARD_VOXELS)


def chunk_within(shard_zyx: Zyx, side: int = 128) -> Zyx:
    """The largest chunk of at most `side` voxels along each axis that divides a shard."""
    z, y, x = (max(n for n in range(1, min(side, edge) + 1) if edge % n == 0) for edge in shard_zyx)
    return z, y, x


def parts(flat: np.ndarray) -> Iterator[slice]:
    """Slices that cover a flat array, each so short that a few numbers a voxel take megabytes only."""
    for start in range(0, flat.size, PART_VOXELS):
        yield slice(start, start + PART_VOXELS)


def _doubled(side_zyx: Zyx, geometry: Geometry, voxels: int) -> Zyx:
    """Double the side that is shortest in nanometres, within the volume, while at most `voxels` fit."""
    side = list(side_zyx)
    while prod(side) * 2 <= voxels:
        axes = [axis for axis in range(3) if side[axis] < geometry.shape_zyx[axis]]
        if not axes:
            break
        side[min(axes, key=lambda axis: _extent(side, geometry, axis))] *= 2
    return side[0], side[1], side[2]


def _extent(side: Sequence[int], geometry: Geometry, axis: int) -> tuple[float, int]:
    # Among equal extents the last axis comes first: rows are contiguous along x.
    return side[axis] * geometry.voxel_size_nm[axis], -axis


def pyramid_factors(geometry: Geometry, chunk_zyx: Zyx) -> Zyx:
    """By how much each axis shrinks towards the next level, 1 or 2; all 1 once a level fits in one chunk."""
    shape, size = geometry.shape_zyx, geometry.voxel_size_nm
    divisible = [axis for axis in range(3) if shape[axis] > 1]
    if not divisible or all(n <= c for n, c in zip(shape, chunk_zyx, strict=True)):
        return 1, 1, 1
    limit = NEAR_ISOTROPIC * min(size[axis] for axis in divisible)
    z, y, x = (2 if axis in divisible and size[axis] <= limit else 1 for axis in range(3))
    return z, y, x


def _lengths(values: Sequence[float], name: str) -> ZyxNm:
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
