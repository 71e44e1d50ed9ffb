"""An image at another voxel size: averaged along axes that become coarser, interpolated along those that become finer.

Along each axis the fine and the coarse grid begin at the same edge. A coarser voxel is the mean of what it covers,
parts of voxels by their share, so that nothing aliases; a finer one lies on the line between the two nearest centres.
Every block of the result is computed from the voxels below it alone, and does not depend on how it is cut.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.volume.geometry import Block, Geometry, ZyxNm, default_grid, tile
from pipeline.volume.omezarr import Volume, create_image
from pipeline.volume.pyramid import build_pyramid
from pipeline.volume.stores import Store

LARGEST_RATIO = 8.0
"""Between two voxel sizes; beyond it, what is to be seen at one of them is not in the other."""

Weights = NDArray[np.float32]


def resampled_geometry(geometry: Geometry, voxel_size_nm: ZyxNm) -> Geometry:
    """Shape and place of a volume at another voxel size (z, y, x). Raises InputError above `LARGEST_RATIO`."""
    ratios = _ratios(geometry, voxel_size_nm)
    if any(not 1 / LARGEST_RATIO <= ratio <= LARGEST_RATIO for ratio in ratios):
        raise InputError(
            f"voxels of {geometry.voxel_size_nm} nm cannot become {tuple(voxel_size_nm)} nm (z, y, x): no axis may "
            f"change by more than {LARGEST_RATIO:g}; check both sizes"
        )
    z, y, x = (max(1, round(length / ratio)) for length, ratio in zip(geometry.shape_zyx, ratios, strict=True))
    shifts = zip(geometry.translation_nm, geometry.voxel_size_nm, ratios, strict=True)
    shift_z, shift_y, shift_x = (origin + (ratio - 1) / 2 * size for origin, size, ratio in shifts)
    return Geometry((z, y, x), voxel_size_nm, (shift_z, shift_y, shift_x))


def resample(image: Volume, store: Store, voxel_size_nm: ZyxNm) -> Volume:
    """Write an image (z, y, x) at another voxel size, with its coarser levels; memory is that of some blocks."""
    geometry = resampled_geometry(image.geometry, voxel_size_nm)
    chunk_zyx, shard_zyx = default_grid(geometry)
    out = create_image(
        store, geometry=geometry, dtype=image.dtype, name=image.name, chunk_zyx=chunk_zyx, shard_zyx=shard_zyx
    )
    for shard in tile(geometry.block, shard_zyx):
        data = np.empty(shard.shape_zyx, image.dtype)
        for block in tile(shard, chunk_zyx):
            inside = block.relative_to(shard).slices
            data[inside] = as_stored(resampled_block(image, geometry, block), image.dtype)
        out.write(shard, data)
    return build_pyramid(out)


def resampled_block(image: Volume, geometry: Geometry, block: Block) -> NDArray[np.float32]:
    """The voxels (channel?, z, y, x) of a block of the geometry that `image` is brought to."""
    ratios = _ratios(image.geometry, geometry.voxel_size_nm)
    edges = zip(block.start_zyx, block.stop_zyx, ratios, image.shape_zyx, strict=True)
    (z, weights_z), (y, weights_y), (x, weights_x) = (_weights(*axis) for axis in edges)
    window = image.read(Block((z, y, x), (z + weights_z.shape[1], y + weights_y.shape[1], x + weights_x.shape[1])))
    thinner = np.einsum("az,...zyx->...ayx", weights_z, window.astype(np.float32), optimize=True)
    return np.asarray(np.matmul(np.matmul(weights_y, thinner), weights_x.T), np.float32)


def nearest_block(labels: Volume, geometry: Geometry, block: Block) -> NDArray[Any]:
    """The ids (z, y, x) of a block of the geometry that `labels` are brought to: of the voxel that holds its centre."""
    ratios = _ratios(labels.geometry, geometry.voxel_size_nm)
    edges = zip(block.start_zyx, block.stop_zyx, ratios, labels.shape_zyx, strict=True)
    z, y, x = (
        np.minimum(((np.arange(start, stop) + 0.5) * ratio).astype(np.int64), length - 1)
        for start, stop, ratio, length in edges
    )
    window = labels.read(Block((z[0], y[0], x[0]), (z[-1] + 1, y[-1] + 1, x[-1] + 1)))
    return window[np.ix_(z - z[0], y - y[0], x - x[0])]


def bring_back(source: Volume, onto: Volume) -> Volume:
    """Fill a volume with another one of the same place, ids by `nearest_block`, all else by `resampled_block`.

    Returns it with its coarser levels. Memory is that of some blocks.
    """
    leading = onto.array.shape[:-3]
    for shard in tile(onto.geometry.block, onto.shard_zyx):
        data = np.empty((*leading, *shard.shape_zyx), onto.dtype)
        for block in tile(shard, onto.chunk_zyx):
            inside = block.relative_to(shard).slices
            if onto.is_labels:
                data[inside] = nearest_block(source, onto.geometry, block)
            else:
                data[(..., *inside)] = as_stored(resampled_block(source, onto.geometry, block), onto.dtype)
        onto.write(shard, data)
    return build_pyramid(onto)


def as_stored(values: NDArray[np.floating[Any]], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values in the type of a volume: rounded and kept within its range where it holds whole numbers."""
    if dtype.kind not in "ui":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    rounded: NDArray[Any] = np.rint(values).clip(limits.min, limits.max).astype(dtype)
    return rounded


def _ratios(geometry: Geometry, voxel_size_nm: ZyxNm) -> list[float]:
    return [new / old for new, old in zip(voxel_size_nm, geometry.voxel_size_nm, strict=True)]


def _weights(start: int, stop: int, ratio: float, length: int) -> tuple[int, Weights]:
    """First voxel that new voxels `start` to `stop` (excluded) are made of, and its and the next ones' weights."""
    new = np.arange(start, stop)
    if ratio > 1:
        lows, highs = new * ratio, np.minimum((new + 1) * ratio, length)
        first, last = int(lows[0]), min(int(np.ceil(highs[-1])), length)
        old = np.arange(first, last)
        covered = np.minimum(highs[:, None], old + 1) - np.maximum(lows[:, None], old)
        weights = np.maximum(covered, 0)
        return first, (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    centres = np.clip((new + 0.5) * ratio - 0.5, 0, length - 1)
    first, last = int(centres[0]), min(int(np.ceil(centres[-1])) + 1, length)
    distances: NDArray[Any] = np.abs(centres[:, None] - np.arange(first, last))
    return first, np.maximum(0, 1 - distances).astype(np.float32)
