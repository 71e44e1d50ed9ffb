"""N5 and Neuroglancer's precomputed volumes, read by tensorstore: chunks in files, of which x counts fastest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import DataError
from pipeline.volume.geometry import ZyxNm, nanometres
from pipeline.volume.sources.base import ArrayFormat, Location, Opening, decoding
from pipeline.volume.sources.policy import Limits, refuse_large
from pipeline.volume.sources.registry import register

FINEST = "s0"
_MOST_METADATA_BYTES = 2**22
# For whomever: tensorstore ends the process where it cannot allocate what a header claims.
_MOST_CHUNK_BYTES = 2**31


class _Chunked(ArrayFormat):
    """An array that tensorstore opens; its dimensions start at 0 and are named by `names`."""

    extra = "formats"

    def _set_array(self, spec: dict[str, Any], names: Sequence[str], opening: Opening, folder: Path) -> None:
        import tensorstore  # an optional library

        limits = {"cache_pool": {"total_bytes_limit": 0}, "data_copy_concurrency": {"limit": 1}}
        opened = tensorstore.open({**spec, "open": True}, read=True, context=tensorstore.Context(limits)).result()
        array = opened[tensorstore.d[:].translate_to[0]]
        self.dtype = np.dtype(array.dtype.numpy_dtype)
        chunks = array.chunk_layout.read_chunk.shape or array.shape
        self._take(array, names, tuple(int(length or 1) for length in chunks))
        refuse_large(self.location, 0, self.chunk_bytes, Limits(piece_bytes=_MOST_CHUNK_BYTES))
        self.densest = opening.policy.limits.sparse_ratio
        if not opening.policy.follows_references:
            self.stored_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _metadata(file: Path, where: str) -> dict[str, Any]:
    """A JSON object; empty where there is no such file."""
    if not file.is_file():
        return {}
    if file.stat().st_size > _MOST_METADATA_BYTES:
        raise DataError(f"{where}: its {file.name} is too large to be metadata; export it again")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: its {file.name} cannot be read ({error}); export it again") from error
    if not isinstance(content, dict):
        raise DataError(f"{where}: its {file.name} holds no object; export it again")
    return content


def is_n5_dataset(folder: Path) -> bool:
    """Whether there are attributes of an N5 dataset, and not of a group of them."""
    return "dimensions" in _metadata(folder / "attributes.json", folder.name)


def _folder(location: Location) -> Path | None:
    if location.path is None:
        return None
    return location.path / location.inner if location.inner else location.path


@register
class N5Source(_Chunked):
    """A dataset of an N5 container; of a group of levels, the finest (``s0``)."""

    name = "N5 dataset"

    def __init__(self, location: Location, opening: Opening) -> None:
        folder = _folder(location)
        assert folder is not None
        self.location = location.text
        with decoding(self.location):
            group: dict[str, Any] = {}
            attributes = _metadata(folder / "attributes.json", self.location)
            if "dimensions" not in attributes:
                group, folder = attributes, folder / FINEST
                attributes = _metadata(folder / "attributes.json", self.location)
            elif location.inner or opening.policy.follows_references:
                group = _metadata(folder.parent / "attributes.json", self.location)
            if "dimensions" not in attributes:
                raise DataError(f"{self.location}: an N5 group; name one dataset, as in {self.location}:/volume/s0")
            axes = attributes.get("axes") or group.get("axes")
            count = len(attributes["dimensions"])
            names = axes if isinstance(axes, list) and len(axes) == count else ["x", "y", "z", *"abcd"][:count]
            spec = {"driver": "n5", "kvstore": {"driver": "file", "path": f"{folder}/"}}
            self._set_array(spec, [str(name) for name in names], opening, folder)
            self.voxel_size_nm = _n5_size_nm(attributes, group)

    @classmethod
    def accepts(cls, location: Location) -> bool:
        folder = _folder(location)
        return folder is not None and (folder / "attributes.json").is_file()

    @classmethod
    def refuse_references(cls, location: Location) -> None:
        """Chunks lie below their dataset."""


def _n5_size_nm(attributes: Mapping[str, Any], group: Mapping[str, Any]) -> ZyxNm | None:
    """By the first of three habits: ``transform`` (COSEM), ``pixelResolution`` (Saalfeld lab), ``resolution``."""
    transform = attributes.get("transform")
    if isinstance(transform, Mapping):
        known = {
            str(axis).lower(): float(size) * length
            for axis, size, unit in zip(*(transform.get(key, ()) for key in ("axes", "scale", "units")), strict=False)
            if (length := nanometres(str(unit))) is not None
        }
        return (known["z"], known["y"], known["x"]) if {"z", "y", "x"} <= set(known) else None
    factors = attributes.get("downsamplingFactors", (1, 1, 1))
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


@register
class PrecomputedSource(_Chunked):
    """A volume as Neuroglancer has it, of images or of segments; the finest scale, or the one of a key."""

    name = "Neuroglancer precomputed volume"

    def __init__(self, location: Location, opening: Opening) -> None:
        assert location.path is not None
        self.location = location.text
        with decoding(self.location):
            info = _metadata(location.path / "info", self.location)
            scales = {str(scale["key"]): scale for scale in info["scales"]}
            key = location.inner or next(iter(scales))
            if key not in scales:
                raise DataError(f"{self.location}: has no scale {key}; it has {', '.join(scales)}")
            spec = {"driver": "neuroglancer_precomputed", "kvstore": {"driver": "file", "path": f"{location.path}/"}}
            index = list(scales).index(key)
            self._set_array({**spec, "scale_index": index}, ["x", "y", "z", "channel"], opening, location.path)
            x, y, z = (float(size) for size in scales[key]["resolution"])
            self.voxel_size_nm = z, y, x

    @classmethod
    def accepts(cls, location: Location) -> bool:
        if location.path is None or not (location.path / "info").is_file():
            return False
        return b"scales" in (location.path / "info").read_bytes()[:_MOST_METADATA_BYTES]

    @classmethod
    def refuse_references(cls, location: Location) -> None:
        """The key of a scale is a path, which may lead elsewhere."""
        assert location.path is not None
        with decoding(location.text):
            for scale in _metadata(location.path / "info", location.text)["scales"]:
                if ".." in str(scale["key"]).split("/") or str(scale["key"]).startswith("/"):
                    raise DataError(f"{location.text}: a scale lies outside of its folder; copy it into one folder")
