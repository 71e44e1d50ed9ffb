"""Labels of a volume on a coarse grid on which rare and thin classes stay: for renders, not for scores.

The levels of a pyramid hold the most frequent label of each window, in which what is thinner than half a window is
lost. Here a window gets the rarest label of those that fill at least a quarter of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.volume.geometry import Block, Geometry, Zyx, ZyxNm, pyramid_factors, tile
from pipeline.volume.omezarr import Level, Volume
from pipeline.volume.pyramid import window_parts

MOST_READ = 2**28
"""Voxels that are read at most: of a larger volume, a level of the pyramid is read."""
_BLOCK_SIDE = 128

Ids = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class CoarseLabels:
    """A label array (z, y, x), the size of its voxels, and how many voxels each label has in full resolution.

    Where a coarser level of the pyramid was read, `voxels` are that level's, times what one of them covers.
    """

    ids: Ids
    voxel_size_nm: ZyxNm
    corner_nm: ZyxNm
    """Outer corner of the first voxel, in the space of the volume."""
    voxels: dict[int, int]
    is_exact: bool


def coarse_labels(
    volume: Volume,
    most_voxels: int,
    region: Block | None = None,
    as_ids: Callable[[NDArray[Any]], Ids] = lambda values: values,
) -> CoarseLabels:
    """Return the labels of a region (None: all) in at most `most_voxels` voxels.

    `region` is in voxels of level 0. `as_ids` turns what is stored into labels of one or two bytes, block by block.
    Axes are halved as those of a pyramid are. Memory is that of the result and a block.
    Raises InputError for labels of more than two bytes.
    """
    level, start = _level_to_read(volume, region or volume.geometry.block)
    halvings = _halvings(Geometry(start.shape_zyx, level.geometry.voxel_size_nm), most_voxels)
    factors = _product(halvings)
    geometry = Geometry(start.shape_zyx, level.geometry.voxel_size_nm).coarser(factors)
    side = max(_BLOCK_SIDE, *factors)
    blocks = tile(start, [side // factor * factor for factor in factors], start.start_zyx)
    counts = sum((_counts(as_ids(level.read(block))) for block in blocks), np.zeros(2**16, np.int64))
    ranks = _ranks_of_rarity(counts)
    out: Ids | None = None
    for block in blocks:
        ids = as_ids(level.read(block))
        out = np.zeros(geometry.shape_zyx, ids.dtype) if out is None else out
        for halving in halvings:
            ids = rarest_of_windows(ids, halving, ranks)
        begin = [(a - b) // f for a, b, f in zip(block.start_zyx, start.start_zyx, factors, strict=True)]
        out[tuple(slice(at, at + n) for at, n in zip(begin, ids.shape, strict=True))] = ids
    assert out is not None, "a region has at least one block"
    covered = round(prod(level.geometry.voxel_size_nm) / prod(volume.geometry.voxel_size_nm))
    voxels = {int(label): int(counts[label]) * covered for label in np.flatnonzero(counts)}
    read = level.geometry
    z, y, x = (
        origin + (begin - 0.5) * size
        for origin, begin, size in zip(read.translation_nm, start.start_zyx, read.voxel_size_nm, strict=True)
    )
    return CoarseLabels(out, geometry.voxel_size_nm, (z, y, x), voxels, is_exact=level is volume.levels[0])


def rarest_of_windows(data: Ids, factors_zyx: Zyx, ranks: NDArray[np.uint32]) -> Ids:
    """The label with the lowest rank of those that fill at least a quarter of each window.

    `ranks` gives the rank of each label. A window in which no label fills a quarter has the lowest rank of all.
    """
    parts = window_parts(data, factors_zyx)
    best = parts[0]
    best_rank = np.full(best.shape, 2**32 - 1, np.uint32)
    for part in parts:
        votes = np.add.reduce([part == other for other in parts], dtype=np.uint8)
        rank = ranks[part] + np.where(4 * votes >= len(parts), 0, 2**16).astype(np.uint32)
        better = rank < best_rank
        best = np.where(better, part, best)
        best_rank = np.where(better, rank, best_rank)
    return best


def _ranks_of_rarity(counts: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Labels from the rarest on; 0 is no label and comes last."""
    weights = counts.copy()
    weights[0] = np.iinfo(np.int64).max
    ranks = np.empty(len(counts), np.uint32)
    ranks[np.argsort(weights, kind="stable")] = np.arange(len(counts), dtype=np.uint32)
    return ranks


def _counts(ids: Ids) -> NDArray[np.int64]:
    if ids.dtype.itemsize > 2:
        raise InputError(f"labels of type {ids.dtype}: turn them into ids of one or two bytes first")
    return np.bincount(ids.ravel(), minlength=2**16)


def _level_to_read(volume: Volume, region: Block) -> tuple[Level, Block]:
    """The finest level with few enough voxels, and the region in it."""
    for level in volume.levels:
        scale = [a / b for a, b in zip(level.geometry.voxel_size_nm, volume.geometry.voxel_size_nm, strict=True)]
        block = _scaled(region, scale).intersect(level.geometry.block)
        if block and (block.voxels <= MOST_READ or level is volume.levels[-1]):
            return level, block
    raise InputError(f"{region} is not inside the volume of shape {volume.shape_zyx}")


def _scaled(region: Block, scale: list[float]) -> Block:
    z0, y0, x0 = (int(start // factor) for start, factor in zip(region.start_zyx, scale, strict=True))
    z1, y1, x1 = (int(-(-stop // factor)) for stop, factor in zip(region.stop_zyx, scale, strict=True))
    return Block((z0, y0, x0), (z1, y1, x1))


def _halvings(geometry: Geometry, most_voxels: int) -> list[Zyx]:
    halvings = []
    while prod(geometry.shape_zyx) > most_voxels:
        halvings.append(pyramid_factors(geometry, (1, 1, 1)))
        geometry = geometry.coarser(halvings[-1])
    return halvings


def _product(halvings: list[Zyx]) -> Zyx:
    z, y, x = (prod(halving[axis] for halving in halvings) for axis in range(3))
    return z, y, x
