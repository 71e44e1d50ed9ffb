"""Zarr version 2 and 3, local or remote: a plain array, or one level of an OME-Zarr image."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isinf
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import DataError, VemsegError
from pipeline.volume.objects import DESCRIPTIONS
from pipeline.volume.sources.base import COLOUR_CURE, ArrayFormat, Grid, Location, Opening, decoding
from pipeline.volume.sources.multiscales import Level, images_below, level_of
from pipeline.volume.sources.registry import register
from pipeline.volume.stores import Store

if TYPE_CHECKING:
    import zarr

MARKS = ("zarr.json", ".zarray", ".zgroup")
# How deep a level may lie below its group.
_DEEPEST_LEVEL = 3


@register
class ZarrSource(ArrayFormat):
    """An array, or an OME-Zarr image of which the finest level is read."""

    name = "Zarr"
    has_levels = True

    def __init__(self, location: Location, opening: Opening) -> None:
        self.location = location.text
        root = Store.open(location.path or location.url)
        inner = location.inner.split("/") if location.inner else []
        with decoding(self.location):
            array, level = self._level(root, inner, opening, location.cut.level)
            if level:
                self.voxel_size_nm, self.voxel_size_note = level.size_nm, level.note
                self._check_axes(level.axes, array.shape)
            self.dtype = np.dtype(array.dtype).newbyteorder("=")
            chunk_zyx = self._take(array, level.axes if level else _names(array), array.chunks)
            if location.path is None:
                self.fetched_zyx, self._grid = chunk_zyx, _grid(array, root.child(*inner))
            self.densest = opening.policy.limits.sparse_ratio
            if location.path is not None and not isinf(self.densest):
                self.stored_bytes = sum(path.stat().st_size for path in location.path.rglob("*") if path.is_file())

    @classmethod
    def refuse_references(cls, location: Location) -> None:
        """Links are refused for every format; zarr itself refuses paths that lead out of a group."""

    @classmethod
    def accepts(cls, location: Location) -> bool:
        if location.path is not None:
            root = location.path / location.inner if location.inner else location.path
            return any((root / mark).is_file() for mark in MARKS)
        place = Store.open(location.url).child(*filter(None, [location.inner]))
        return any(place.exists(mark) for mark in MARKS)

    def _level(
        self, root: Store, inner: list[str], opening: Opening, number: int
    ) -> tuple[zarr.Array[Any], Level | None]:
        """The array that is read, and what the OME-Zarr group to which it belongs says of it."""
        node: Any = _opened(root.child(*inner), self.location)
        if (images := _series(node)) is not None:
            if len(images) != 1:
                listed = ", ".join(images) or "none that it names"
                raise DataError(f"{self.location}: holds several images; name one, as in {self.location}:/0: {listed}")
            node = _opened(root.child(*inner, *images[0].split("/")), self.location)
        if not _is_array(node):
            level = level_of(node.attrs.asdict(), self.location, number=number)
            if level is None:
                arrays = ", ".join(sorted(name for name, _ in node.arrays())) or "none"
                raise DataError(f"{self.location}: a Zarr group without OME-Zarr metadata; add one array: {arrays}")
            return node[level.path], level
        if number:
            raise DataError(f"{self.location}: is one array, without levels; leave the level out, or name its group")
        for group, path in _groups_above(root, inner, beyond=opening.policy.follows_references):
            if level := level_of(_attributes(group), self.location, path):
                return node, level
        return node, None

    def _check_axes(self, axes: tuple[str, ...], shape: tuple[int, ...]) -> None:
        if len(axes) != len(shape):
            raise DataError(f"{self.location}: has {len(shape)} dimensions, but {len(axes)} axes are listed")
        many = [axis for axis, length in zip(axes, shape, strict=True) if length > 1 and axis not in ("z", "y", "x")]
        if many:
            raise DataError(f"{self.location}: has several entries along {', '.join(many)}; {COLOUR_CURE}")
        if not {"y", "x"} <= set(axes) or len(set(axes)) < len(axes):
            raise DataError(f"{self.location}: axes {', '.join(axes)}; name those of space z, y and x")


def _is_array(node: Any) -> bool:
    import zarr  # slow to import, and needed by this format alone

    return isinstance(node, zarr.Array)


def _opened(place: Store, where: str) -> Any:
    import zarr

    from pipeline.volume.zarrmemory import remembered

    try:
        return zarr.open(remembered(place), mode="r")
    except Exception as error:
        if codec := re.search(r"(?:[Uu]nknown codec|codec not available)\W+([\w.-]+)", str(error)):
            raise DataError(
                f"{where}: is compressed by {codec[1]}, which is not known here; save it with blosc, zstd or gzip"
            ) from error
        raise


def _series(node: Any) -> list[str] | None:
    """The images of a group of several (bioformats2raw's layout, plates, wells, labels); None for other nodes."""
    images = None if _is_array(node) else images_below(node.attrs.asdict())
    if images:
        return images
    if images is None or node.attrs.asdict().get("multiscales"):
        return None
    listed = node["OME"].attrs.asdict() if "OME" in node else {}
    series = (listed.get("ome") or listed).get("series")
    return list(series) if series else sorted(name for name, _ in node.groups() if name.isdecimal())


def _groups_above(root: Store, inner: list[str], *, beyond: bool) -> Iterator[tuple[Store, str]]:
    """The places in which an array may be a level, and its path there; those above what was given only if `beyond`."""
    for depth in range(1, _DEEPEST_LEVEL + 1):
        if depth <= len(inner):
            yield root.child(*inner[:-depth]), "/".join(inner[-depth:])
        elif beyond and (above := root.above()):
            inner = [root.url.rpartition("/")[2], *inner]
            root = above
            yield root, "/".join(inner)


def _attributes(place: Store) -> dict[str, Any]:
    """Of a Zarr group, without opening it: empty where there is none."""
    for key in ("zarr.json", ".zattrs"):
        try:
            content = place.read_json(key)
        except (FileNotFoundError, VemsegError):
            continue
        attributes = content.get("attributes", {}) if key == "zarr.json" else content
        return attributes if isinstance(attributes, dict) else {}
    return {}


def _grid(array: zarr.Array[Any], place: Store) -> Grid:
    """Of an array in the group that was opened at a place."""

    def key(cell: tuple[int, ...]) -> str:
        return "/".join(filter(None, [array.path, array.metadata.encode_chunk_key(cell)]))

    descriptions = ["/".join(filter(None, [array.path, name])) for name in DESCRIPTIONS]
    return Grid(place, array.shards or array.chunks, key, (*DESCRIPTIONS, *descriptions))


def _names(array: zarr.Array[Any]) -> list[str | None]:
    """Names of the dimensions: ``dimension_names`` of version 3, xarray's ``_ARRAY_DIMENSIONS`` of version 2."""
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.asdict().get("_ARRAY_DIMENSIONS")
    return [str(name) for name in names] if isinstance(names, list | tuple) else []
