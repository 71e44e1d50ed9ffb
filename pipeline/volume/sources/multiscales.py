"""The metadata of OME-Zarr images as programs write them: which array is which level, its axes and its voxel size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import DataError
from pipeline.volume import ngff
from pipeline.volume.geometry import ZyxNm

_KNOWN = ("0.1", "0.2", "0.3", "0.4", "0.5")
_DRAFT = "0.6"  # RFC-5: axes are those of a coordinate system, to which a level's transformation leads

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Level:
    """One array of an image.

    path: of the array in its group. axes: names of its dimensions. size_nm: z, y, x, where it is stated; else a note
    may say why not.
    """

    path: str
    axes: tuple[str, ...]
    size_nm: ZyxNm | None
    note: str = ""


def level_of(attributes: Json, where: str, path: str | None = None, *, number: int = 0) -> Level | None:
    """A level of the image that a group's attributes describe.

    Args:
        attributes: of the group.
        where: for messages.
        path: of the array; None is that of the number, of which 0 is the finest.

    Returns:
        None where the attributes describe no image, or not this array.

    Raises:
        DataError: a version or a transformation that is not known.
    """
    images = _ome(attributes).get("multiscales") or ()
    for image in images:
        levels = image["datasets"]
        if path is None and number >= len(levels):
            raise DataError(f"{where}: its levels are 0 to {len(levels) - 1}; choose one of these")
        for dataset in levels[number if path is None else 0 :]:
            if path in (None, dataset["path"]):
                if not image.get("axes") and "coordinateSystems" not in image:
                    image = {**image, "axes": _fixed_axes(_ome(attributes), image, where)}
                _check_version(_ome(attributes), image, where)
                return _level(image, dataset, where)
    return None


def images_below(attributes: Json) -> list[str] | None:
    """Paths of the images in a group of several: the wells of a plate, the fields of a well, labels, or series.

    None for a group that lists none; empty where the group of series does not name them.
    """
    ome = _ome(attributes)
    if plate := ome.get("plate"):
        return [f"{well['path']}/0" for well in plate.get("wells", ())]
    if well := ome.get("well"):
        return [str(image["path"]) for image in well.get("images", ())]
    if labels := ome.get("labels"):
        return [str(label) for label in labels]
    if "bioformats2raw.layout" in ome or "bioformats2raw.layout" in attributes:
        return [str(series) for series in ome.get("series", ())]
    return None


def _ome(attributes: Json) -> Json:
    """What version 0.5 and later have below ``ome``, and earlier ones on top."""
    ome = attributes.get("ome", attributes)
    return ome if isinstance(ome, Mapping) else {}


def _version(ome: Json, image: Json) -> str:
    return str(ome.get("version") or image.get("version") or _KNOWN[-1])


def _check_version(ome: Json, image: Json, where: str) -> None:
    version = _version(ome, image)
    if ".".join(version.split(".")[:2]) not in (*_KNOWN, _DRAFT):
        raise DataError(f"{where}: OME-Zarr version {version} is not known; export it as version 0.4 or 0.5")


def _fixed_axes(ome: Json, image: Json, where: str) -> list[str]:
    """Before version 0.3 no axes were listed: their order is fixed."""
    if _version(ome, image) not in ("0.1", "0.2"):
        raise DataError(f"{where}: its OME-Zarr metadata list no axes; export it again")
    return list("tczyx")


def _level(image: Json, dataset: Json, where: str) -> Level:
    path = str(dataset["path"])
    if "coordinateSystems" in image:
        axes, steps = _of_system(image, dataset, where)
    else:
        axes = image["axes"]  # names alone in version 0.3
        steps = [*dataset.get("coordinateTransformations", ()), *image.get("coordinateTransformations", ())]
    names = tuple(str(axis if isinstance(axis, str) else axis["name"]).lower() for axis in axes)
    unknown = [str(step.get("type")) for step in steps if step.get("type") not in ("scale", "translation", "identity")]
    if unknown:
        raise DataError(f"{where}: the coordinate transformation {unknown[0]!r} is not read; export it with scales")
    if not all(isinstance(axis, Mapping) for axis in axes) or not any(step["type"] == "scale" for step in steps):
        return Level(path, names, None)
    try:
        sizes, _ = ngff.voxel_place_nm({"axes": axes}, {"coordinateTransformations": steps}, where)
    except DataError as error:
        return Level(path, names, None, str(error))
    sizes = {name.lower(): size for name, size in sizes.items()}
    z, y, x = (sizes.get(axis) for axis in "zyx")
    return Level(path, names, None if z is None or y is None or x is None else (z, y, x))


def _of_system(image: Json, dataset: Json, where: str) -> tuple[Sequence[Any], list[Json]]:
    """The axes of the coordinate system to which a level's own transformation leads, and its steps."""
    systems = {system["name"]: system for system in image["coordinateSystems"]}
    transformations = list(dataset.get("coordinateTransformations", ()))
    output = transformations[-1].get("output") if transformations else None
    name = output.get("name") if isinstance(output, Mapping) else output
    if name is None and len(systems) == 1:
        (name,) = systems
    if name not in systems:
        raise DataError(f"{where}: level {dataset['path']} leads to no coordinate system that is listed")
    return systems[name]["axes"], list(_flat(transformations))


def _flat(transformations: Sequence[Json]) -> Iterator[Json]:
    for step in transformations:
        if step.get("type") == "sequence":
            yield from _flat(step["transformations"])
        else:
            yield step
