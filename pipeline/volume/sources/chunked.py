"""N5 and Neuroglancer's precomputed volumes, decoded by tensorstore: chunks, of which x counts fastest."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import DataError
from pipeline.volume.fetched import memory_of
from pipeline.volume.geometry import Zyx, ZyxNm, nanometres
from pipeline.volume.sources.base import ArrayFormat, Location, Opening, decoding
from pipeline.volume.sources.fetched_array import GZIP, ONE_BY_ONE, ChunkFiles, ChunkObjects, Chunks, FetchedArray
from pipeline.volume.sources.policy import Limits, refuse_large
from pipeline.volume.sources.registry import register
from pipeline.volume.sources.sharding import Shards, layout_of
from pipeline.volume.stores import Store

FINEST = "s0"
_ATTRIBUTES, _INFO = "attributes.json", "info"
_DRIVER = "neuroglancer_precomputed"
_MOST_METADATA_BYTES = 2**22
# For whomever: tensorstore ends the process where it cannot allocate what a header claims.
_MOST_CHUNK_BYTES = 2**31


class _Chunked(ArrayFormat):
    """An array that tensorstore decodes; its dimensions start at 0 and are named by `names`."""

    extra = "formats"
    has_levels = True

    def _take_files(self, spec: dict[str, Any], folder: Path, names: Sequence[str]) -> None:
        """Take in an array in files, which tensorstore reads."""
        import tensorstore  # an optional library

        context = tensorstore.Context(dict(ONE_BY_ONE))
        whole = {**spec, "kvstore": {"driver": "file", "path": f"{folder}/"}, "open": True}
        opened = tensorstore.open(whole, read=True, context=context).result()
        self.dtype = np.dtype(opened.dtype.numpy_dtype)
        chunks = opened.chunk_layout.read_chunk.shape or opened.shape
        self._take_chunks(opened[tensorstore.d[:].translate_to[0]], names, [int(length or 1) for length in chunks])

    def _set_limits(self, folder: Path, opening: Opening) -> None:
        """Take in how much the files of a stranger can hold."""
        self.densest = opening.policy.limits.sparse_ratio
        if not opening.policy.follows_references:
            self.stored_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    def _take_objects(
        self,
        driver: str,
        description: tuple[str, Mapping[str, Any]],
        place: Store,
        chunks: Chunks,
        names: Sequence[str],
    ) -> None:
        """Take in an array in a remote place; see `FetchedArray`."""
        key, content = description
        array = FetchedArray(driver, (key, json.dumps(content).encode()), place, chunks)
        self.dtype, self._grid = array.dtype, array.grid
        self.fetched_zyx = self._take_chunks(array, names, array.grid.sides)

    def _take_chunks(self, array: Any, names: Sequence[str], sides: Sequence[int]) -> Zyx | None:
        chunk_zyx = self._take(array, names, tuple(sides))
        refuse_large(self.location, 0, self.chunk_bytes, Limits(piece_bytes=_MOST_CHUNK_BYTES))
        return chunk_zyx


def _place(location: Location, *, inner: bool) -> Store:
    """The folder or the prefix of a location, with what stands behind ``:/`` if `inner`."""
    root = Store(location.path.absolute().as_uri()) if location.path else Store.open(location.url)
    return root.child(*location.inner.split("/")) if inner and location.inner else root


def _metadata(place: Store, key: str, where: str) -> dict[str, Any]:
    """A JSON object; empty where there is no such file."""
    size = place.size(key)
    if size is None:
        return {}
    if size > _MOST_METADATA_BYTES:
        raise DataError(f"{where}: its {key} is too large to be metadata; export it again")
    try:
        content = json.loads(place.read(key).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: its {key} cannot be read ({error}); export it again") from error
    if not isinstance(content, dict):
        raise DataError(f"{where}: its {key} holds no object; export it again")
    return content


@register
class N5Source(_Chunked):
    """A dataset of an N5 container; of a group of levels (``s0``, ``s1``, ...), the finest or the one that is named."""

    name = "N5 dataset"

    def __init__(self, location: Location, opening: Opening) -> None:
        self.location = location.text
        with decoding(self.location):
            place, level = _place(location, inner=True), location.cut.level
            attributes, group = _metadata(place, _ATTRIBUTES, self.location), {}
            if "dimensions" not in attributes:
                group, place = attributes, place.child(f"s{level}")
                attributes = _metadata(place, _ATTRIBUTES, self.location)
            elif level:
                raise DataError(
                    f"{self.location}: is one dataset, without levels; leave the level out, or name its group"
                )
            elif (location.inner or opening.policy.follows_references) and (above := place.above()):
                group = _metadata(above, _ATTRIBUTES, self.location)
            if "dimensions" not in attributes:
                what = f"has no level {level}" if level else "an N5 group"
                raise DataError(f"{self.location}: {what}; name one dataset, as in {self.location}:/volume/s0")
            axes = attributes.get("axes") or group.get("axes")
            count = len(attributes["dimensions"])
            names = axes if isinstance(axes, list) and len(axes) == count else ["x", "y", "z", *"abcd"][:count]
            names = [str(name) for name in names]
            if (folder := place.local_path()) is not None:
                self._take_files({"driver": "n5"}, folder, names)
                self._set_limits(folder, opening)
            else:
                chunks = ChunkObjects(place, lambda cell: "/".join(map(str, cell)), memory_of(place))
                self._take_objects("n5", (_ATTRIBUTES, attributes), place, chunks, names)
            self.voxel_size_nm = _n5_size_nm(attributes, group, place.url.rpartition("/")[2])

    @classmethod
    def accepts(cls, location: Location) -> bool:
        return _is_described(location, _ATTRIBUTES)

    @classmethod
    def refuse_references(cls, location: Location) -> None:
        """Chunks lie below their dataset."""


def _has_packed_chunks(folder: Path, where: str) -> bool:
    """Whether chunks are packed files, as cloud-volume writes them; raises DataError for those not packed by gzip."""
    if not folder.is_dir():
        return False
    with os.scandir(folder) as entries:
        packings = (entry.name.rpartition(".")[2] for entry in entries if _PACKED_CHUNK.fullmatch(entry.name))
        packing = next(packings, None)
    if packing not in (None, GZIP[1:]):
        raise DataError(f"{where}: its chunks are packed by {packing}; write them with compress='gzip', or without")
    return packing is not None


_PACKED_CHUNK = re.compile(r"\d+-\d+_\d+-\d+_\d+-\d+\.\w+")


def is_n5_dataset(folder: Path) -> bool:
    """Whether there are attributes of an N5 dataset, and not of a group of them."""
    return "dimensions" in _metadata(Store(folder.absolute().as_uri()), _ATTRIBUTES, folder.name)


def is_n5_group(folder: Path) -> bool:
    """Whether there are attributes of N5, of whatever."""
    return (folder / _ATTRIBUTES).is_file()


def _is_described(location: Location, key: str) -> bool:
    """Whether a folder or a remote place holds the file by which a format is known."""
    if location.path is not None and not location.path.is_dir():
        return False
    return _place(location, inner=key == _ATTRIBUTES).exists(key)


def _n5_size_nm(attributes: Mapping[str, Any], group: Mapping[str, Any], name: str) -> ZyxNm | None:
    """Of a level: by its ``transform`` (COSEM), else ``pixelResolution`` (Saalfeld lab), else ``resolution``."""
    transform = attributes.get("transform") or _listed_transform(group, name)
    if isinstance(transform, Mapping):
        known = {
            str(axis).lower(): float(size) * length
            for axis, size, unit in zip(*(transform.get(key, ()) for key in ("axes", "scale", "units")), strict=False)
            if (length := nanometres(str(unit))) is not None
        }
        return (known["z"], known["y"], known["x"]) if {"z", "y", "x"} <= set(known) else None
    factors = _factors(attributes, group, name)
    stated: Any = group.get("pixelResolution") or group.get("resolution")
    if stated is None and set(factors) == {1}:  # of a coarser level it is not said whether its own is meant
        stated = attributes.get("pixelResolution") or attributes.get("resolution")
    units = attributes.get("units") or group.get("units") or ("",)
    sizes, unit = (stated.get("dimensions"), stated.get("unit")) if isinstance(stated, Mapping) else (stated, units[0])
    length = nanometres(str(unit))
    if length is None or not sizes or len(sizes) != 3 or len(factors) != 3:
        return None
    x, y, z = (float(size) * length * factor for size, factor in zip(sizes, factors, strict=True))
    return z, y, x


def _listed_transform(group: Mapping[str, Any], name: str) -> Any:
    """The transform of a level as its group lists it (COSEM)."""
    datasets = [dataset for image in group.get("multiscales") or () for dataset in image.get("datasets") or ()]
    return next((dataset.get("transform") for dataset in datasets if dataset.get("path") == name), None)


def _factors(attributes: Mapping[str, Any], group: Mapping[str, Any], name: str) -> Sequence[float]:
    """How much coarser than the finest a level is, along x, y and z; empty where that is not said."""
    number = re.fullmatch(r"s(\d+)", name)
    level = int(number[1]) if number else 0
    stated: Any = attributes.get("downsamplingFactors")
    if stated is None and number and level < len(scales := group.get("scales") or ()):
        stated = scales[level]
    return stated or ((1, 1, 1) if level == 0 else ())


@register
class PrecomputedSource(_Chunked):
    """A volume as Neuroglancer has it, of images or of segments; the finest scale, or the one of a key or a level."""

    name = "Neuroglancer precomputed volume"

    def __init__(self, location: Location, opening: Opening) -> None:
        self.location = location.text
        with decoding(self.location):
            place, level = _place(location, inner=False), location.cut.level
            info = _metadata(place, _INFO, self.location)
            scales = {str(scale["key"]): scale for scale in info["scales"]}
            if level >= len(scales):
                raise DataError(f"{self.location}: its levels are 0 to {len(scales) - 1}; choose one of these")
            key = location.inner or list(scales)[level]
            if key not in scales or (location.inner and level):
                raise DataError(f"{self.location}: has no scale {key}; it has {', '.join(scales)}")
            scale, names = scales[key], ["x", "y", "z", "channel"]
            folder = place.local_path()
            if folder is None or _has_packed_chunks(folder / key, self.location):
                self._take_scale(info, scale, place, names)
            else:
                spec = {"driver": _DRIVER, "scale_index": list(scales).index(key)}
                self._take_files(spec, folder, names)
            if folder is not None:
                self._set_limits(folder, opening)
            x, y, z = (float(size) for size in scale["resolution"])
            self.voxel_size_nm = z, y, x

    def _take_scale(
        self, info: Mapping[str, Any], scale: Mapping[str, Any], place: Store, names: Sequence[str]
    ) -> None:
        """Take in a scale of which chunks are fetched; tensorstore is told that each is an object of its own."""
        layout, sharding, memory = layout_of(scale), scale.get("sharding"), memory_of(place)
        plain = {**info, "scales": [{key: value for key, value in scale.items() if key != "sharding"}]}
        own = ChunkObjects if place.local_path() is None else ChunkFiles
        chunks: Chunks = own(place, layout.name, memory)
        if sharding:
            chunks = Shards(place, layout, sharding, self.location, memory)
        self._take_objects(_DRIVER, (_INFO, plain), place, chunks, names)

    @classmethod
    def accepts(cls, location: Location) -> bool:
        if not _is_described(location, _INFO):
            return False
        return b"scales" in _place(location, inner=False).read(_INFO)[:_MOST_METADATA_BYTES]

    @classmethod
    def refuse_references(cls, location: Location) -> None:
        """The key of a scale is a path, which may lead elsewhere."""
        with decoding(location.text):
            for scale in _metadata(_place(location, inner=False), _INFO, location.text)["scales"]:
                if ".." in str(scale["key"]).split("/") or str(scale["key"]).startswith("/"):
                    raise DataError(f"{location.text}: a scale lies outside of its folder; copy it into one folder")
