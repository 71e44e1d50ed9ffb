"""Creating and opening volumes: sharded OME-Zarr 0.5 images and labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from pipeline.errors import DataError, InputError
from pipeline.volume import ngff
from pipeline.volume.geometry import Geometry, Zyx, zyx
from pipeline.volume.multiscale import Level, Volume, create_level
from pipeline.volume.pyramid import build_pyramid
from pipeline.volume.stores import Store

__all__ = [
    "Geometry",
    "Level",
    "Volume",
    "build_pyramid",
    "create_image",
    "create_labels",
    "open_image",
    "open_labels",
]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


def create_image(
    store: Store,
    *,
    geometry: Geometry,
    dtype: DTypeLike,
    name: str,
    chunk_zyx: Sequence[int],
    shard_zyx: Sequence[int],
    channels: Sequence[str] | None = None,
) -> Volume:
    """An image group at the store, (z, y, x) or with channel names (channel, z, y, x), filled with zeros.

    An array that is there already and has the same shape, type and grid keeps its data, so that an
    interrupted writer can go on; any other is removed. Raises InputError when the chunk does not divide the
    shard.
    """
    ome: ngff.Json = {
        "multiscales": [ngff.multiscale(name, [geometry], has_channels=channels is not None, method="mean")]
    }
    if channels is not None:
        ome["omero"] = ngff.omero(channels)
    leading = () if channels is None else (len(channels),)
    return _create(store, ome, geometry, np.dtype(dtype), zyx(chunk_zyx, "chunk"), zyx(shard_zyx, "shard"), leading)


def create_labels(
    image_store: Store,
    label_name: str,
    *,
    geometry: Geometry,
    dtype: DTypeLike,
    classes: Sequence[ngff.LabelClass],
    chunk_zyx: Sequence[int],
    shard_zyx: Sequence[int],
) -> Volume:
    """A label volume (z, y, x) below ``labels/<label_name>`` of an image, listed in its labels group.

    `classes` are (value, name, "#rrggbb"). Existing data are kept as in `create_image`.
    Raises InputError for a type that cannot hold labels.
    """
    if np.dtype(dtype).kind != "u":
        raise InputError(f"labels {label_name!r} of type {np.dtype(dtype)}: labels are unsigned integers")
    store = image_store.child("labels", _checked_name(label_name))
    ome = {
        "multiscales": [ngff.multiscale(label_name, [geometry], has_channels=False, method="mode")],
        "image-label": ngff.image_label(classes),
    }
    volume = _create(store, ome, geometry, np.dtype(dtype), zyx(chunk_zyx, "chunk"), zyx(shard_zyx, "shard"), ())
    names = sorted({*_listed_labels(image_store), label_name})
    image_store.child("labels").write_json("zarr.json", ngff.group({"labels": names}))
    return volume


def open_image(store: Store) -> Volume:
    """The image group at the store. Raises DataError when there is none."""
    return Volume(store, _ome(store))


def open_labels(image_store: Store, label_name: str) -> Volume:
    """The label volume of an image. Raises DataError when there is none."""
    return open_image(image_store.child("labels", _checked_name(label_name)))


def _create(
    store: Store,
    ome: ngff.Json,
    geometry: Geometry,
    dtype: np.dtype[Any],
    chunk: Zyx,
    shard: Zyx,
    leading: tuple[int, ...],
) -> Volume:
    if any(side < 1 for side in chunk) or any(s % c for s, c in zip(shard, chunk, strict=True)):
        raise InputError(f"chunks of {chunk} do not divide shards of {shard}; each shard must hold whole chunks")
    create_level(store, "0", geometry, dtype, chunk, shard, leading)
    # Written last: who finds the group finds its array.
    store.write_json("zarr.json", ngff.group(ome))
    return Volume(store, ome)


def _ome(store: Store) -> ngff.Json:
    try:
        ome = store.read_json("zarr.json")["attributes"]["ome"]
        if ome["version"] == ngff.VERSION and ome["multiscales"]:
            return dict(ome)
    except (FileNotFoundError, KeyError, TypeError) as error:
        raise DataError(f"{store.url}: no OME-Zarr image here; run the step that writes it") from error
    raise DataError(f"{store.url}: OME-Zarr {ome['version']}, but {ngff.VERSION} is needed; ingest it first")


def _listed_labels(image_store: Store) -> list[str]:
    try:
        return list(image_store.child("labels").read_json("zarr.json")["attributes"]["ome"]["labels"])
    except (FileNotFoundError, KeyError):
        return []


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InputError(f"label name {name!r}: use letters, digits, '.', '_' and '-' only")
    return name
