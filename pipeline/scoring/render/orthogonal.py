"""Three planes through one voxel, raw with an overlay, joined at their common edges and drawn to one scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.scoring.render.surfaces import Style
from pipeline.scoring.slices import Rgb, grey_image
from pipeline.volume.geometry import Zyx

_GAP = 14
"""Pixels between the planes; marks in it say where the others cut."""
_BAND = 4
_MARK_COLOR = (20, 26, 33)
_OVERLAY = 0.85
"""How much of the colour an opaque style lays over the raw data."""


@dataclass(frozen=True)
class Planes:
    """The planes of a volume through the voxel `at` (z, y, x), each an array whose axes its name says, rows first."""

    yx: NDArray[Any]
    yz: NDArray[Any]
    zx: NDArray[Any]
    at: Zyx


def planes(volume: NDArray[Any], at: Zyx) -> Planes:
    """Return the planes of an array (z, y, x) through one of its voxels."""
    z, y, x = at
    return Planes(volume[z], volume[:, :, x].T, volume[:, y], at)


def orthogonal_picture(
    raw: Planes,
    labels: Planes,
    styles: Mapping[int, Style],
    voxel_size_nm: tuple[float, float, float],
    largest: tuple[int, int],
) -> tuple[Rgb, float]:
    """Return the three planes as one picture (y, x, 3), and its nanometres a pixel.

    The plane of a slice (y, x) has z, y to its right and z, x below it. `largest` is the width and height that the
    picture must not exceed. Labels with a style are laid over the raw data, in bands where they are banded.
    """
    size_nm = _size_nm(raw, voxel_size_nm)
    scale = _nm_a_pixel(size_nm, largest)
    depth, height, width = (max(1, round(side / scale)) for side in size_nm)
    rows, columns = height + _GAP + depth, width + _GAP + depth
    joined = np.full((rows, columns, 3), 255, np.uint8)
    joined[:height, :width] = _overlaid(raw.yx, labels.yx, styles, (height, width))
    joined[:height, -depth:] = _overlaid(raw.yz, labels.yz, styles, (height, depth))
    joined[-depth:, :width] = _overlaid(raw.zx, labels.zx, styles, (depth, width))
    z, y, x = (int((at + 0.5) * voxel / scale) for at, voxel in zip(raw.at, voxel_size_nm, strict=True))
    edge = slice(2, _GAP - 2)
    joined[height:, :][edge, x - 1 : x + 1] = _MARK_COLOR
    joined[y - 1 : y + 1, width:][:, edge] = _MARK_COLOR
    joined[height:, -depth:][edge, z : z + 2] = _MARK_COLOR
    joined[-depth:, width:][z : z + 2, edge] = _MARK_COLOR
    return joined, scale


def _size_nm(raw: Planes, voxel_size_nm: tuple[float, float, float]) -> tuple[float, float, float]:
    voxel_z, voxel_y, voxel_x = voxel_size_nm
    rows, columns = raw.yx.shape
    return len(raw.zx) * voxel_z, rows * voxel_y, columns * voxel_x


def _nm_a_pixel(size_nm: tuple[float, float, float], largest: tuple[int, int]) -> float:
    depth, height, width = size_nm
    most_columns, most_rows = largest
    return max((width + depth) / (most_columns - _GAP), (height + depth) / (most_rows - _GAP))


def _overlaid(
    raw: NDArray[Any], labels: NDArray[Any], styles: Mapping[int, Style], shape: tuple[int, int]
) -> NDArray[np.uint8]:
    """A plane in pixels: each shows the voxel below its middle."""
    rows, columns = (((np.arange(n) + 0.5) * side / n).astype(int) for n, side in zip(shape, raw.shape, strict=True))
    seen = grey_image(raw)[np.ix_(rows, columns)].astype(np.float32)
    kinds = labels[np.ix_(rows, columns)]
    odd_band = (np.add.outer(np.arange(shape[0]), np.arange(shape[1])) // _BAND) % 2 == 1
    for label, style in styles.items():
        here = kinds == label
        for place, color in ((here & ~odd_band, style.color), (here & odd_band, style.band_color)):
            rgb = np.frombuffer(bytes.fromhex(color[1:]), np.uint8)
            share = _OVERLAY * max(style.opacity, 0.4)
            seen[place] = (1 - share) * seen[place] + share * rgb
    return seen.round().astype(np.uint8)
