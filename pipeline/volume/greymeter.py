"""Measuring the grey values of a volume: of all of it, or of windows from everywhere in it."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from pipeline.volume.geometry import Block, Zyx, zyx
from pipeline.volume.greyvalues import SHARES, GreyValues
from pipeline.volume.intensity import IntensityHistogram
from pipeline.volume.sources.base import Source
from pipeline.volume.streaming import ImageView, pieces

SAMPLED_VOXELS = 2**23
"""A volume of no more is looked at as a whole."""
_SLICES, _FEWEST_SLICES, _SLICE_BYTES, _WINDOWS, _WINDOW, _SMALLEST_WINDOW = 32, 8, 2**29, 128, 256, 32
_CHUNK_WINDOW = 64
"""Sides of a window of chunks that are smaller than that: as many of them as it takes to see a texture."""
_PLASTIC = 1.32471795724474602596
"""Multiples of its first two inverse powers spread evenly over a square."""


def measured(source: Source) -> GreyValues:
    """The grey values of a volume: of all of it, or of windows from everywhere in it; the same each time."""
    image = ImageView(source, 0, source.shape_zyx[0])
    meter = GreyMeter(image.dtype)
    for voxels in _sample(image):
        meter.add(voxels)
    return meter.values(source.dtype)


class GreyMeter:
    """Collects what is known of grey values, block by block (z, y, x), of type uint8, uint16 or float32."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._histogram = IntensityHistogram(dtype)
        self._textures: list[float] = []

    def add(self, block: NDArray[Any], *, has_texture: bool = True) -> None:
        """Count the voxels of a block; where it is asked for, look at the texture of every eighth of its slices."""
        self._histogram.add(block)
        if has_texture:
            self._textures += [found for plane in block[::8] if (found := _texture(plane)) is not None]

    def values(self, dtype: np.dtype[Any]) -> GreyValues:
        """Of all blocks, at least one voxel; dtype: of the voxels in their file."""
        summary = self._histogram.summary()
        quantiles, padding = self._histogram.quantiles_without_padding(SHARES)
        texture = float(np.mean(self._textures)) if self._textures else 0.0
        return GreyValues(dtype.name, summary.minimum, summary.maximum, tuple(quantiles), padding, texture)


def _texture(plane: NDArray[Any]) -> float | None:
    """Asymmetry of the differences between ranks and their mean over 5 x 5 pixels, of the middle of a slice.

    Dark membranes and bright cytosol differ in it. None where a slice is small, or mostly of one value.
    """
    starts = [max(0, (length - _WINDOW) // 2) for length in plane.shape]
    window = plane[starts[0] : starts[0] + _WINDOW, starts[1] : starts[1] + _WINDOW]
    _, places, counts = np.unique(window, return_inverse=True, return_counts=True)
    if min(window.shape) < _SMALLEST_WINDOW or counts.max() > window.size / 4:
        return None
    ranks = ((np.cumsum(counts) - counts / 2) / window.size)[places].reshape(window.shape)
    detail = ranks - uniform_filter(ranks, 5)
    low, middle, high = np.quantile(detail, (0.01, 0.5, 0.99))
    return float((high + low - 2 * middle) / max(high - low, 1e-12))


def _sample(image: Source) -> Iterator[NDArray[Any]]:
    depth, height, width = image.shape_zyx
    if depth * height * width <= SAMPLED_VOXELS:
        yield from (data for _, data in pieces(image))
        return
    count = max(_FEWEST_SLICES, min(_SLICES, _SLICE_BYTES // (height * width * image.dtype.itemsize)))
    slices = sorted({(2 * index + 1) * depth // (2 * count) for index in range(count)})
    rows, columns = min(height, _WINDOW), min(width, _WINDOW)
    each = -(-_WINDOWS // len(slices))
    seen: set[Block] = set()
    for number, z in enumerate(slices):
        plane = image.read(z, z + 1) if image.slices_at_once else None
        for index in range(number * each, (number + 1) * each):
            y = int((height - rows + 1) * ((index + 0.5) / _PLASTIC % 1))
            x = int((width - columns + 1) * ((index + 0.5) / _PLASTIC**2 % 1))
            if plane is not None:
                yield plane[:, y : y + rows, x : x + columns]
                continue
            window = Block((z, y, x), (z + 1, y + rows, x + columns))
            if image.fetched_zyx is not None:
                window = _chunk_around(image, window.start_zyx, image.fetched_zyx)
            if window not in seen:
                seen.add(window)
                yield image.read_block(window)


def _chunk_around(image: Source, voxel_zyx: Zyx, chunk_zyx: Zyx) -> Block:
    """Of what is decoded at once with a voxel as many voxels as a window has, at most."""
    sides = [min(_WINDOW, chunk * -(-_CHUNK_WINDOW // chunk)) for chunk in chunk_zyx[1:]]
    wanted = (min(chunk_zyx[0], max(1, _WINDOW**2 // prod(sides))), *sides)
    found = zip(voxel_zyx, image.origin_zyx, chunk_zyx, strict=True)
    starts = zyx([max(0, (voxel + origin) // chunk * chunk - origin) for voxel, origin, chunk in found], "start")
    ends = zip(starts, wanted, image.shape_zyx, strict=True)
    return Block(starts, zyx([min(start + side, length) for start, side, length in ends], "stop"))
