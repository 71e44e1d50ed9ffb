"""Volumes in the formats that laboratories have. A new format is one class, and one line of `FORMATS`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import DataError
from pipeline.volume.sources.base import Location, Source
from pipeline.volume.sources.folder import FolderSource
from pipeline.volume.sources.hdf5 import Hdf5Source
from pipeline.volume.sources.packed import PackedSource
from pipeline.volume.sources.runs import MrcSource, NpySource
from pipeline.volume.sources.tiff import TiffSource
from pipeline.volume.sources.zarr_array import ZarrSource

__all__ = ["FORMATS", "Source", "open_source"]


class Format(NamedTuple):
    """A format: its name for messages, whether it takes a location, and how it opens one."""

    name: str
    accepts: Callable[[Location], bool]
    open: Callable[[Location, bool], Source]


FORMATS = (
    Format("Zarr or OME-Zarr", ZarrSource.accepts, lambda location, _: ZarrSource(location)),
    Format(
        "folder of PNG or TIFF slices", FolderSource.accepts, lambda loc, gaps: FolderSource(loc, gaps_allowed=gaps)
    ),
    Format("TIFF stack", TiffSource.accepts, lambda location, _: TiffSource(location)),
    Format("MRC", MrcSource.accepts, lambda location, _: MrcSource(location)),
    Format("HDF5", Hdf5Source.accepts, lambda location, _: Hdf5Source(location)),
    Format("NumPy .npy", NpySource.accepts, lambda location, _: NpySource(location)),
    Format("zip or .npz of one of these", PackedSource.accepts, lambda loc, gaps: _open_packed(loc, gaps)),
)


def open_source(location: str, base: Path, *, gaps_allowed: bool = False) -> Source:
    """Open the volume at a location: a path (relative to `base`), ``path:/inner part`` or a URL.

    `gaps_allowed` accepts a folder of slices whose numbers have gaps. Raises DataError naming the location when
    there is nothing, or nothing that can be read.
    """
    place = Location.parse(location, base)
    for candidate in FORMATS:
        if candidate.accepts(place):
            return candidate.open(place, gaps_allowed)
    if place.path is not None and not place.path.exists():
        raise DataError(f"{location}: no such file or folder below {base}; check the location")
    known = ", ".join(candidate.name for candidate in FORMATS)
    raise DataError(f"{location}: not a volume that can be read; give one of: {known}")


def _open_packed(location: Location, gaps_allowed: bool) -> Source:
    return PackedSource(location, lambda inner, base: open_source(inner, base, gaps_allowed=gaps_allowed))
