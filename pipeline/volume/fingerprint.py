"""Telling whether an input has changed without reading it: names, sizes and times of its files."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import DataError
from pipeline.volume.objects import local_directory
from pipeline.volume.sources.base import Location
from pipeline.volume.stores import Store

FileState = tuple[str, int, str]
"""Name relative to the location, bytes, and time of the last change (local) or entity tag (object storage)."""


def fingerprint(location: str, base: Path) -> list[FileState]:
    """The state of every file of an input. Raises DataError when there is nothing."""
    place = Location.parse(location, base)
    if place.path is None:
        return _remote(location)
    if place.path.is_dir():
        files = sorted(path for path in place.path.rglob("*") if path.is_file())
        return [_local(path, str(path.relative_to(place.path))) for path in files]
    if not place.path.exists():
        raise DataError(f"{location}: no such file or folder below {base}; check the location")
    return [_local(place.path, place.path.name)]


def _local(path: Path, name: str) -> FileState:
    state = path.stat()
    return name, state.st_size, str(state.st_mtime_ns)


def _remote(url: str) -> list[FileState]:
    assert local_directory(url) is None
    return list(Store.open(url).states())
