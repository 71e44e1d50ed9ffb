"""Zarr version 2 and 3, local or remote: a plain array, or level 0 of an OME-Zarr image (0.4, 0.5)."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import zarr

from pipeline.errors import DataError
from pipeline.volume import ngff
from pipeline.volume.geometry import Block
from pipeline.volume.sources.base import (
    COLOUR_CURE,
    Location,
    Source,
    VoxelSize,
    as_volume_shape,
    decoding,
    slices_per_chunk,
)
from pipeline.volume.stores import Store

_MARKS = ("zarr.json", ".zarray", ".zgroup")


class ZarrSource(Source):
    """An array, or an OME-Zarr image of which the finest level is read."""

    def __init__(self, location: Location) -> None:
        self.location = location.text
        place = Store.open(location.path or location.text)
        if location.inner:
            place = place.child(*location.inner.split("/"))
        with decoding(self.location):
            node = zarr.open(place.zarr(), mode="r")
            self._array = node if isinstance(node, zarr.Array) else self._finest(node)
            self.dtype = np.dtype(self._array.dtype).newbyteorder("=")
            self.shape_zyx = as_volume_shape(self._array.shape, self.location)
            self.slices_at_once = slices_per_chunk(self._array.chunks, self._array.shape)
            self.chunk_bytes = prod(self._array.chunks) * self.dtype.itemsize

    @staticmethod
    def accepts(location: Location) -> bool:
        if location.path is None:
            return True
        root = location.path / location.inner if location.inner else location.path
        return any((root / mark).is_file() for mark in _MARKS)

    def read_block(self, block: Block) -> np.ndarray:
        with decoding(self.where(block.start_zyx[0])):
            leading = (0,) * (self._array.ndim - 3)
            index = block.slices if self._array.ndim >= 3 else block.slices[1:]
            return np.asarray(self._array[(*leading, *index)], self.dtype).reshape(block.shape_zyx)

    def _finest(self, group: zarr.Group) -> zarr.Array[Any]:
        attributes = group.attrs.asdict()
        ome: Any = attributes.get("ome", attributes)
        if not ome.get("multiscales"):
            arrays = ", ".join(sorted(name for name, _ in group.arrays())) or "none"
            raise DataError(f"{self.location}: a Zarr group without OME-Zarr metadata; add one array: {arrays}")
        entry = ome["multiscales"][0]
        array = group[entry["datasets"][0]["path"]]
        assert isinstance(array, zarr.Array)
        self._check_axes(entry, array.shape)
        self.voxel_size_nm = _voxel_size_nm(entry, self.location)
        return array

    def _check_axes(self, entry: Mapping[str, Any], shape: tuple[int, ...]) -> None:
        # Before version 0.4 axes were names or left out; then the order is fixed: t, c, z, y, x.
        axes = [axis if isinstance(axis, str) else axis["name"] for axis in entry.get("axes", "tczyx"[-len(shape) :])]
        many = [axis for axis, length in zip(axes, shape, strict=True) if length > 1 and axis not in "zyx"]
        if many:
            raise DataError(f"{self.location}: has several entries along {', '.join(many)}; {COLOUR_CURE}")
        space = [axis for axis in axes if axis in ("z", "y", "x")]
        if space != ["z", "y", "x"][-len(space) :]:
            raise DataError(f"{self.location}: axes {', '.join(axes)}; transpose the array to z, y, x")


def _voxel_size_nm(entry: Mapping[str, Any], where: str) -> VoxelSize | None:
    if not all(isinstance(axis, Mapping) for axis in entry.get("axes", [None])):
        return None
    sizes, _ = ngff.voxel_place_nm(entry, entry["datasets"][0], where)
    z, y, x = (sizes.get(axis) for axis in "zyx")
    return None if z is None or y is None or x is None else (z, y, x)
