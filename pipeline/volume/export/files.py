"""A volume as one file: TIFF (ImageJ, or OME-BigTIFF), NumPy, MRC, NRRD, HDF5.

The library of a format writes its header and leaves room for the voxels, in C order and not compressed; they are
written there block by block, so that memory does not depend on the volume.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray

from pipeline.errors import InputError, StorageError
from pipeline.volume.export.excerpt import Excerpt
from pipeline.volume.geometry import Block
from pipeline.volume.omezarr import Volume

DATASET = "exported_data"
"""In HDF5, as ilastik calls it."""
_IMAGEJ_TYPES = ("uint8", "uint16", "float32")
_IMAGEJ_BYTES = 2**32 - 2**16


class Layout(NamedTuple):
    """Where the voxels of a new file lie: C order from `offset`, in this type and byte order."""

    offset: int
    dtype: np.dtype[Any]


def export_image(volume: Volume, path: Path, format: str | None = None) -> Path:
    """Write level 0 of a volume to a local file; see `write_file`."""
    return write_file(Excerpt.of(volume), path, format)


def export_labels(volume: Volume, path: Path, format: str | None = None) -> Path:
    """Write the class ids of a label volume; see `write_file`. Raises InputError for an image."""
    if not volume.is_labels:
        raise InputError(f"{volume.store.url}: is an image, not a label volume; export it as an image")
    return export_image(volume, path, format)


def write_file(excerpt: Excerpt, path: Path, format: str | None = None) -> Path:
    """Write a part of a volume to one local file, in a format of `FORMATS` (None: by the file's ending).

    The voxel size is kept in each but NumPy's. TIFF is an ImageJ hyperstack where type and size allow, with the colours
    of the classes or the range of greys to show, else OME-BigTIFF. The file appears when it is complete.

    Returns:
        The path.

    Raises:
        InputError: the format is unknown, or does not hold such voxels.
        StorageError: the disk is full.
    """
    layout = _layout_writer(path, format)
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _fill(excerpt, partial, layout(excerpt, partial))
        partial.replace(path)
    except OSError as error:
        raise StorageError(f"{path}: export failed ({error}); check free space and permissions") from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def color_table(excerpt: Excerpt) -> NDArray[np.uint8]:
    """Red, green and blue (256, 3) of each value of labels of one byte; black where there is no class."""
    table = np.zeros((256, 3), np.uint8)
    for value, _, color in excerpt.classes:
        table[value] = list(bytes.fromhex(color.removeprefix("#")))
    return table


def _layout_writer(path: Path, format: str | None) -> Callable[[Excerpt, Path], Layout]:
    name = format or path.suffix.lower().removeprefix(".")
    if name not in FORMATS:
        raise InputError(f"{path}: cannot export as {name!r}; let the name end in one of {', '.join(sorted(FORMATS))}")
    return FORMATS[name]


def _fill(excerpt: Excerpt, path: Path, layout: Layout) -> None:
    # Not through a memory map: a full disk would kill the process instead of raising an error.
    with path.open("r+b") as file:
        for block in excerpt.tiles():
            _write_rows(file, excerpt, block, layout)


def _write_rows(file: BinaryIO, excerpt: Excerpt, block: Block, layout: Layout) -> None:
    depth, height, width = excerpt.shape_zyx
    data = np.ascontiguousarray(excerpt.read(block), layout.dtype).reshape(-1, *block.shape_zyx)
    z_start, y_start, x_start = block.start_zyx
    for (channel, z, y), row in zip(np.ndindex(data.shape[:3]), data.reshape(-1, data.shape[3]), strict=True):
        plane = channel * depth + z_start + z
        voxels_before = (plane * height + y_start + y) * width + x_start
        file.seek(layout.offset + voxels_before * layout.dtype.itemsize)
        file.write(row.data)


def _npy(excerpt: Excerpt, path: Path) -> Layout:
    mapped = np.lib.format.open_memmap(path, "w+", excerpt.dtype, excerpt.shape)
    return Layout(mapped.offset, mapped.dtype)


def _tiff(excerpt: Excerpt, path: Path) -> Layout:
    imagej = excerpt.channels is None and excerpt.dtype.name in _IMAGEJ_TYPES and excerpt.nbytes < _IMAGEJ_BYTES
    return _mapped_tiff(excerpt, path, _imagej_options(excerpt) if imagej else _ome_options(excerpt))


def _big_tiff(excerpt: Excerpt, path: Path) -> Layout:
    return _mapped_tiff(excerpt, path, _ome_options(excerpt))


def _mapped_tiff(excerpt: Excerpt, path: Path, options: dict[str, Any]) -> Layout:
    mapped = tifffile.memmap(path, shape=excerpt.shape, dtype=excerpt.dtype, **options)
    return Layout(mapped.offset, mapped.dtype)


def _imagej_options(excerpt: Excerpt) -> dict[str, Any]:
    z_nm, y_nm, x_nm = excerpt.voxel_size_nm
    metadata: dict[str, Any] = {"axes": "ZYX", "spacing": z_nm, "unit": "nm"}
    options = {"imagej": True, "resolution": (1 / x_nm, 1 / y_nm), "metadata": metadata, "photometric": "minisblack"}
    if excerpt.is_labels and excerpt.dtype == np.uint8:
        # A table of colours, and the range that leaves each value its own colour.
        table = color_table(excerpt).T
        metadata |= {"min": 0.0, "max": 255.0}
        return options | {"photometric": "palette", "colormap": table.astype(np.uint16) * 257}
    if excerpt.shown:
        low, high = excerpt.shown
        metadata |= {"min": low, "max": high}
    return options


def _ome_options(excerpt: Excerpt) -> dict[str, Any]:
    sizes = zip("ZYX", excerpt.voxel_size_nm, strict=True)
    metadata: dict[str, Any] = {"axes": "ZYX" if excerpt.channels is None else "CZYX"}
    for axis, size_nm in sizes:
        metadata |= {f"PhysicalSize{axis}": size_nm, f"PhysicalSize{axis}Unit": "nm"}
    if excerpt.channels is not None:
        metadata["Channel"] = {"Name": list(excerpt.channels)}
    return {"ome": True, "bigtiff": True, "metadata": metadata, "photometric": "minisblack"}


def _mrc(excerpt: Excerpt, path: Path) -> Layout:
    import mrcfile

    modes = {"uint8": 6, "uint16": 6, "float32": 2}  # mode 0 is signed to some readers and unsigned to others
    if excerpt.channels is not None or excerpt.dtype.name not in modes:
        raise InputError(f"{path}: MRC holds no {_words(excerpt)}; export as .tif, .h5 or .nrrd")
    with mrcfile.new_mmap(path, excerpt.shape, modes[excerpt.dtype.name], overwrite=True) as file:
        z_nm, y_nm, x_nm = excerpt.voxel_size_nm
        file.set_volume()
        file.voxel_size = (x_nm * 10, y_nm * 10, z_nm * 10)
        return Layout(file.header.nbytes, file.data.dtype)


def _nrrd(excerpt: Excerpt, path: Path) -> Layout:
    dtype = excerpt.dtype.newbyteorder("<")
    names = {"float32": "float", "float64": "double"}
    sizes, origin = excerpt.voxel_size_nm[::-1], excerpt.origin_nm[::-1]
    directions = [
        f"({','.join(f'{size:.9g}' if k == axis else '0' for k in range(3))})" for axis, size in enumerate(sizes)
    ]
    kinds = ["domain"] * 3
    if excerpt.channels is not None:
        directions, kinds = [*directions, "none"], [*kinds, "list"]
    header = {
        "type": names.get(dtype.name, dtype.name),
        "dimension": len(excerpt.shape),
        "space dimension": 3,
        "sizes": " ".join(map(str, excerpt.shape[::-1])),
        "space directions": " ".join(directions),
        "kinds": " ".join(kinds),
        "endian": "little",
        "encoding": "raw",
        "space units": '"nm" "nm" "nm"',
        "space origin": f"({','.join(f'{shift:.9g}' for shift in origin)})",
    }
    text = "NRRD0004\n" + "".join(f"{key}: {value}\n" for key, value in header.items()) + "\n"
    return _with_room(path, text.encode("ascii"), excerpt, dtype)


def _hdf5(excerpt: Excerpt, path: Path) -> Layout:
    import h5py

    z_nm, y_nm, x_nm = excerpt.voxel_size_nm
    axes = [("z", 2, z_nm), ("y", 2, y_nm), ("x", 2, x_nm)]
    if excerpt.channels is not None:
        axes.insert(0, ("c", 1, 0.0))
    tags = [{"key": key, "typeFlags": flags, "resolution": size, "description": ""} for key, flags, size in axes]
    with h5py.File(path, "w") as file:
        place = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        place.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        place.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        dtype = excerpt.dtype.newbyteorder("<")
        h5py.h5d.create(
            file.id, DATASET.encode(), h5py.h5t.py_create(dtype), h5py.h5s.create_simple(excerpt.shape), place
        )
        dataset = file[DATASET]
        dataset.attrs["axistags"] = json.dumps({"axes": tags})
        dataset.attrs["element_size_um"] = [size / 1e3 for size in excerpt.voxel_size_nm]
        offset = dataset.id.get_offset()
    return _grown(path, Layout(offset, dtype), excerpt)


def _with_room(path: Path, header: bytes, excerpt: Excerpt, dtype: np.dtype[Any]) -> Layout:
    path.write_bytes(header)
    return _grown(path, Layout(len(header), dtype), excerpt)


def _grown(path: Path, layout: Layout, excerpt: Excerpt) -> Layout:
    with path.open("r+b") as file:
        file.truncate(max(path.stat().st_size, layout.offset + excerpt.nbytes))
    return layout


def _words(excerpt: Excerpt) -> str:
    return f"{excerpt.dtype.name} voxels" + (" with channels" if excerpt.channels is not None else "")


FORMATS: dict[str, Callable[[Excerpt, Path], Layout]] = {
    "npy": _npy,
    "tif": _tiff,
    "tiff": _tiff,
    "bigtiff": _big_tiff,
    "mrc": _mrc,
    "nrrd": _nrrd,
    "h5": _hdf5,
    "hdf5": _hdf5,
}
