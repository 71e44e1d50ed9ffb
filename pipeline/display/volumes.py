"""A volume in a notebook: what it is, and a slice from its middle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.display import parts
from pipeline.scoring.slices import grey_image, topmost_class
from pipeline.volume.geometry import Block

if TYPE_CHECKING:
    from pipeline.volume.multiscale import Level, Volume

_WIDTH = 420
"""Of the slice in the page, in pixels."""


def volume_html(volume: Volume) -> str:
    """Shape, voxel size and type of a volume, a slice of it, and the colours of its classes."""
    level = _level_to_show(volume)
    z = level.geometry.shape_zyx[0] // 2
    slice_of_volume = z * volume.shape_zyx[0] // level.geometry.shape_zyx[0]
    (_, height_nm, width_nm), shape = _sides_nm(volume), " × ".join(f"{side:,}" for side in volume.shape_zyx)
    sizes = " × ".join(f"{size:g}" for size in volume.geometry.voxel_size_nm)
    seen = (
        parts.picture(_slice(volume, level, z), f"Slice {slice_of_volume}", width=_WIDTH, aspect=width_nm / height_nm),
        parts.note(f"slice {slice_of_volume}, {width_nm / 1000:.3g} × {height_nm / 1000:.3g} µm"),
    )
    channels = f", channels {', '.join(volume.channels)}" if volume.channels else ""
    kind = "labels" if volume.is_labels else "image"
    facts = f"{shape} voxels of {sizes} nm (z, y, x), {volume.dtype}, {len(volume.levels)} levels{channels}"
    legend = parts.swatches((name, color) for _, name, color in volume.classes)
    return "".join([parts.heading(volume.name or kind, f"{kind}: {facts}"), *seen, legend if volume.classes else ""])


def class_ids(volume: Volume, values: NDArray[Any]) -> NDArray[np.uint16]:
    """Places (from 1) in the volume's classes of what is stored in it; of overlapping classes the last one's."""
    if values.dtype == np.uint32:
        return topmost_class(values, len(volume.classes)).astype(np.uint16)
    ids = np.zeros(np.iinfo(values.dtype).max + 1, np.uint16)
    for place, (value, _, _) in enumerate(volume.classes, start=1):
        ids[value] = place
    return np.asarray(ids[values])


def _level_to_show(volume: Volume) -> Level:
    """The coarsest level that has a pixel of the slice for each of the page."""
    fine_enough = [level for level in volume.levels if level.geometry.shape_zyx[2] >= _WIDTH]
    return fine_enough[-1] if fine_enough else volume.levels[0]


def _slice(volume: Volume, level: Level, z: int) -> NDArray[np.uint8]:
    """RGB, or of labels RGBA in which what has no class is clear; of channels the first."""
    _, rows, columns = level.geometry.shape_zyx
    values = level.read(Block((z, 0, 0), (z + 1, rows, columns)))
    plane = values.reshape(-1, rows, columns)[0]
    if not volume.is_labels:
        return grey_image(plane)
    colors = [bytes.fromhex(color[1:]) + b"\xff" for _, _, color in volume.classes]
    palette = np.array([(0, 0, 0, 0), *map(tuple, colors)], np.uint8)
    return np.asarray(palette[class_ids(volume, plane)])


def _sides_nm(volume: Volume) -> tuple[float, float, float]:
    z, y, x = (n * size for n, size in zip(volume.shape_zyx, volume.geometry.voxel_size_nm, strict=True))
    return z, y, x
