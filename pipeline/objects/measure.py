"""What is measured of every object, block by block: whole numbers that add up to the same whatever the blocks.

Of each object: its voxels, the sums of their positions and of the products of these, its box, how often lines of each
direction cross its surface, and how near membrane and the objects of other classes come. Of each two
objects that touch: the faces of voxels that they share.

A block is read with a margin, since lines and faces go on in the next one. Beyond the faces of the volume lies nothing:
an object that goes on there is closed by the cut, whose area is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import inf

import numpy as np
from numpy.typing import NDArray

from pipeline.objects.distances import Target
from pipeline.objects.grouping import grouped, total
from pipeline.objects.pieces import Ids, Numbers
from pipeline.objects.runs import Runs
from pipeline.objects.sums import Contacts, Measured, ObjectSums
from pipeline.objects.surface import SIGNS, Lines
from pipeline.volume.geometry import Block, Geometry, Zyx, zyx

Mask = NDArray[np.bool_]
Read = Callable[[Block], Ids]

AXES = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


@dataclass(frozen=True)
class Measuring:
    """How the objects of a volume are measured."""

    geometry: Geometry
    objects: Mapping[str, Read]
    """By class: reads the ids of a block, shape (z, y, x); 0 is no object."""
    membrane: Read | None = None
    """Reads where membrane lies: not 0."""
    regions: tuple[Block, ...] = ()
    """Where objects were told apart: an object that reaches its end may go on beyond. Left out: all of the volume."""
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
        padded[known.relative_to(around).slices] = values
        return padded

    def _sums(self, name: str, runs: Mapping[str, Runs], membrane: Target | None, block: Block) -> ObjectSums:
        whole = runs[name]
        ids, first, lengths = Runs(block, whole.values[block.relative_to(whole.block).slices]).of_objects
        if not len(ids):
            return ObjectSums.none()
        after = first + 1
        after[:, 2] = first[:, 2] + lengths
        columns = [(np.add, _moments(first, lengths)), (np.minimum, first), (np.maximum, after)]
        keys, (moments, low, high) = grouped(ids[:, None], columns)
        places = np.searchsorted(whole.ids, keys[:, 0])
        totals = [moments, self._cut(whole, block)[places], self._crossings(whole, block)[places]]
        others = [other.values > 0 for key, other in runs.items() if key != name]
        nearest = np.full((len(places), 2), inf)
        for column, target in enumerate((membrane, self._target(whole.block, others))):
            if target is not None:
                nearest[:, column] = target.distances_nm(whole, block)[places]
        return ObjectSums(keys, np.concatenate(totals, axis=1), low, high, nearest)

    def _target(self, around: Block, parts: list[Mask]) -> Target | None:
        if not parts:
            return None
        return Target(around, np.logical_or.reduce(parts), self.geometry.voxel_size_nm, self.limit_nm)

    def _cut(self, whole: Runs, block: Block) -> Numbers:
        """Faces of voxels of each of `whole.ids` across z, y and x beyond which nothing is known; shape (ids, 3)."""
        found = np.zeros((len(whole.ids), 3), np.int64)
        edges = block.grow((1, 1, 1))
        known = np.zeros(edges.shape_zyx, bool)
        for region in self.regions or (self.geometry.block,):
            if inside := region.intersect(edges):
                known[inside.relative_to(edges).slices] = True
        if known.all():
            return found
        here = whole.local[block.relative_to(whole.block).slices]
        for axis, step in enumerate(AXES):
            for way in (step, _back(step)):
                ends = here[~known[block.shift(way).relative_to(edges).slices] & (here > 0)]
                found[:, axis] += np.bincount(ends, minlength=len(whole.ids))
        return found

    def _crossings(self, whole: Runs, block: Block) -> Numbers:
        """How often lines of each direction enter or leave each of `whole.ids` within a block; shape (ids, 13)."""
        found = np.zeros((len(whole.ids), len(SIGNS)), np.int64)
        for direction, step in enumerate(Lines(self.geometry.voxel_size_nm).steps_zyx):
            for way in (step, _back(step)):
                here, there = _pairs(whole, whole, block, way)
                ends = here[(here != there) & (here > 0)]
                found[:, direction] += np.bincount(ends, minlength=len(whole.ids))
        return found


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
    beyond = block.shift(step).relative_to(other.block)
    return one.local[block.relative_to(one.block).slices], other.local[beyond.slices]


def _back(step: Zyx) -> Zyx:
    z, y, x = step
    return -z, -y, -x


def _moments(first: Numbers, lengths: Numbers) -> Numbers:
    """Voxels, sums of positions and of their products for rows of voxels along x, shape (rows, 10)."""
    z, y, x = first.T
    n = lengths
    sum_x = n * x + n * (n - 1) // 2
    sum_xx = n * x * x + x * n * (n - 1) + (n - 1) * n * (2 * n - 1) // 6
    sums = (n * z, n * y, sum_x), (n * z * z, n * y * y, sum_xx, n * z * y, z * sum_x, y * sum_x)
    return np.stack([n, *sums[0], *sums[1]], axis=1)
