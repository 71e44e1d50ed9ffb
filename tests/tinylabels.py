"""Small volumes of labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pipeline.volume.geometry import Geometry
from pipeline.volume.omezarr import Volume, create_labels
from pipeline.volume.stores import Store


def labels_of(
    folder: Path,
    ids: NDArray[Any],
    classes: Sequence[tuple[int, str, str]],
    voxel_size_nm: tuple[float, float, float] = (40.0, 8.0, 8.0),
) -> Volume:
    """A volume of these ids (z, y, x) in a new folder, in one chunk; classes are id, name and colour."""
    volume = create_labels(
        Store.open(folder, create=True),
        "ids",
        geometry=Geometry(ids.shape, voxel_size_nm),
        dtype=ids.dtype,
        classes=classes,
        chunk_zyx=ids.shape,
        shard_zyx=ids.shape,
    )
    volume.write(volume.geometry.block, ids)
    return volume
