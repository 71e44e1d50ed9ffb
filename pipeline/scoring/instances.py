"""Counting the connected pieces of each class, block by block: memory is that of a block and of the pieces' numbers.

Two voxels of one class are connected where they share a face. Pieces are numbered within each block; where two blocks
touch, equal ids join their numbers, and the pieces of the whole are the connected components of these joints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.measure import label

from pipeline.volume.geometry import Block, Zyx, tile

Ids = NDArray[np.unsignedinteger[Any]]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Pieces:
    """The ids of some voxels, and the numbers of the pieces that they belong to."""

    ids: Ids
    numbers: Numbers

    def end(self, axis: int, index: int) -> Pieces:
        """The first (0) or last (-1) layer along an axis."""
        layer = (slice(None),) * axis + (index,)
        return Pieces(self.ids[layer], self.numbers[layer])


def piece_sizes(read: Callable[[Block], Ids], shape_zyx: Zyx, block_zyx: Zyx) -> dict[int, Numbers]:
    """The voxels of every piece of every id, largest first.

    Args:
        read: the ids of a block, shape (z, y, x); 0 is nothing.
        shape_zyx: of the whole volume.
        block_zyx: how much to read at once.
    """
    ids: list[Ids] = []
    sizes: list[Numbers] = []
    joints: list[Numbers] = []
    count = 0
    ends: dict[tuple[int, Zyx], Pieces] = {}
    for block in tile(Block.of_shape(shape_zyx), block_zyx):
        values = read(block)
        local, pieces = label(values, background=0, connectivity=1, return_num=True)  # type: ignore[no-untyped-call]
        numbers = np.where(local > 0, local.astype(np.int64) + (count - 1), -1)
        ids.append(_ids_of_pieces(values, local, pieces))
        sizes.append(np.bincount(local.ravel(), minlength=pieces + 1)[1:])
        joints.extend(_joints(block, Pieces(values, numbers), ends))
        count += pieces
    return _joined(np.concatenate(ids), np.concatenate(sizes), joints, count)


def _ids_of_pieces(values: Ids, local: Numbers, pieces: int) -> Ids:
    """The id of each piece, from 1; piece 0 is what has no id."""
    found = np.zeros(pieces + 1, values.dtype)
    found[local] = values
    return found[1:]


def _joints(block: Block, whole: Pieces, ends: dict[tuple[int, Zyx], Pieces]) -> Iterator[Numbers]:
    """Pairs (n, 2) of numbers that go on from the blocks before this one; its own ends are kept for those after it."""
    for axis in range(3):
        before = ends.pop((axis, block.start_zyx), None)
        if before is not None:
            first = whole.end(axis, 0)
            touching = (before.ids == first.ids) & (before.ids > 0)
            yield np.unique(np.stack([before.numbers[touching], first.numbers[touching]], axis=1), axis=0)
        after = tuple(stop if i == axis else start for i, (start, stop) in enumerate(_edges(block)))
        ends[axis, (after[0], after[1], after[2])] = whole.end(axis, -1)


def _edges(block: Block) -> Iterable[tuple[int, int]]:
    return zip(block.start_zyx, block.stop_zyx, strict=True)


def _joined(ids: Ids, sizes: Numbers, joints: list[Numbers], count: int) -> dict[int, Numbers]:
    if not count:
        return {}
    pairs = np.concatenate([*joints, np.empty((0, 2), np.int64)])
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    found, component = connected_components(graph, directed=False)
    totals = np.bincount(component, weights=sizes, minlength=found).astype(np.int64)
    id_of = np.zeros(found, ids.dtype)
    id_of[component] = ids
    return {int(value): np.sort(totals[id_of == value])[::-1] for value in np.unique(ids)}
