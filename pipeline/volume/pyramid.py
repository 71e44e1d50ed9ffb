"""Coarser levels of a volume, built shard by shard: means of images, most frequent ids of labels."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np

from pipeline.volume import ngff
from pipeline.volume.geometry import Block, Zyx, pyramid_factors, tile
from pipeline.volume.omezarr import Level, Volume, create_level, with_levels

Downsample = Callable[[np.ndarray, Zyx], np.ndarray]


def build_pyramid(volume: Volume, coarsest_zyx: Zyx | None = None) -> Volume:
    """Write the coarser levels of a volume and list them in its metadata; returns the volume with all levels.

    Axes are halved that have the smallest voxels, until voxels are near-isotropic, then all; the last level
    fits in `coarsest_zyx` (None: one chunk). Levels that exist are computed again. Memory does not depend on the
    volume.
    """
    downsample = mode_of_windows if volume.is_labels else mean_of_windows
    levels = [volume.levels[0]]
    while (factors := pyramid_factors(levels[-1].geometry, coarsest_zyx or volume.chunk_zyx)) != (1, 1, 1):
        levels.append(_add_level(volume, levels[-1], factors, len(levels), downsample))
    ome = with_levels(volume.ome, [level.geometry for level in levels], has_channels=volume.array.ndim > 3)
    volume.store.write_json("zarr.json", ngff.group(ome))
    _delete_levels(volume, from_index=len(levels))
    return Volume(volume.store, ome)


def mean_of_windows(data: np.ndarray, factors_zyx: Zyx) -> np.ndarray:
    """Mean of each window of the last three axes, in the type of the data; integers are rounded, half up.

    A window cut off by the end of the data is the mean of what it holds.
    """
    parts = window_parts(data, factors_zyx)
    if data.dtype.kind == "f":
        return np.mean(parts, axis=0, dtype=np.float64).astype(data.dtype)
    total = np.sum(parts, axis=0, dtype=np.uint64)
    return ((total + len(parts) // 2) // len(parts)).astype(data.dtype)


def mode_of_windows(data: np.ndarray, factors_zyx: Zyx) -> np.ndarray:
    """The most frequent value of each window of the last three axes; of a tie, the smallest that is not zero.

    Bit masks are compared as whole values, so that no combination of classes appears that was not there.
    """
    parts = window_parts(data, factors_zyx)
    best = parts[0]
    best_votes = np.zeros(best.shape, np.uint8)
    for part in parts:
        # Twice the votes, plus one for a value that is not zero, which therefore wins a tie against zero.
        votes = np.add.reduce([part == other for other in parts], dtype=np.uint8) * 2 + (part != 0)
        better = (votes > best_votes) | ((votes == best_votes) & (part < best))
        best = np.where(better, part, best)
        best_votes = np.where(better, votes, best_votes)
    return best


def window_parts(data: np.ndarray, factors: Zyx) -> list[np.ndarray]:
    """The first, second, ... voxel of every window; an array each, in C order of the window."""
    # With factors of 1 and 2, repeating the last voxel changes neither the mean nor the mode of a cut window.
    overhang = [(0, -n % f) for n, f in zip(data.shape[-3:], factors, strict=True)]
    padded = np.pad(data, [(0, 0)] * (data.ndim - 3) + overhang, mode="edge")
    fz, fy, fx = factors
    return [padded[..., z::fz, y::fy, x::fx] for z, y, x in product(range(fz), range(fy), range(fx))]


def _add_level(volume: Volume, finer: Level, factors: Zyx, index: int, downsample: Downsample) -> Level:
    geometry = finer.geometry.coarser(factors)
    leading = finer.array.shape[:-3]
    level = create_level(volume.store, str(index), geometry, volume.dtype, volume.chunk_zyx, volume.shard_zyx, leading)
    for shard in tile(geometry.block, level.shard_zyx):
        level.write(shard, _downsampled(finer, shard, level.chunk_zyx, factors, downsample))
    return level


def _delete_levels(volume: Volume, from_index: int) -> None:
    """Remove the levels of an earlier, deeper pyramid."""
    stale = from_index
    while volume.store.exists(f"{stale}/zarr.json"):
        volume.store.delete_all(str(stale))
        stale += 1


def _downsampled(finer: Level, block: Block, chunk: Zyx, factors: Zyx, downsample: Downsample) -> np.ndarray:
    """One block of the coarser level, computed chunk by chunk to keep the temporary arrays small."""
    out = np.empty((*finer.array.shape[:-3], *block.shape_zyx), finer.array.dtype)
    for part in tile(block, chunk):
        source = _covered(part, factors).intersect(finer.geometry.block)
        assert source is not None, "a coarse voxel covers at least one fine voxel"
        out[(..., *part.relative_to(block).slices)] = downsample(finer.read(source), factors)
    return out


def _covered(block: Block, factors: Zyx) -> Block:
    """The fine voxels below a block of the coarser level."""
    start = [edge * f for edge, f in zip(block.start_zyx, factors, strict=True)]
    stop = [edge * f for edge, f in zip(block.stop_zyx, factors, strict=True)]
    return Block((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
