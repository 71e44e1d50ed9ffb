"""How a volume is cut: chunks are compressed at once, shards are single objects in the store."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from pipeline.volume.geometry import Geometry, Zyx

CHUNK_VOXELS = 2**18
SHARD_VOXELS = 2**22


def default_grid(geometry: Geometry) -> tuple[Zyx, Zyx]:
    """Chunk and shard sides (z, y, x) for a volume; the chunk divides the shard.

    Sides are powers of two, near-cubic in nanometres, and no longer than it takes to cover the volume. A
    chunk holds up to 2^18 voxels and a shard up to 2^22, however large the volume: a worker that holds a few
    shards in memory needs no more for a larger one.
    """
    chunk = _doubled((1, 1, 1), geometry, CHUNK_VOXELS)
    return chunk, _doubled(chunk, geometry, SHARD_VOXELS)


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


def chunk_within(shard_zyx: Zyx, side: int = 128) -> Zyx:
    """The largest chunk of at most `side` voxels along each axis that divides a shard."""
    z, y, x = (max(n for n in range(1, min(side, edge) + 1) if edge % n == 0) for edge in shard_zyx)
    return z, y, x
