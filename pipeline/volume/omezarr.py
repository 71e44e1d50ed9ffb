"""Volumes as sharded OME-Zarr 0.5: created, opened, read by any block and written by whole shards."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import zarr
from numpy.typing import DTypeLike
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.storage import MemoryStore

from pipeline.errors import DataError, InputError, VemsegError
from pipeline.volume import ngff
from pipeline.volume.geometry import Block, Geometry, Zyx, pyramid_factors, zyx
from pipeline.volume.stores import Store, as_json
from pipeline.volume.written import record

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


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

    def keys(self, block: Block) -> Iterator[str]:
        """The objects, below the volume's store, that hold the voxels of a block."""
        shards = self.array.shards or self.array.chunks
        leading = (range(-(-length // side)) for length, side in zip(self.array.shape[:-3], shards[:-3], strict=True))
        sides = zip(block.start_zyx, block.stop_zyx, self.shard_zyx, strict=True)
        for place in product(*leading, *(range(start // side, -(-stop // side)) for start, stop, side in sides)):
            yield "/".join((self.array.path, "c", *map(str, place)))

    def read(self, block: Block) -> np.ndarray:
        """The voxels of a block, shape (channel?, z, y, x). Raises InputError when it leaves the volume."""
        if not self.geometry.block.contains(block):
            raise InputError(f"{block} is not inside the volume of shape {self.geometry.shape_zyx}")
        try:
            return np.asarray(self.array[(..., *block.slices)])
        except (VemsegError, MemoryError, FileNotFoundError):
            raise
        except Exception as error:  # a codec raises whatever it likes on damaged bytes
            reason = str(error).split("\n", 1)[0] or type(error).__name__
            raise DataError(
                f"{self.array.store_path}: a file of {block} is damaged ({reason}); `vemseg verify RUN` names it, and "
                "running the study again makes it anew"
            ) from error

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
        leading = (slice(0, length) for length in self.array.shape[:-3])
        write_shards(self.array, (*leading, *block.slices), data)

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
        if self.array.ndim == 3:
            return None
        return tuple(channel["label"] for channel in self.ome["omero"]["channels"])

    @property
    def shown(self) -> tuple[float, float] | None:
        """The grey values of an image to show as black and as white; None where nothing is said of that."""
        channels = self.ome.get("omero", {}).get("channels") or [{}]
        window = channels[0].get("window", {})
        return (float(window["start"]), float(window["end"])) if {"start", "end"} <= window.keys() else None

    def read(self, block: Block) -> np.ndarray:
        """The voxels of a block of level 0; see `Level.read`."""
        return self.levels[0].read(block)

    def write(self, block: Block, data: np.ndarray) -> None:
        """Write whole shards of level 0; see `Level.write`."""
        self.levels[0].write(block, data)


def create_image(
    store: Store,
    *,
    geometry: Geometry,
    dtype: DTypeLike,
    name: str,
    chunk_zyx: Sequence[int],
    shard_zyx: Sequence[int],
    channels: Sequence[str] | None = None,
    mend: bool = False,
) -> Volume:
    """An image group at the store, (z, y, x) or with channel names (channel, z, y, x), filled with zeros.

    An array that is there already and has the same shape, type and grid keeps its data, so that an
    interrupted writer can go on; any other is removed. With `mend`, what is there is known to have been made in this
    way: its metadata are written anew where they are damaged, and its voxels stay.
    Raises InputError when the chunk does not divide the shard.
    """
    ome: ngff.Json = {
        "multiscales": [ngff.multiscale(name, [geometry], has_channels=channels is not None, method="mean")]
    }
    if channels is not None:
        ome["omero"] = ngff.omero(channels)
    leading = () if channels is None else (len(channels),)
    return _create(
        store, ome, geometry, np.dtype(dtype), zyx(chunk_zyx, "chunk"), zyx(shard_zyx, "shard"), leading, mend
    )


def create_labels(
    image_store: Store,
    label_name: str,
    *,
    geometry: Geometry,
    dtype: DTypeLike,
    classes: Sequence[ngff.LabelClass],
    chunk_zyx: Sequence[int],
    shard_zyx: Sequence[int],
    mend: bool = False,
    listed: bool = True,
    coarsest_zyx: Zyx | None = None,
) -> Volume:
    """A label volume (z, y, x) below ``labels/<label_name>`` of an image.

    Existing data are kept as in `create_image`.

    Args:
        image_store: of the image.
        label_name: of the labels.
        geometry: shape and place.
        dtype: of a voxel.
        classes: (value, name, "#rrggbb").
        chunk_zyx: sides of what is compressed at once.
        shard_zyx: sides of what is one object in the store.
        mend: as in `create_image`.
        listed: add it to the list of the image's labels; else `list_labels` says so later.
        coarsest_zyx: sides of the box that the coarsest level will fit in: the image's chunk, where they differ, since
            labels have as many levels as their image.

    Raises:
        InputError: the type cannot hold labels.
    """
    if np.dtype(dtype).kind != "u":
        raise InputError(f"labels {label_name!r} of type {np.dtype(dtype)}: labels are unsigned integers")
    store = image_store.child("labels", _checked_name(label_name))
    ome = {
        "multiscales": [ngff.multiscale(label_name, [geometry], has_channels=False, method="mode")],
        "image-label": ngff.image_label(classes),
    }
    grid = zyx(chunk_zyx, "chunk"), zyx(shard_zyx, "shard")
    volume = _create(store, ome, geometry, np.dtype(dtype), *grid, (), mend, coarsest_zyx)
    if listed:
        labels = image_store.child("labels")
        names = {name for name in label_names(image_store) if labels.exists(f"{name}/zarr.json")}
        list_labels(image_store, sorted({*names, label_name}))
    return volume


def list_labels(image_store: Store, names: Sequence[str]) -> None:
    """Say which labels an image has, in the order in which viewers are to show them."""
    _write_if_other(image_store.child("labels"), "zarr.json", ngff.group({"labels": list(names)}))


def describe_classes(volume: Volume, classes: Sequence[ngff.LabelClass]) -> None:
    """Say anew how the classes of a label volume are called and coloured, if that has changed."""
    if volume.classes != tuple((value, name, color.lower()) for value, name, color in classes):
        volume.store.write_json("zarr.json", ngff.group(volume.ome | {"image-label": ngff.image_label(classes)}))


def open_image(store: Store) -> Volume:
    """The image group at the store. Raises DataError when there is none."""
    return Volume(store, _ome(store))


def open_labels(image_store: Store, label_name: str) -> Volume:
    """The label volume of an image. Raises DataError when there is none."""
    return open_image(image_store.child("labels", _checked_name(label_name)))


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
    store_array(store, path, _level_document(geometry, np.dtype(dtype), chunk_zyx, shard_zyx, leading))
    return Level(_open_array(store.zarr(), path, store.url), geometry)


def store_array(store: Store, path: str, document: bytes, *, mend: bool = False) -> bool:
    """An array of zeros as `array_document` describes it; returns whether it was there already.

    One of another description is replaced, unless `mend` says that its description is damaged and its data are not.
    """
    if stored(store, f"{path}/zarr.json") == document:
        record(f"{store.url}/{path}/zarr.json", document)
        return True
    if not mend:
        store.delete_all(path)
    store.write(f"{path}/zarr.json", document)
    return mend


def write_shards(array: zarr.Array[Any], where: tuple[slice, ...], data: np.ndarray) -> None:
    """Write whole shards, clipped only by the array's end. What is there is not read, since it may be damaged."""
    try:
        array[where] = data
    except (VemsegError, MemoryError):
        raise
    except Exception:  # zarr reads a shard before it writes one that the array's end clips
        store = Store(array.store.url)  # type: ignore[attr-defined]
        sides = array.shards or array.chunks
        spans = [range(part.start // side, -(-part.stop // side)) for part, side in zip(where, sides, strict=True)]
        for place in product(*spans):
            store.delete(f"{array.path}/{array.metadata.encode_chunk_key(place)}")
        array[where] = data


@cache
def array_document(
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    chunks: tuple[int, ...],
    shards: tuple[int, ...],
    names: tuple[str, ...],
) -> bytes:
    """The ``zarr.json`` of an array of zeros, with a checksum (CRC-32C) of each chunk and of each shard's index."""
    memory: dict[str, Any] = {}
    zarr.create_array(
        MemoryStore(memory),
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        shards=shards,
        compressors=(ZstdCodec(level=0, checksum=False), Crc32cCodec()),
        fill_value=0,
        dimension_names=names,
    )
    return bytes(memory["zarr.json"].to_bytes())


def _level_document(
    geometry: Geometry, dtype: np.dtype[Any], chunk_zyx: Zyx, shard_zyx: Zyx, leading: tuple[int, ...]
) -> bytes:
    shape, ones = (*leading, *geometry.shape_zyx), (1,) * len(leading)
    return array_document(shape, dtype, (*ones, *chunk_zyx), (*ones, *shard_zyx), tuple("czyx"[-len(shape) :]))


def with_levels(ome: Mapping[str, Any], geometries: Sequence[Geometry], *, has_channels: bool) -> ngff.Json:
    """The metadata of a volume that has these levels."""
    method = "mode" if "image-label" in ome else "mean"
    name = str(ome["multiscales"][0].get("name", ""))
    return dict(ome) | {"multiscales": [ngff.multiscale(name, geometries, has_channels=has_channels, method=method)]}


def _create(
    store: Store,
    ome: ngff.Json,
    geometry: Geometry,
    dtype: np.dtype[Any],
    chunk: Zyx,
    shard: Zyx,
    leading: tuple[int, ...],
    mend: bool,
    coarsest: Zyx | None = None,
) -> Volume:
    if any(side < 1 for side in chunk) or any(s % c for s, c in zip(shard, chunk, strict=True)):
        raise InputError(f"chunks of {chunk} do not divide shards of {shard}; each shard must hold whole chunks")
    geometries = [geometry]
    while (factors := pyramid_factors(geometries[-1], coarsest or chunk)) != (1, 1, 1):
        geometries.append(geometries[-1].coarser(factors))
    documents = [_level_document(each, dtype, chunk, shard, leading) for each in geometries]
    complete = with_levels(ome, geometries, has_channels=bool(leading))
    # What lists the coarser levels stays as it is, if they can be opened.
    kept = store_array(store, "0", documents[0], mend=mend)
    there = kept and all(stored(store, f"{index}/zarr.json") == each for index, each in enumerate(documents))
    if there and stored(store, "zarr.json") == as_json(ngff.group(complete)):
        return Volume(store, complete)
    # Written last: who finds the group finds its array.
    _write_if_other(store, "zarr.json", ngff.group(ome))
    return Volume(store, ome)


def _write_if_other(store: Store, key: str, content: Any) -> None:
    if stored(store, key) == as_json(content):
        record(f"{store.url}/{key}", as_json(content))
    else:
        store.write_json(key, content)


def stored(store: Store, key: str) -> bytes | None:
    """The content of an object; None where there is none."""
    try:
        return store.read(key)
    except FileNotFoundError:
        return None


def _ome(store: Store) -> ngff.Json:
    try:
        ome = store.read_json("zarr.json")["attributes"]["ome"]
        if ome["version"] == ngff.VERSION and ome["multiscales"]:
            return dict(ome)
    except (FileNotFoundError, KeyError, TypeError) as error:
        raise DataError(f"{store.url}: no OME-Zarr image here; run the step that writes it") from error
    raise DataError(f"{store.url}: OME-Zarr {ome['version']}, but {ngff.VERSION} is needed; ingest it first")


def label_names(image_store: Store) -> list[str]:
    """The labels that an image lists."""
    try:
        return list(image_store.child("labels").read_json("zarr.json")["attributes"]["ome"]["labels"])
    except (FileNotFoundError, DataError, KeyError, TypeError):
        return []


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InputError(f"label name {name!r}: use letters, digits, '.', '_' and '-' only")
    return name


def _open_level(root: Any, multiscale: Mapping[str, Any], dataset: Mapping[str, Any], where: str) -> Level:
    array = _open_array(root, dataset["path"], where)
    sizes, shifts = ngff.voxel_place_nm(multiscale, dataset, where)
    z, y, x = (sizes[axis] or 1.0 for axis in "zyx")
    return Level(array, Geometry(zyx(array.shape[-3:], "shape"), (z, y, x), (shifts["z"], shifts["y"], shifts["x"])))


def _open_array(root: Any, path: str, where: str) -> zarr.Array[Any]:
    try:
        return zarr.open_array(root, path=path, mode="r+", zarr_format=3)
    except VemsegError:
        raise
    except Exception as error:  # of whatever kind a damaged description leads to
        raise DataError(
            f"{where}/{path}/zarr.json: missing or damaged ({str(error).splitlines()[0]}); run the study again"
        ) from error
