"""Objects from the classes of voxels and the cores of objects, shard by shard, as of the whole volume at once.

    cores     pieces of the cores in each shard, joined over the shards' faces, are the cores of the volume; specks are
              none
    growing   each voxel of a class goes to its nearest core within a reach (see `growing`); pieces of what no core
              reaches, joined likewise, are objects, too
    numbers   objects of each class are numbered from 1 in the order of their first voxels; small ones are left out

Between the three the tables of all shards are joined. Each shard of each part is a function of its input alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.objects.growing import Reach, grow
from pipeline.objects.pieces import NO_PIECES, Numbers, PieceTable, find_pieces, join, ordered, placed
from pipeline.volume.geometry import Block, Zyx

CORE_SHARE = 0.25
"""Of the voxels of the smallest objects: a core has at least so many."""
UNREACHED_SHARE = 4
"""The same of an object without a core, which looks like the inside of none."""
Classes = NDArray[np.uint8]
"""Class ids of voxels; 0 for none, and for classes whose objects are not told apart."""


@dataclass(frozen=True)
class GrownTable:
    """What a shard holds once cores have grown: first the parts of objects with a core, then pieces without one."""

    cores: Numbers
    """Number of the core of each part, from 1 in the order of the cores' first voxels."""
    classes: Classes
    first: Numbers
    """First voxel of each part, as in `PieceTable`."""
    voxels: Numbers
    rest: PieceTable
    """The pieces that no core reaches."""


@dataclass(frozen=True)
class Numbered:
    """The parts and pieces of a shard as objects of the volume: a row each, after a row for nothing."""

    classes: Classes
    numbers: NDArray[np.uint64]
    """Of the object among those of its class, from 1; 0 where it is left out."""

    def of_class(self, class_id: int) -> NDArray[np.uint64]:
        """The numbers of the objects of a class; 0 for all else."""
        return np.where(self.classes == class_id, self.numbers, np.uint64(0))


def number_cores(tables: Iterable[tuple[Block, PieceTable]], smallest: Mapping[int, int]) -> list[Numbers]:
    """For each shard the numbers of the cores that its pieces belong to, from 1, after a 0 for nothing.

    Args:
        tables: of the shards that hold anything, in C order.
        smallest: as in `number_objects`. A speck within an object would cut it in two: what has less than `CORE_SHARE`
            of these voxels is no core, 0.
    """
    cores = join(tables)
    least = np.zeros(256)
    for class_id, voxels in smallest.items():
        least[class_id] = CORE_SHARE * voxels
    large = cores.voxels >= least[cores.ids]
    numbers = np.where(large, np.cumsum(large), 0)
    return [np.append(np.int64(0), numbers[rows]) for rows in cores.of_block]


def grow_shard(
    classes: Classes,
    pieces: Iterable[tuple[Block, NDArray[np.uint32], Numbers]],
    block: Block,
    shard: Block,
    shape_zyx: Zyx,
    reach: Reach,
) -> tuple[NDArray[np.uint32], GrownTable]:
    """Parts of objects in a shard.

    Args:
        classes: of the voxels of a block.
        pieces: of cores: where they lie within the block, the piece of each voxel there, and what `number_cores` has
            for their shard.
        block: the shard with the halo of the reach, as far as the volume goes.
        shard: where the parts are wanted.
        shape_zyx: of the volume.
        reach: how far cores grow.

    Returns:
        The row of each voxel's part or piece in the table, from 1, and the table.
    """
    pieces = list(pieces)
    known = np.unique(np.concatenate([np.zeros(1, np.int64), *(numbers for _, _, numbers in pieces)]))
    cores = np.zeros(block.shape_zyx, np.uint32)
    for where, local, of_pieces in pieces:
        # Nothing, 0, is known: so the ranks of cores begin at 1.
        cores[where.relative_to(block).slices] = np.searchsorted(known, of_pieces).astype(np.uint32)[local]
    inner = shard.relative_to(block).slices
    grown, own = grow(cores, classes, reach)[inner].ravel(), classes[inner]
    flat = np.flatnonzero(grown)
    numbers, first, voxels = ordered(grown[flat], flat)
    found, rest = find_pieces(np.where(grown.reshape(own.shape) == 0, own, 0).astype(np.uint8), shard, shape_zyx)
    rows = found.ravel()
    rows[rows > 0] += len(first)
    rows[flat] = numbers
    table = GrownTable(known[grown[first]], own.ravel()[first], placed(first, shard, shape_zyx), voxels, rest)
    return rows.reshape(own.shape), table


def number_objects(tables: Iterable[tuple[Block, GrownTable]], smallest: Mapping[int, int]) -> list[Numbered]:
    """The objects of a volume, as what they are in each of its shards.

    Args:
        tables: of the shards that hold anything, in C order.
        smallest: voxels, by class, that an object must have to be kept, `UNREACHED_SHARE` times as many where it has no
            core; all are kept where nothing is said.
    """
    kept: list[GrownTable] = []

    def pieces() -> Iterator[tuple[Block, PieceTable]]:
        for shard, table in tables:
            kept.append(replace(table, rest=NO_PIECES))
            yield shard, table.rest

    rest = join(pieces())
    cores = max((int(table.cores.max(initial=0)) for table in kept), default=0)
    rows = [np.concatenate([t.cores - 1, cores + r]) for t, r in zip(kept, rest.of_block, strict=True)]
    classes = np.zeros(cores + len(rest.ids), np.uint8)
    first = np.full(len(classes), np.iinfo(np.int64).max)
    voxels = np.zeros(len(classes), np.int64)
    classes[cores:], first[cores:], voxels[cores:] = rest.ids, rest.first, rest.voxels
    for table in kept:
        own = table.cores - 1
        classes[own] = table.classes
        np.minimum.at(first, own, table.first)
        np.add.at(voxels, own, table.voxels)
    scale = np.where(np.arange(len(classes)) < cores, 1, UNREACHED_SHARE)
    numbers = np.zeros(len(classes), np.uint64)
    for class_id in np.unique(classes[classes > 0]):
        least = scale * smallest.get(int(class_id), 0)
        large = np.flatnonzero((classes == class_id) & (voxels >= least))
        numbers[large[np.argsort(first[large])]] = np.arange(1, len(large) + 1, dtype=np.uint64)
    return [Numbered(np.append(np.uint8(0), classes[row]), np.append(np.uint64(0), numbers[row])) for row in rows]


def separate(classes: Classes, cores: Classes, reach: Reach, smallest: Mapping[int, int]) -> NDArray[np.uint64]:
    """The objects of voxels that are all in memory, each class numbered from 1.

    Args:
        classes: of each voxel, shape (z, y, x).
        cores: the class where a voxel is of a core, else 0; same shape.
        reach: how far cores grow.
        smallest: as in `number_objects`.
    """
    whole = Block.of_shape(classes.shape)
    pieces, table = find_pieces(cores, whole, whole.shape_zyx)
    (numbers,) = number_cores([(whole, table)], smallest)
    rows, grown = grow_shard(classes, [(whole, pieces, numbers)], whole, whole, whole.shape_zyx, reach)
    (objects,) = number_objects([(whole, grown)], smallest)
    return objects.numbers[rows]
