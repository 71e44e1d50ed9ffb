"""Unpacking zip files that strangers made: limits on number, size and ratio; no path leaves its folder."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from pipeline.errors import DataError, StorageError, VemsegError
from pipeline.volume.objects import storage_errors

_COPY_BYTES = 2**20
_ENCRYPTED = 0x1


@dataclass(frozen=True)
class Limits:
    """What an archive may unpack to.

    files: number of entries. total_bytes: unpacked. ratio: unpacked bytes a packed byte.
    small_bytes: up to which the ratio does not count, since tiny masks pack very well.
    """

    files: int = 100_000
    total_bytes: int = 2**40
    ratio: float = 250.0
    small_bytes: int = 2**16


def extract(archive: Path, folder: Path, limits: Limits | None = None) -> None:
    """Unpack a zip file into an existing folder; nothing is written before every entry has been checked.

    Raises DataError naming archive and entry for what is unsafe or damaged, StorageError when the disk is full.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            entries = file.infolist()
            for entry in entries:
                _check_entry(entry, archive)
            _check_totals(entries, archive, limits or Limits())
            _check_room(entries, archive, folder)
            for entry in entries:
                _unpack(file, entry, folder)
    except VemsegError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        raise DataError(f"{archive}: damaged or unusual zip file ({error}); pack it again") from error


def _check_entry(entry: zipfile.ZipInfo, archive: Path) -> None:
    path = PurePosixPath(entry.filename)
    kind = stat.S_IFMT(entry.external_attr >> 16)
    parts = path.parts or ("..",)
    if path.is_absolute() or ".." in parts or "\\" in entry.filename or ":" in parts[0]:
        raise DataError(f"{archive}: entry {entry.filename!r} leads out of the archive; pack it with plain names")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DataError(f"{archive}: entry {entry.filename!r} is a link or device; pack the files themselves")
    if entry.flag_bits & _ENCRYPTED:
        raise DataError(f"{archive}: entry {entry.filename!r} is encrypted; pack it without a password")
    if path.suffix.lower() == ".zip":
        raise DataError(f"{archive}: entry {entry.filename!r} is another zip file; pack the stack only once")


def _check_totals(entries: list[zipfile.ZipInfo], archive: Path, limits: Limits) -> None:
    total = sum(entry.file_size for entry in entries)
    packed = archive.stat().st_size
    if len(entries) > limits.files:
        raise DataError(f"{archive}: {len(entries)} entries, at most {limits.files}; unpack it and give the folder")
    if len({entry.filename for entry in entries}) < len(entries):
        raise DataError(f"{archive}: holds two entries of one name; pack it again")
    if total > limits.total_bytes:
        raise DataError(f"{archive}: unpacks to {total} bytes, at most {limits.total_bytes}; give the folder instead")
    if total > max(limits.small_bytes, packed * limits.ratio):
        raise DataError(
            f"{archive}: unpacks to {total / packed:.0f} times its size, at most {limits.ratio:.0f}; "
            "unpack it yourself, if you trust it, and give the folder"
        )


def _check_room(entries: list[zipfile.ZipInfo], archive: Path, folder: Path) -> None:
    total, free = sum(entry.file_size for entry in entries), shutil.disk_usage(folder).free
    if total > free:
        raise StorageError(f"{folder}: {free} bytes free, {archive} needs {total}; set TMPDIR to a larger disk")


def _unpack(file: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    target = folder / entry.filename
    with file.open(entry) as source, storage_errors(str(target)):
        if entry.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as sink:
            while part := _read(source):
                sink.write(part)


def _read(source: IO[bytes]) -> bytes:
    """The next bytes of an entry; zipfile ends at the size that was declared, and checked, and compares checksums."""
    try:
        return source.read(_COPY_BYTES)
    except OSError as error:  # of the archive, not of the disk that is written to
        raise zipfile.BadZipFile(str(error)) from error
