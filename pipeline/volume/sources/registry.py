"""The registry of formats, and how a volume is opened by it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import ExitStack
from math import isfinite
from pathlib import Path
from typing import TypeVar

from pipeline.errors import DataError, InputError
from pipeline.volume.sources.base import Box, Format, Location, Opening, Source
from pipeline.volume.sources.policy import STRANGER, Policy, refuse_large, refuse_lies

# Slices much thinner than a pixel is wide come from sizes in the wrong order, or of the wrong unit.
_THINNEST = 0.5
# ITK calls whatever it writes as NIfTI millimetres.
_LARGEST_NM = 1e5

FORMATS: list[type[Format]] = []
"""Every format; the first that accepts a location reads it."""

F = TypeVar("F", bound=type[Format])


def register(format: F) -> F:
    """Enter a format into the registry: all that has to be done for studies, commands and the application."""
    FORMATS.append(format)
    return format


def open_source(
    location: str, base: Path, policy: Policy = STRANGER, *, gaps_allowed: bool = False, labels: bool = False
) -> Source:
    """Open the volume at a location.

    Args:
        location: a path (relative to `base`), ``path:/inner part`` or a URL; a level or a box may stand behind it.
        base: the folder at which relative paths start.
        policy: whether its files may name others, and how much they may hold.
        gaps_allowed: accepts a folder of slices whose numbers have gaps.
        labels: voxels are ids or masks and not grey values.

    Raises:
        DataError: there is nothing, nothing that can be read, or more than the policy allows; names the location.
    """
    place = Location.parse(location, base)
    if not policy.follows_references:
        _refuse_links(place)
    candidate = format_of(place)
    if not policy.follows_references:
        candidate.refuse_references(place)
    if place.cut.level and not candidate.has_levels:
        raise DataError(f"{location}: {candidate.name} has no levels here; leave the level out")
    try:
        source: Source = candidate(place, Opening(policy, gaps_allowed, labels))
    except ModuleNotFoundError as error:
        raise InputError(
            f"{location}: {candidate.name} needs more libraries; install them with: pip install "
            f"'vemseg[{candidate.extra}]'"
        ) from error
    with ExitStack() as undo:
        undo.callback(source.close)
        if source.dtype.kind not in "buif":
            raise DataError(f"{location}: voxels of type {source.dtype}; save them as integers or floats")
        if source.stored_bytes is not None:
            refuse_lies(location, source.size_bytes, source.stored_bytes, source.densest)
        _ask_about_absurd_size(source)
        if block := place.cut.block(source.shape_zyx, source.voxel_size_nm, location):
            source = Box(source, block, location)
        refuse_large(location, source.size_bytes, source.chunk_bytes, policy.limits)
        undo.pop_all()
    return source


def _ask_about_absurd_size(source: Source) -> None:
    """Leave out a voxel size that no microscope has, with a note: the user is asked."""
    if source.voxel_size_nm is None:
        return
    z, y, x = source.voxel_size_nm
    if not all(isfinite(size) and size > 0 for size in (z, y, x)):
        reason = "which is no size"
    elif max(z, y, x) >= _LARGEST_NM:
        reason = "far more than a voxel of electron microscopy"
    elif z < _THINNEST * min(y, x):
        reason = "so that slices are thinner than their pixels are wide"
    else:
        return
    source.voxel_size_nm = None
    source.voxel_size_note = f"Its file states {z:g} × {y:g} × {x:g} nm (z, y, x), {reason}."


def format_of(place: Location) -> type[Format]:
    """The format of a location. Raises DataError when there is nothing, or nothing that can be read."""
    if place.path is None and place.url.lower().endswith(suffixes()):
        raise DataError(
            f"{place.text}: only what is stored in many objects (Zarr) is read in place; download the file, or convert "
            "it"
        )
    for candidate in FORMATS:
        if candidate.accepts(place):
            return candidate
    if place.path is not None and not place.path.exists():
        raise DataError(f"{place.text}: no such file or folder; looked at {place.path}")
    if place.suffix in (".png", ".jpg", ".jpeg"):
        raise DataError(f"{place.text}: a single slice; name the folder that holds all of them, or a zip of it")
    if place.suffix == ".wkw":
        raise DataError(f"{place.text}: a cube of a webKnossos dataset; name the folder of the dataset")
    if inner := _first_volume_within(place):
        raise DataError(f"{place.text}: a folder of volumes; name one of them, such as {place.text}/{inner}")
    if place.path is not None and place.path.is_dir() and not any(place.path.iterdir()):
        raise DataError(f"{place.text}: the folder is empty; name the one that holds the slices")
    raise DataError(f"{place.text}: not a volume that can be read; give one of: {known_formats()}")


def _first_volume_within(place: Location) -> str | None:
    """The name of a folder in a folder, such as that of a class with masks, that can be read."""
    if place.path is None or not place.path.is_dir():
        return None
    folders = (path for path in sorted(place.path.iterdir()) if path.is_dir())
    names = (path.name for path in folders if any(each.accepts(Location(str(path), path, None)) for each in FORMATS))
    return next(names, None)


def known_formats() -> str:
    """The formats as a message lists them."""
    return ", ".join(each.name for each in FORMATS)


def suffixes() -> tuple[str, ...]:
    """Every ending by which a file is recognised."""
    return tuple(suffix for each in FORMATS for suffix in each.suffixes)


def format_names() -> list[str]:
    """``module:class`` of each format, for a process that is to know the same."""
    return [f"{each.__module__}:{each.__qualname__}" for each in FORMATS]


def register_named(names: Iterable[str]) -> None:
    """Enter the formats that are not known here yet; their modules must have been imported."""
    for name in names:
        module, _, qualname = name.partition(":")
        if name not in format_names():
            register(getattr(sys.modules[module], qualname))


def _refuse_links(place: Location) -> None:
    """A symbolic link leads to a file that was not given."""
    if place.path is None:
        return
    for path in (place.path, *(place.path.rglob("*") if place.path.is_dir() else ())):
        if path.is_symlink():
            raise DataError(f"{path}: is a link to another file; give the file itself")
