"""The metadata of OME-Zarr 0.5 (https://ngff.openmicroscopy.org/0.5), built and read as plain dictionaries.

Written here by hand because writers that build it from axis names drop the units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import DataError
from pipeline.volume.geometry import Geometry, nanometres

VERSION = "0.5"

Json = dict[str, Any]
LabelClass = tuple[int, str, str]


def group(ome: Json) -> Json:
    """The ``zarr.json`` of a group with these ``ome`` attributes."""
    return {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": VERSION, **ome}}}


def multiscale(name: str, levels: Sequence[Geometry], *, has_channels: bool, method: str) -> Json:
    """One entry of ``multiscales``; `levels` from fine to coarse are the arrays ``0``, ``1``, ...

    `method` says how the levels were made (``mean`` or ``mode``).
    """
    axes: list[Json] = [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"]
    if has_channels:
        axes.insert(0, {"name": "c", "type": "channel"})
    datasets = [
        {"path": str(level), "coordinateTransformations": _transformations(geometry, has_channels)}
        for level, geometry in enumerate(levels)
    ]
    return {"name": name, "axes": axes, "datasets": datasets, "type": method}


def omero(channels: Sequence[str]) -> Json:
    """The transitional ``omero`` block, which carries the names of channels; values are fractions of one."""
    window = {"min": 0.0, "max": 1.0, "start": 0.0, "end": 1.0}
    return {"channels": [{"label": name, "color": "FFFFFF", "window": window} for name in channels]}


def omero_grey(name: str, limits: tuple[float, float], shown: tuple[float, float]) -> Json:
    """The ``omero`` block of an image without channels: its extreme values, and those to show as black and white."""
    window = {"min": limits[0], "max": limits[1], "start": shown[0], "end": shown[1]}
    return {"channels": [{"label": name, "color": "FFFFFF", "active": True, "window": window}]}


def image_label(classes: Sequence[LabelClass]) -> Json:
    """The ``image-label`` block: colours and names of the values, and the image they belong to."""
    return {
        "version": VERSION,
        "colors": [{"label-value": value, "rgba": _rgba(color)} for value, _, color in classes],
        "properties": [{"label-value": value, "name": name} for value, name, _ in classes],
        "source": {"image": "../../"},
    }


def label_classes(block: Mapping[str, Any]) -> tuple[LabelClass, ...]:
    """The (value, name, "#rrggbb") triples of an ``image-label`` block; values without a colour are grey."""
    colors = {entry["label-value"]: entry.get("rgba") or (128, 128, 128) for entry in block.get("colors") or ()}
    names = {entry["label-value"]: entry.get("name") for entry in block.get("properties") or ()}
    return tuple(
        (value, names.get(value) or str(value), "#{:02x}{:02x}{:02x}".format(*rgba[:3]))
        for value, rgba in colors.items()
    )


def voxel_place_nm(
    entry: Mapping[str, Any], dataset: Mapping[str, Any], where: str
) -> tuple[dict[str, float | None], dict[str, float]]:
    """Voxel size and translation in nanometres by axis name, for the space axes of one level.

    The size of an axis without a unit is None: a plain number is no length. Accepts what other writers leave
    out, such as translations. Raises DataError naming `where` for an unknown unit or missing scales.
    """
    sizes: dict[str, float | None] = {}
    shifts: dict[str, float] = {}
    transformations = [
        *dataset.get("coordinateTransformations", ()),
        *entry.get("coordinateTransformations", ()),
    ]
    for index, axis in enumerate(entry["axes"]):
        if axis.get("type") != "space":
            continue
        size, shift = _composed(transformations, index, where)
        factor = _nanometres(axis.get("unit"), where)
        sizes[axis["name"]] = None if factor is None else size * factor
        shifts[axis["name"]] = 0.0 if factor is None else shift * factor
    return sizes, shifts


def _composed(transformations: Sequence[Mapping[str, Any]], index: int, where: str) -> tuple[float, float]:
    size, shift = 1.0, 0.0
    for transformation in transformations:
        try:
            if transformation["type"] == "scale":
                factor = float(transformation["scale"][index])
                size, shift = size * factor, shift * factor
            elif transformation["type"] == "translation":
                shift += float(transformation["translation"][index])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise DataError(f"{where}: malformed coordinateTransformations {transformation}") from error
    return size, shift


def _nanometres(unit: str | None, where: str) -> float | None:
    if unit is None:
        return None
    if (length := nanometres(unit)) is None:
        raise DataError(f"{where}: unit {unit!r} is not a known length; use nanometer or micrometer")
    return length


def _transformations(geometry: Geometry, has_channels: bool) -> list[Json]:
    scale, translation = list(geometry.voxel_size_nm), list(geometry.translation_nm)
    if has_channels:
        scale, translation = [1.0, *scale], [0.0, *translation]
    return [{"type": "scale", "scale": scale}, {"type": "translation", "translation": translation}]


def _rgba(color: str) -> list[int]:
    return [*bytes.fromhex(color.removeprefix("#")), 255]
