"""Connected pieces of ids, block by block: memory is that of a block, and of a row a piece.

Two voxels of one id are connected where they share a face. Pieces are numbered within each block; what of them lies on
the block's ends is kept, and where two blocks touch, pieces of one id that meet there are joined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.measure import label

from pipeline.volume.geometry import Block, Zyx, tile

Ids = NDArray[np.unsignedinteger[Any]]
Numbers = NDArray[np.int64]
SPECK_SHARE = 0.001
LOW, HIGH = 0, -1
"""The first and the last layer of a block along an axis."""


@dataclass(frozen=True)
class Layer:
    """Where pieces lie in the first or last layer of a block: a row a voxel."""

    places: Numbers
    """Flat index of the voxel in the layer, ascending."""
    pieces: Numbers
    """Index of its piece in the table."""


@dataclass(frozen=True)
class PieceTable:
    """The pieces of a block, in the order of their first voxels; a row a piece."""

    ids: Ids
    first: Numbers
    """Flat index, in the whole volume, of the first voxel in the order z, y, x."""
    voxels: Numbers
    layers: Mapping[tuple[int, int], Layer]
    """At the block's ends, by axis and `LOW` or `HIGH`."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Joined:
    """The pieces of a whole volume, in the order of their first voxels; a row a piece."""

    ids: Ids
    first: Numbers
    voxels: Numbers
    of_block: list[Numbers]
    """For each block, in the order in which they came, the row of each piece of its table."""


def find_pieces(ids: Ids, block: Block, shape_zyx: Zyx) -> tuple[NDArray[np.uint32], PieceTable]:
    """The pieces of a block.

    Args:
        ids: of its voxels, shape (z, y, x); 0 is nothing.
        block: where it lies.
        shape_zyx: of the whole volume.

    Returns:
        The number of each voxel's piece, from 1 in the order of first voxels, and their table.
    """
    found = label(ids, background=0, connectivity=1)  # type: ignore[no-untyped-call]
    flat = np.flatnonzero(found)
    numbers, first, voxels = ordered(found.ravel()[flat], flat)
    pieces = np.zeros(ids.shape, np.uint32)
    pieces.ravel()[flat] = numbers
    layers = {(axis, end): _layer(pieces, axis, end) for axis in range(3) for end in (LOW, HIGH)}
    return pieces, PieceTable(ids.ravel()[first], placed(first, block, shape_zyx), voxels, layers)


def ordered(values: NDArray[Any], flat: NDArray[np.intp]) -> tuple[NDArray[np.uint32], NDArray[np.intp], Numbers]:
    """Numbers from 1 for the distinct values of some voxels, in the order in which they come first.

    Args:
        values: of the voxels.
        flat: their places, ascending.

    Returns:
        The number of each voxel, the place of the first voxel of each number, and how many it has.
    """
    distinct, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    first = np.zeros(len(distinct), flat.dtype)
    first[index[::-1]] = flat[::-1]  # of an index that comes again, the last one counts
    order = np.argsort(first)
    number = np.empty(len(distinct), np.uint32)
    number[order] = np.arange(1, len(distinct) + 1)
    return number[index], first[order], counts[order].astype(np.int64)


def placed(flat: NDArray[np.intp], block: Block, shape_zyx: Zyx) -> Numbers:
    """Flat indices of a block's voxels as those of the whole volume."""
    z, y, x = np.unravel_index(flat, block.shape_zyx)
    start_z, start_y, start_x = block.start_zyx
    _, height, width = shape_zyx
    whole: Numbers = ((z + start_z).astype(np.int64) * height + y + start_y) * width + x + start_x
    return whole


def join(tables: Iterable[tuple[Block, PieceTable]]) -> Joined:
    """The pieces of a whole volume.

    Args:
        tables: of the blocks of a grid that hold anything, in C order.
    """
    kept: list[PieceTable] = []
    joints: list[Numbers] = []
    starts = [0]
    ends: dict[tuple[int, Zyx], tuple[int, PieceTable]] = {}
    for block, table in tables:
        joints += _joints(block, starts[-1], table, ends)
        # What lies on the ends is needed until the blocks beside are there.
        kept.append(replace(table, layers={}))
        starts.append(starts[-1] + len(table))
    if not starts[-1]:
        return Joined(np.zeros(0, np.uint8), _NONE, _NONE, [_NONE for _ in kept])
    whole = _components(joints, starts[-1])
    first = np.full(whole.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, whole, np.concatenate([table.first for table in kept]))
    order = np.argsort(first)
    row = np.argsort(order)[whole]
    ids = np.zeros(len(first), np.result_type(*(table.ids for table in kept)))
    ids[row] = np.concatenate([table.ids for table in kept])
    voxels = np.zeros(len(first), np.int64)
    np.add.at(voxels, row, np.concatenate([table.voxels for table in kept]))
    return Joined(ids, first[order], voxels, np.split(row, starts[1:-1]))


def piece_sizes(read: Callable[[Block], Ids], shape_zyx: Zyx, block_zyx: Zyx) -> dict[int, Numbers]:
    """The voxels of every piece of every id, largest first.

    Args:
        read: the ids of a block, shape (z, y, x); 0 is nothing.
        shape_zyx: of the whole volume.
        block_zyx: how much to read at once.
    """
    blocks = tile(Block.of_shape(shape_zyx), block_zyx)
    whole = join((block, find_pieces(read(block), block, shape_zyx)[1]) for block in blocks)
    return {int(value): np.sort(whole.voxels[whole.ids == value])[::-1] for value in np.unique(whole.ids)}


def pieces_as_objects(
    read: Callable[[Block], NDArray[np.bool_]], shape_zyx: Zyx, block_zyx: Zyx
) -> Iterator[tuple[Block, Numbers]]:
    """The pieces of a mask, numbered from 1 in the order of their first voxels, block by block; 0 for specks.

    A speck, as a brush leaves it, has less than `SPECK_SHARE` of the voxels of the piece in which a voxel of the mask
    lies on average.

    Args:
        read: the mask of a block, shape (z, y, x); it is asked for twice.
        shape_zyx: of the whole volume.
        block_zyx: how much to read at once.
    """
    blocks = tile(Block.of_shape(shape_zyx), block_zyx)
    whole = join((block, find_pieces(read(block).astype(np.uint8), block, shape_zyx)[1]) for block in blocks)
    sizes = whole.voxels.astype(np.float64)
    large = sizes >= SPECK_SHARE * (sizes @ sizes) / max(1.0, sizes.sum())
    numbers = np.where(large, np.cumsum(large), 0)
    for block, rows in zip(blocks, whole.of_block, strict=True):
        pieces, _ = find_pieces(read(block).astype(np.uint8), block, shape_zyx)
        yield block, np.append(np.int64(0), numbers[rows])[pieces]


def packed(table: PieceTable) -> dict[str, NDArray[Any]]:
    """A table as named arrays, which `unpacked` makes it of again."""
    layers = {
        f"{part}_{axis}_{end}": getattr(layer, part)
        for (axis, end), layer in table.layers.items()
        for part in ("places", "pieces")
    }
    return {"ids": table.ids, "first": table.first, "voxels": table.voxels, **layers}


def unpacked(arrays: Mapping[str, NDArray[Any]]) -> PieceTable:
    """The table that was packed."""
    layers = {
        (axis, end): Layer(arrays[f"places_{axis}_{end}"], arrays[f"pieces_{axis}_{end}"])
        for axis in range(3)
        for end in (LOW, HIGH)
    }
    return PieceTable(arrays["ids"], arrays["first"], arrays["voxels"], layers)


def _layer(pieces: NDArray[np.uint32], axis: int, end: int) -> Layer:
    flat = np.take(pieces, end, axis).ravel()
    places = np.flatnonzero(flat)
    return Layer(places.astype(np.int64), flat[places].astype(np.int64) - 1)


def _joints(
    block: Block, start: int, table: PieceTable, ends: dict[tuple[int, Zyx], tuple[int, PieceTable]]
) -> Iterator[Numbers]:
    """Pairs (n, 2) of rows that go on from the blocks before this one; its own ends are kept for those after it.

    A block's other two axes are as long as those of the block beside it, so that places in their layers agree.
    """
    for axis in range(3):
        before = ends.pop((axis, block.start_zyx), None)
        if before is not None:
            other_start, other = before
            high, low = other.layers[axis, HIGH], table.layers[axis, LOW]
            _, at_high, at_low = np.intersect1d(high.places, low.places, assume_unique=True, return_indices=True)
            pairs = np.stack([high.pieces[at_high], low.pieces[at_low]], axis=1)
            alike = other.ids[pairs[:, 0]] == table.ids[pairs[:, 1]]
            yield np.unique(pairs[alike] + (other_start, start), axis=0)
        z, y, x = (stop if i == axis else at for i, (at, stop) in enumerate(_edges(block)))
        ends[axis, (z, y, x)] = start, table


def _edges(block: Block) -> Iterable[tuple[int, int]]:
    return zip(block.start_zyx, block.stop_zyx, strict=True)


def _components(joints: list[Numbers], count: int) -> NDArray[np.integer[Any]]:
    """For each of so many rows, the number of the component that pairs of rows join it to."""
    pairs = np.concatenate([*joints, np.empty((0, 2), np.int64)])
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    return np.asarray(component)


_NONE: Numbers = np.zeros(0, np.int64)
NO_PIECES = PieceTable(np.zeros(0, np.uint8), _NONE, _NONE, {})
