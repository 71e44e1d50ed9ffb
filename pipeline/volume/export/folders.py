"""A volume as a folder of many files: PNG slices, or Neuroglancer's precomputed format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.errors import InputError, StorageError
from pipeline.volume.export.excerpt import Excerpt
from pipeline.volume.geometry import Block
from pipeline.volume.viewers import segment_names

_CHUNK_ZYX = (64, 64, 64)
_INCH_NM = 25.4e6


def write_folder(excerpt: Excerpt, folder: Path, format: str) -> Path:
    """Write a part of a volume into a folder, which is made and must be empty.

    Args:
        excerpt: the part.
        folder: local.
        format: ``png`` (a file a slice, named in order) or ``precomputed``
            (https://github.com/google/neuroglancer/blob/master/src/datasource/precomputed/volume.md).

    Returns:
        The folder.

    Raises:
        InputError: the folder is not empty, or the format does not hold such voxels.
        StorageError: the disk is full.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise InputError(f"{folder}: is not an empty folder; name another place")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        FOLDERS[format](excerpt, folder)
    except OSError as error:
        raise StorageError(f"{folder}: export failed ({error}); check free space and permissions") from error
    return folder


def _png(excerpt: Excerpt, folder: Path) -> None:
    if excerpt.channels is not None or excerpt.dtype.name not in ("uint8", "uint16"):
        raise InputError(f"{folder}: PNG holds no {excerpt.dtype.name} voxels, and no channels; export as .tif or .h5")
    depth, height, width = excerpt.shape_zyx
    _, y_nm, x_nm = excerpt.voxel_size_nm
    digits = max(4, len(str(depth - 1)))
    for z in range(depth):
        plane = np.ascontiguousarray(excerpt.read(Block((z, 0, 0), (z + 1, height, width)))[0])
        path = folder / f"{z:0{digits}d}.png"
        Image.fromarray(plane).save(path, dpi=(_INCH_NM / x_nm, _INCH_NM / y_nm), compress_level=6)


def _precomputed(excerpt: Excerpt, folder: Path) -> None:
    if excerpt.dtype.name not in ("uint8", "uint16", "uint32", "uint64", "float32"):
        raise InputError(f"{folder}: precomputed holds no {excerpt.dtype.name} voxels; export as .tif or .h5")
    scale = {
        "key": "0",
        "size": excerpt.shape_zyx[::-1],
        "voxel_offset": excerpt.block.start_zyx[::-1],
        "resolution": excerpt.voxel_size_nm[::-1],
        "chunk_sizes": [_CHUNK_ZYX[::-1]],
        "encoding": "raw",
    }
    info: dict[str, Any] = {
        "@type": "neuroglancer_multiscale_volume",
        "type": "segmentation" if excerpt.is_labels else "image",
        "data_type": excerpt.dtype.name,
        "num_channels": 1 if excerpt.channels is None else len(excerpt.channels),
        "scales": [scale],
    }
    (folder / "0").mkdir()
    if excerpt.is_labels:
        info["segment_properties"] = "names"
        (folder / "names").mkdir()
        (folder / "names/info").write_bytes(segment_names(excerpt.classes))
    for block in excerpt.tiles(_CHUNK_ZYX):
        placed = block.shift(excerpt.block.start_zyx)
        spans = zip(placed.start_zyx[::-1], placed.stop_zyx[::-1], strict=True)
        data = np.ascontiguousarray(excerpt.read(block), excerpt.dtype.newbyteorder("<"))
        (folder / "0" / "_".join(f"{start}-{stop}" for start, stop in spans)).write_bytes(data.tobytes())
    (folder / "info").write_text(json.dumps(info, indent=1), encoding="utf-8")


FOLDERS: dict[str, Callable[[Excerpt, Path], None]] = {"png": _png, "precomputed": _precomputed}
