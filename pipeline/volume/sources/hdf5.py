"""HDF5: one dataset of a file, ``file.h5:/path/to/dataset``."""

from __future__ import annotations

from contextlib import ExitStack
from math import prod

import h5py
import numpy as np

from pipeline.errors import DataError
from pipeline.volume.geometry import Block
from pipeline.volume.sources.base import (
    Location,
    Source,
    VoxelSize,
    as_volume_shape,
    decoding,
    slices_per_chunk,
)

SUFFIXES = (".h5", ".hdf5", ".hdf", ".he5")


class Hdf5Source(Source):
    """A dataset of a file; it need not be named when the file holds one volume only."""

    def __init__(self, location: Location) -> None:
        assert location.path is not None
        self.location = location.text
        with ExitStack() as undo, decoding(self.location):
            self._file = undo.enter_context(h5py.File(location.path, "r"))
            self._dataset = _chosen(self._file, location)
            self.dtype = self._dataset.dtype.newbyteorder("=")
            self.shape_zyx = as_volume_shape(self._dataset.shape, self.location)
            self.voxel_size_nm = _voxel_size_nm(self._dataset)
            self.slices_at_once = slices_per_chunk(self._dataset.chunks, self._dataset.shape)
            self.chunk_bytes = prod(self._dataset.chunks or ()) * self.dtype.itemsize
            undo.pop_all()

    @staticmethod
    def accepts(location: Location) -> bool:
        return location.suffix in SUFFIXES

    def read_block(self, block: Block) -> np.ndarray:
        with decoding(self.where(block.start_zyx[0])):
            leading = (0,) * (self._dataset.ndim - 3)
            index = block.slices if self._dataset.ndim >= 3 else block.slices[1:]
            return np.asarray(self._dataset[(*leading, *index)], self.dtype).reshape(block.shape_zyx)

    def close(self) -> None:
        self._file.close()


def _chosen(file: h5py.File, location: Location) -> h5py.Dataset:
    found = volumes(file)
    listed = ", ".join(f"/{name} {shape}" for name, shape in found.items()) or "none"
    if location.inner:
        chosen = file.get(location.inner)
        if isinstance(chosen, h5py.Dataset):
            return chosen
        raise DataError(f"{location.text}: no dataset /{location.inner}; the file holds {listed}")
    if len(found) != 1:
        raise DataError(f"{location.text}: name one dataset, as in {location.text}:/data; the file holds {listed}")
    return file[next(iter(found))]


def volumes(file: h5py.File) -> dict[str, tuple[int, ...]]:
    """Name and shape of every dataset that may be a volume, or a slice."""
    found: dict[str, tuple[int, ...]] = {}

    def note(name: str, node: object) -> None:
        if isinstance(node, h5py.Dataset) and node.ndim >= 2 and node.dtype.kind in "buif":
            found[name] = node.shape

    file.visititems(note)
    return found


def _voxel_size_nm(dataset: h5py.Dataset) -> VoxelSize | None:
    """From ``element_size_um`` (z, y, x), the attribute that names its unit; others leave it open."""
    sizes = np.ravel(dataset.attrs.get("element_size_um", ()))
    if sizes.size != 3 or not (sizes > 0).all():
        return None
    return float(sizes[0]) * 1e3, float(sizes[1]) * 1e3, float(sizes[2]) * 1e3
