"""Files from elsewhere into a local folder: each whole or not at all, none outside it, none twice."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

import obstore

from pipeline.errors import ClusterError, DataError, StorageError
from pipeline.volume.objects import remote_client, storage_errors

_TRIES = 3  # in a row that bring no file


@dataclass(frozen=True)
class RemoteFile:
    """A file of the run: `name` is relative, with slashes; `modified` counts whole seconds since 1970."""

    name: str
    size_bytes: int
    modified: int


class Remote(Protocol):
    """Where files come from. Raises `StorageError` or `ClusterError` for what may work the next time."""

    def files(self, folders: Iterable[str]) -> list[RemoteFile]:
        """The files below these folders, or all of them where none is named."""

    def contents(self, files: list[RemoteFile]) -> Iterator[tuple[RemoteFile, Iterator[bytes]]]:
        """Each file with its bytes; they are to be read before the next one is asked for."""


@dataclass(frozen=True)
class Received:
    """What a transfer has done: files and bytes fetched, files that were there already, and the names of all."""

    files: int
    size_bytes: int
    there_already: int
    names: tuple[str, ...]


def receive(
    remote: Remote, folders: Iterable[str], destination: Path, report: Callable[[str, int, int], None]
) -> Received:
    """Fetch what is missing or has changed; the same call later goes on with the files that are left.

    `report` gets the name of each file that has come, how many have, and of how many. Raises `DataError` for a name
    that leads out of `destination`, and `StorageError` or `ClusterError` when the files stop coming.
    """
    files = remote.files(folders)
    missing = [file for file in files if not _is_there(file, place_of(file.name, destination))]
    total, failures, fetched_bytes = len(missing), 0, sum(file.size_bytes for file in missing)
    while missing:
        before = len(missing)
        try:
            for file, chunks in remote.contents(list(missing)):
                _write(place_of(file.name, destination), file, chunks)
                missing.remove(file)
                report(file.name, total - len(missing), total)
        except (ClusterError, StorageError):
            failures = failures + 1 if len(missing) == before else 0
            if failures >= _TRIES:
                raise
    return Received(total, fetched_bytes, len(files) - total, tuple(file.name for file in files))


def place_of(name: str, destination: Path) -> Path:
    """Where a file goes; `DataError` for a name that leads out of the folder, also by a link that is there."""
    parts = PurePosixPath(name).parts
    place = destination.joinpath(*parts)
    if not parts or name.startswith("/") or ".." in parts or "\0" in name or "\\" in name:
        raise DataError(f"the run has a file called {name!r}, which leads out of {destination}; nothing was written")
    if not place.parent.resolve().is_relative_to(destination.resolve()):
        raise DataError(
            f"{place.parent} is a link that leads out of {destination}; remove it, or choose another folder"
        )
    return place


def _is_there(file: RemoteFile, place: Path) -> bool:
    try:
        found = place.lstat()
    except OSError:
        return False
    return found.st_size == file.size_bytes and int(found.st_mtime) == file.modified


def _write(place: Path, file: RemoteFile, chunks: Iterator[bytes]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    handle, staged = tempfile.mkstemp(prefix=f".{place.name[:100]}.", dir=place.parent)
    try:
        with os.fdopen(handle, "wb") as target:
            size_bytes = sum(target.write(chunk) for chunk in chunks)
        if size_bytes != file.size_bytes:
            raise StorageError(
                f"{file.name} changed while it was fetched; pull again when the step that writes it is done"
            )
        os.utime(staged, (file.modified, file.modified))
        Path(staged).chmod(0o644)
        Path(staged).replace(place)
    except BaseException:
        with suppress(OSError):
            Path(staged).unlink()
        raise


class Bucket:
    """The objects below an ``s3://`` URL, with the credentials of this machine (AWS_*)."""

    def __init__(self, url: str) -> None:
        self.url, self._client = url.rstrip("/"), remote_client(url.rstrip("/"))

    def files(self, folders: Iterable[str]) -> list[RemoteFile]:
        wanted: list[str | None] = [*folders] or [None]
        with storage_errors(self.url):
            pages = [page for folder in wanted for page in obstore.list(self._client, prefix=folder)]
        entries = (entry for page in pages for entry in page)
        return [RemoteFile(e["path"], e["size"], int(e["last_modified"].timestamp())) for e in entries]

    def contents(self, files: list[RemoteFile]) -> Iterator[tuple[RemoteFile, Iterator[bytes]]]:
        for file in files:
            yield file, self._chunks(file)

    def _chunks(self, file: RemoteFile) -> Iterator[bytes]:
        with storage_errors(f"{self.url}/{file.name}"):
            for chunk in obstore.get(self._client, file.name).stream():
                yield bytes(chunk)
