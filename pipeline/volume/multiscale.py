"""A volume in a store: levels of sharded zarr arrays, read by any block and written by whole shards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr

from pipeline.errors import InputError
from pipeline.volume import ngff
from pipeline.volume.geometry import Block, Geometry, Zyx, zyx
from pipeline.volume.stores import Store


@dataclass(frozen=True)
class Level:
    """One resolution of a volume: a zarr array (channel?, z, y, x) and its geometry."""

    array: zarr.Array[Any]
    geometry: Geometry

    @property
    def chunk_zyx(self) -> Zyx:
        """Sides of what is compressed at once."""
        z, y, x = self.array.chunks[-3:]
        return z, y, x

    @property
    def shard_zyx(self) -> Zyx:
        """Sides of what is one object in the store: the least that may be written."""
        z, y, x = (self.array.shards or self.array.chunks)[-3:]
        return z, y, x

    def read(self, block: Block) -> np.ndarray:
        """The voxels of a block, shape (channel?, z, y, x). Raises InputError when it leaves the volume."""
        if not self.geometry.block.contains(block):
            raise InputError(f"{block} is not inside the volume of shape {self.geometry.shape_zyx}")
        return np.asarray(self.array[(..., *block.slices)])

    def write(self, block: Block, data: np.ndarray) -> None:
        """Write whole shards, clipped only by the volume's end: one writer an object, who writes all of it.

        Raises InputError when the block cuts a shard, or when shape or type of the data do not fit.
        """
        self._check_whole_shards(block)
        shape = (*self.array.shape[:-3], *block.shape_zyx)
        if data.shape != shape:
            raise InputError(f"data of shape {data.shape} cannot fill {block}; it must have shape {shape}")
        if not np.can_cast(data.dtype, self.array.dtype, "safe"):
            raise InputError(f"data of type {data.dtype} do not fit a volume of type {self.array.dtype}")
        self.array[(..., *block.slices)] = data

    def _check_whole_shards(self, block: Block) -> None:
        if not self.geometry.block.contains(block):
            raise InputError(f"{block} is not inside the volume of shape {self.geometry.shape_zyx}")
        sides = zip(block.start_zyx, block.stop_zyx, self.shard_zyx, self.geometry.shape_zyx, strict=True)
        if any(start % shard or (stop % shard and stop != end) for start, stop, shard, end in sides):
            raise InputError(f"{block} cuts shards of {self.shard_zyx} voxels; write whole shards")


class Volume:
    """An OME-Zarr image or label volume at a store; level 0 has full resolution, `ome` is its metadata."""

    def __init__(self, store: Store, ome: Mapping[str, Any]) -> None:
        self.store = store
        self.ome = dict(ome)
        multiscale = ome["multiscales"][0]
        root = store.zarr()
        self.levels = tuple(_open_level(root, multiscale, dataset, store.url) for dataset in multiscale["datasets"])

    def __repr__(self) -> str:
        return f"Volume({self.store.url!r}, {self.dtype}, {self.shape_zyx})"

    def _repr_html_(self) -> str:
        from pipeline.display.volumes import volume_html

        return volume_html(self)

    def __reduce__(self) -> tuple[type[Volume], tuple[Store, Mapping[str, Any]]]:
        return Volume, (self.store, self.ome)

    @property
    def name(self) -> str:
        """The name given when it was created."""
        return str(self.ome["multiscales"][0].get("name", ""))

    @property
    def geometry(self) -> Geometry:
        """Shape, voxel size and place of level 0."""
        return self.levels[0].geometry

    @property
    def array(self) -> zarr.Array[Any]:
        """The array of level 0, (channel?, z, y, x)."""
        return self.levels[0].array

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of a voxel."""
        return np.dtype(self.array.dtype)

    @property
    def shape_zyx(self) -> Zyx:
        """Shape in voxels, without channels."""
        return self.geometry.shape_zyx

    @property
    def chunk_zyx(self) -> Zyx:
        """Sides of what is compressed at once."""
        return self.levels[0].chunk_zyx

    @property
    def shard_zyx(self) -> Zyx:
        """Sides of what is one object in the store: the least that may be written."""
        return self.levels[0].shard_zyx

    @property
    def is_labels(self) -> bool:
        """Whether voxels are class ids, which must never be interpolated."""
        return "image-label" in self.ome

    @property
    def classes(self) -> tuple[ngff.LabelClass, ...]:
        """(value, name, "#rrggbb") of a label volume; empty for an image."""
        return ngff.label_classes(self.ome.get("image-label", {}))

    @property
    def channels(self) -> tuple[str, ...] | None:
        """Names of the channels; None for a volume without a channel axis."""
        if "omero" not in self.ome:
            return None
        return tuple(channel["label"] for channel in self.ome["omero"]["channels"])

    def read(self, block: Block) -> np.ndarray:
        """The voxels of a block of level 0; see `Level.read`."""
        return self.levels[0].read(block)

    def write(self, block: Block, data: np.ndarray) -> None:
        """Write whole shards of level 0; see `Level.write`."""
        self.levels[0].write(block, data)


def create_level(
    store: Store,
    path: str,
    geometry: Geometry,
    dtype: np.dtype[Any],
    chunk_zyx: Zyx,
    shard_zyx: Zyx,
    leading: tuple[int, ...] = (),
) -> Level:
    """The array of one level at `path` below the group's store: shape (*leading, z, y, x), filled with zeros.

    An array that is there already keeps its data if it has the same shape, type and grid, else it is replaced.
    """
    shape = (*leading, *geometry.shape_zyx)
    ones = (1,) * len(leading)
    chunks, shards = (*ones, *chunk_zyx), (*ones, *shard_zyx)
    if store.exists(f"{path}/zarr.json"):
        array = zarr.open_array(store.zarr(), path=path, mode="r+", zarr_format=3)
        if (array.shape, array.dtype, array.chunks, array.shards) == (shape, dtype, chunks, shards):
            return Level(array, geometry)
    store.delete_all(path)
    array = zarr.create_array(
        store.zarr(),
        name=path,
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        shards=shards,
        fill_value=0,
        dimension_names="czyx"[-len(shape) :],
    )
    return Level(array, geometry)


def _open_level(root: Any, multiscale: Mapping[str, Any], dataset: Mapping[str, Any], where: str) -> Level:
    array = zarr.open_array(root, path=dataset["path"], mode="r+", zarr_format=3)
    sizes, shifts = ngff.voxel_place_nm(multiscale, dataset, where)
    z, y, x = (sizes[axis] or 1.0 for axis in "zyx")
    return Level(array, Geometry(zyx(array.shape[-3:], "shape"), (z, y, x), (shifts["z"], shifts["y"], shifts["x"])))
