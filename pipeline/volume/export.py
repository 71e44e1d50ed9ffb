"""Writing a volume to one file for other programs: TIFF (ImageJ, or OME-BigTIFF) and NumPy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import tifffile

from pipeline.errors import InputError, StorageError
from pipeline.volume.geometry import Block, tile
from pipeline.volume.multiscale import Volume

_IMAGEJ_TYPES = ("uint8", "uint16", "float32")
_IMAGEJ_BYTES = 2**32 - 2**16


class _Layout(NamedTuple):
    """Where the voxels of a new file lie: C order from `offset`, in this type and byte order."""

    offset: int
    dtype: np.dtype[Any]


def export_image(volume: Volume, path: Path, format: str | None = None) -> Path:
    """Write level 0 of an image to a local file: "tiff" or "npy" (None: from the file's ending).

    TIFF carries the voxel size: as an ImageJ hyperstack where type and size allow, else as OME-BigTIFF.
    The file appears when it is complete; memory does not depend on the volume. Returns the path.
    Raises InputError for an unknown format and StorageError for a full disk.
    """
    layout = _layout_writer(path, format)
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _fill(volume, partial, layout(volume, partial))
        partial.replace(path)
    except OSError as error:
        raise StorageError(f"{path}: export failed ({error}); check free space and permissions") from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def export_labels(volume: Volume, path: Path, format: str | None = None) -> Path:
    """Write the class ids of a label volume; see `export_image`. Raises InputError for an image."""
    if not volume.is_labels:
        raise InputError(f"{volume.store.url}: is an image, not a label volume; export it as an image")
    return export_image(volume, path, format)


def _layout_writer(path: Path, format: str | None) -> Callable[[Volume, Path], _Layout]:
    name = format or path.suffix.lower().removeprefix(".")
    if name not in FORMATS:
        raise InputError(f"{path}: export format {name!r}; use one of {', '.join(sorted(FORMATS))}")
    return FORMATS[name]


def _fill(volume: Volume, path: Path, layout: _Layout) -> None:
    # Not through a memory map: a full disk would kill the process instead of raising an error.
    with path.open("r+b") as file:
        for block in tile(volume.geometry.block, volume.shard_zyx):
            _write_rows(file, volume, block, layout)


def _write_rows(file: BinaryIO, volume: Volume, block: Block, layout: _Layout) -> None:
    _, height, width = volume.shape_zyx
    data = np.ascontiguousarray(volume.read(block), layout.dtype).reshape(-1, *block.shape_zyx)
    z_start, y_start, x_start = block.start_zyx
    for (channel, z, y), row in zip(np.ndindex(data.shape[:3]), data.reshape(-1, data.shape[3]), strict=True):
        plane = channel * volume.shape_zyx[0] + z_start + z
        voxels_before = (plane * height + y_start + y) * width + x_start
        file.seek(layout.offset + voxels_before * layout.dtype.itemsize)
        file.write(row.data)


def _npy(volume: Volume, path: Path) -> _Layout:
    mapped = np.lib.format.open_memmap(path, "w+", volume.dtype, volume.array.shape)
    return _Layout(mapped.offset, mapped.dtype)


def _tiff(volume: Volume, path: Path) -> _Layout:
    shape, dtype = volume.array.shape, volume.dtype
    imagej = volume.channels is None and dtype.name in _IMAGEJ_TYPES and volume.array.nbytes < _IMAGEJ_BYTES
    options = _imagej_options(volume) if imagej else _ome_options(volume)
    mapped = tifffile.memmap(path, shape=shape, dtype=dtype, photometric="minisblack", **options)
    return _Layout(mapped.offset, mapped.dtype)


def _imagej_options(volume: Volume) -> dict[str, Any]:
    z_nm, y_nm, x_nm = volume.geometry.voxel_size_nm
    metadata = {"axes": "ZYX", "spacing": z_nm, "unit": "nm"}
    return {"imagej": True, "resolution": (1 / x_nm, 1 / y_nm), "metadata": metadata}


def _ome_options(volume: Volume) -> dict[str, Any]:
    sizes = zip("ZYX", volume.geometry.voxel_size_nm, strict=True)
    metadata: dict[str, Any] = {"axes": "ZYX" if volume.channels is None else "CZYX"}
    for axis, size_nm in sizes:
        metadata |= {f"PhysicalSize{axis}": size_nm, f"PhysicalSize{axis}Unit": "nm"}
    if volume.channels is not None:
        metadata["Channel"] = {"Name": list(volume.channels)}
    return {"ome": True, "bigtiff": True, "metadata": metadata}


FORMATS: dict[str, Callable[[Volume, Path], _Layout]] = {"npy": _npy, "tif": _tiff, "tiff": _tiff}
