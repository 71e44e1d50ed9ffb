"""What is measured of every object, block by block: whole numbers that add up to the same whatever the blocks.

Of each object: its voxels, the sums of their positions and of the products of these, its box, how often lines of each
direction cross its surface, and how near membrane and the objects of other classes come. Of each two
objects that touch: the faces of voxels that they share.

A block is read with a margin, since lines and faces go on in the next one. Beyond the faces of the volume lies nothing:
an object that goes on there is closed by the cut, whose area is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from math import inf

import numpy as np
from numpy.typing import NDArray

from pipeline.objects.distances import Target
from pipeline.objects.grouping import Keys, grouped
from pipeline.objects.pieces import Ids, Numbers
from pipeline.objects.runs import Runs
from pipeline.objects.surface import SIGNS, Lines
from pipeline.volume.geometry import Block, Geometry, Zyx, zyx

Mask = NDArray[np.bool_]
Read = Callable[[Block], Ids]
Pair = tuple[str, str]

AXES = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
PRODUCTS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
"""The axes of each product of positions: zz, yy, xx, zy, zx, yx."""
VOXELS, POSITIONS, SQUARES, CUT, CROSSINGS = slice(0, 1), slice(1, 4), slice(4, 10), slice(10, 13), slice(13, 26)
"""Where each kind of sum stands in a row of `ObjectSums.totals`."""


@dataclass(frozen=True)
class ObjectSums:
    """The objects of one class: a row each, by rising id. All positions are voxels of the volume."""

    ids: Keys
    """Shape (objects, 1)."""
    totals: Numbers
    """Voxels, sums of z, y, x and of their products, faces at the volume's, crossings; modulo 2**64; (objects, 26)."""
    low: Numbers
    """The first voxel along each axis, shape (objects, 3)."""
    high: Numbers
    """One past the last voxel along each axis, shape (objects, 3)."""
    nearest_nm: NDArray[np.float64]
    """To membrane and to another class, between centres of voxels; infinite beyond the limit; (objects, 2)."""

    @classmethod
    def none(cls) -> ObjectSums:
        """Those of a volume without objects."""
        totals, ends = np.zeros((0, CROSSINGS.stop), np.int64), np.zeros((0, 3), np.int64)
        return cls(np.zeros((0, 1), np.uint64), totals, ends, ends, np.zeros((0, 2)))

    def __add__(self, other: ObjectSums) -> ObjectSums:
        """Those of two parts of a volume that share no voxel."""
        joins = (np.add, np.minimum, np.maximum, np.minimum)
        columns = zip(joins, _columns(self), _columns(other), strict=True)
        ids = np.concatenate([self.ids, other.ids])
        keys, values = grouped(ids, [(join, np.concatenate([a, b])) for join, a, b in columns])
        return ObjectSums(keys, *values)


def _columns(sums: ObjectSums) -> tuple[NDArray[np.int64] | NDArray[np.float64], ...]:
    return sums.totals, sums.low, sums.high, sums.nearest_nm


@dataclass(frozen=True)
class Contacts:
    """Objects that touch, of two classes or of one: a row a pair."""

    ids: Keys
    """Of the first and of the second class; of one class, the lower id first; shape (pairs, 2)."""
    faces: Numbers
    """Faces of voxels across z, y and x with one object on either side, shape (pairs, 3)."""

    @classmethod
    def none(cls) -> Contacts:
        """Nothing touches."""
        return cls(np.zeros((0, 2), np.uint64), np.zeros((0, 3), np.int64))

    def __add__(self, other: Contacts) -> Contacts:
        """Those of two parts of a volume that share no voxel."""
        faces = np.concatenate([self.faces, other.faces])
        keys, (total,) = grouped(np.concatenate([self.ids, other.ids]), [(np.add, faces)])
        return Contacts(keys, total)


@dataclass(frozen=True)
class Measured:
    """What was counted in some part of a volume."""

    objects: Mapping[str, ObjectSums]
    """By class."""
    contacts: Mapping[Pair, Contacts] = field(default_factory=dict)
    """By pair of classes, in their order in `objects`."""

    def __add__(self, other: Measured) -> Measured:
        """Those of two parts of a volume that share no voxel, in any order."""
        return Measured(
            {name: sums + other.objects[name] for name, sums in self.objects.items()},
            {pair: contacts + other.contacts[pair] for pair, contacts in self.contacts.items()},
        )


@dataclass(frozen=True)
class Measuring:
    """How the objects of a volume are measured."""

    geometry: Geometry
    objects: Mapping[str, Read]
    """By class: reads the ids of a block, shape (z, y, x); 0 is no object."""
    membrane: Read | None = None
    """Reads where membrane lies: not 0."""
    limit_nm: float = 200.0
    """Distances beyond are not told: each block is read with a margin of as much."""

    @property
    def nothing(self) -> Measured:
        """What a part without voxels holds."""
        pairs = combinations_with_replacement(self.objects, 2)
        return Measured(dict.fromkeys(self.objects, ObjectSums.none()), dict.fromkeys(pairs, Contacts.none()))

    @property
    def margin_zyx(self) -> Zyx:
        """How much is read around a block."""
        lines = Lines(self.geometry.voxel_size_nm).margin_zyx
        if self.membrane is None and len(self.objects) < 2:
            return lines
        reach = [int(self.limit_nm / size) for size in self.geometry.voxel_size_nm]
        return zyx(np.maximum(lines, reach).tolist(), "margin")

    def measure_all(self, blocks: Iterable[Block]) -> Measured:
        """Count what starts in any of these blocks, which share no voxel."""
        return total(self.nothing, map(self.measure, blocks))

    def measure(self, block: Block) -> Measured:
        """Count the voxels of a block, and what starts in it."""
        around = block.grow(self.margin_zyx)
        runs = {name: Runs(around, self._padded(read, around)) for name, read in self.objects.items()}
        membrane = None if self.membrane is None else self._target(around, [self._padded(self.membrane, around) > 0])
        return Measured(
            {name: self._sums(name, runs, membrane, block) for name in runs},
            {
                (one, other): contacts(runs[one], runs[other], block, same=one == other)
                for one, other in combinations_with_replacement(runs, 2)
            },
        )

    def _padded(self, read: Read, around: Block) -> Ids:
        """What is read of a block, with nothing where it reaches beyond the volume."""
        known = around.intersect(self.geometry.block)
        assert known is not None
        values = read(known)
        padded = np.zeros(around.shape_zyx, values.dtype)
        padded[_slices(known, around)] = values
        return padded

    def _sums(self, name: str, runs: Mapping[str, Runs], membrane: Target | None, block: Block) -> ObjectSums:
        whole = runs[name]
        ids, first, lengths = Runs(block, whole.values[_slices(block, whole.block)]).of_objects
        if not len(ids):
            return ObjectSums.none()
        last = first.copy()
        last[:, 2] += lengths - 1
        sums = np.concatenate([_moments(first, lengths), self._cut(first, last, lengths)], axis=1)
        keys, (totals, low, high) = grouped(ids[:, None], [(np.add, sums), (np.minimum, first), (np.maximum, last + 1)])
        places = np.searchsorted(whole.ids, keys[:, 0])
        totals = np.concatenate([totals, self._crossings(whole, block)[places]], axis=1)
        others = [other.values > 0 for key, other in runs.items() if key != name]
        nearest = np.full((len(places), 2), inf)
        for column, target in enumerate((membrane, self._target(whole.block, others))):
            if target is not None:
                nearest[:, column] = target.distances_nm(whole, block)[places]
        return ObjectSums(keys, totals, low, high, nearest)

    def _target(self, around: Block, parts: list[Mask]) -> Target | None:
        if not parts:
            return None
        return Target(around, np.logical_or.reduce(parts), self.geometry.voxel_size_nm, self.limit_nm)

    def _cut(self, first: Numbers, last: Numbers, lengths: Numbers) -> Numbers:
        """Faces of voxels at the faces of the volume across z, y and x, for rows of voxels along x; (rows, 3)."""
        ends = (first == 0).astype(np.int64) + (last == np.array(self.geometry.shape_zyx) - 1)
        faces: Numbers = ends * np.stack([lengths, lengths, np.ones_like(lengths)], axis=1)
        return faces

    def _crossings(self, whole: Runs, block: Block) -> Numbers:
        """How often lines of each direction enter or leave each of `whole.ids` within a block; shape (ids, 13)."""
        found = np.zeros((len(whole.ids), len(SIGNS)), np.int64)
        for direction, step in enumerate(Lines(self.geometry.voxel_size_nm).steps_zyx):
            for way in (step, zyx([-length for length in step], "step")):
                here, there = _pairs(whole, whole, block, way)
                ends = here[(here != there) & (here > 0)]
                found[:, direction] += np.bincount(ends, minlength=len(whole.ids))
        return found


def total(nothing: Measured, parts: Iterable[Measured]) -> Measured:
    """The sum of many parts, added like the digits of a binary number: no row is moved more than log2(parts) times."""
    sums: list[Measured] = []
    for count, part in enumerate(parts, start=1):
        sums.append(part)
        while count % 2 == 0:
            count //= 2
            last = sums.pop()
            sums[-1] += last
    return sum(reversed(sums), start=nothing)


def contacts(one: Runs, other: Runs, block: Block, *, same: bool) -> Contacts:
    """The faces with an object of one class on one side and one of the other class on the other.

    Args:
        one: of the first class; `other` of the second, of the same block.
        block: only what starts in it counts.
        same: whether both are one class, where only different objects touch.
    """
    found = Contacts.none()
    for axis, step in enumerate(AXES):
        faces = np.zeros(3, np.int64)
        faces[axis] = 1
        for left, right in _sides(one, other, block, step, same):
            between = (left > 0) & (right > 0)
            if same:
                between &= left != right
            ids = np.stack([one.ids[left[between]], other.ids[right[between]]], axis=1)
            if same:
                ids = np.sort(ids, axis=1)
            found += Contacts(ids, np.tile(faces, (len(ids), 1)))
    return found


def _sides(one: Runs, other: Runs, block: Block, step: Zyx, same: bool) -> Iterator[tuple[Ids, Ids]]:
    yield _pairs(one, other, block, step)  # type: ignore[misc]
    if not same:
        there, here = _pairs(other, one, block, step)
        yield here, there  # type: ignore[misc]


def _pairs(one: Runs, other: Runs, block: Block, step: Zyx) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """What lies at each voxel of a block and one step on."""
    return one.local[_slices(block, one.block)], other.local[_slices(block.shift(step), other.block)]


def _slices(block: Block, within: Block) -> tuple[slice, slice, slice]:
    return block.shift([-edge for edge in within.start_zyx]).slices


def _moments(first: Numbers, lengths: Numbers) -> Numbers:
    """Voxels, sums of positions and of their products for rows of voxels along x, shape (rows, 10)."""
    z, y, x = first.T
    n = lengths
    sum_x = n * x + n * (n - 1) // 2
    sum_xx = n * x * x + x * n * (n - 1) + (n - 1) * n * (2 * n - 1) // 6
    sums = (n * z, n * y, sum_x), (n * z * z, n * y * y, sum_xx, n * z * y, z * sum_x, y * sum_x)
    return np.stack([n, *sums[0], *sums[1]], axis=1)
