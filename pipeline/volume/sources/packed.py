"""Archives: zip files that strangers made are unpacked, with limits, to a temporary folder and read there.

No path leaves its folder, and what is inside is never an archive again.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO

import numpy as np

from pipeline.errors import DataError, StorageError, VemsegError
from pipeline.formats import file_size
from pipeline.volume.geometry import Block
from pipeline.volume.objects import storage_errors
from pipeline.volume.sources.base import Format, Location, Opening, Source
from pipeline.volume.sources.chunked import FINEST, is_n5_dataset, is_n5_group
from pipeline.volume.sources.folder import JPEG
from pipeline.volume.sources.policy import STRANGER, Limits, Policy
from pipeline.volume.sources.registry import open_source, register, suffixes
from pipeline.volume.sources.wkw import PROPERTIES
from pipeline.volume.sources.zarr_array import MARKS

# What file managers add to archives unasked.
_CLUTTER = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")
_COPY_BYTES = 2**20
_ENCRYPTED = 0x1
_NAME_BYTES = 255  # that file systems take


OF_ANOTHER = " of one of these"
"""Behind the name of a format that holds others, where these are listed."""


@register
class PackedSource(Format):
    """The one volume in a zip or .npz file, or the one named after ``:/``; the folder is removed on close."""

    name = f"zip or .npz{OF_ANOTHER}"
    suffixes = (".zip", ".npz", ".ozx")

    def __init__(self, location: Location, opening: Opening) -> None:
        assert location.path is not None
        self.location = location.text
        self._folder = TemporaryDirectory(prefix="vemseg-unpacked-")
        root = Path(self._folder.name)
        with ExitStack() as undo:
            undo.callback(self._folder.cleanup)
            extract(location.path, root, opening.policy)
            self._inside = self._open(location, root, opening)
            undo.pop_all()
        self.shape_zyx, self.dtype = self._inside.shape_zyx, self._inside.dtype
        self.voxel_size_nm, self.slices_at_once = self._inside.voxel_size_nm, self._inside.slices_at_once
        self.chunk_bytes, self.voxel_size_note = self._inside.chunk_bytes, self._inside.voxel_size_note
        self.slice_numbers, self.axes_found = self._inside.slice_numbers, self._inside.axes_found

    def _open(self, location: Location, root: Path, opening: Opening) -> Source:
        policy = opening.policy.inside
        try:
            inner, gaps_allowed = _inner_location(location, root), opening.gaps_allowed
            return open_source(inner, root, policy, gaps_allowed=gaps_allowed, labels=opening.labels)
        except DataError as error:
            raise DataError(self._named(str(error))) from error

    @classmethod
    def refuse_references(cls, location: Location) -> None:
        """Links are refused where they are unpacked, other references where what is inside is opened."""

    def read_block(self, block: Block) -> np.ndarray:
        try:
            return self._inside.read_block(block)
        except DataError as error:
            raise DataError(self._named(str(error))) from error

    def where(self, z: int) -> str:
        return self._named(self._inside.where(z))

    def close(self) -> None:
        self._inside.close()
        self._folder.cleanup()

    def _named(self, message: str) -> str:
        """A message in terms of the archive, not of the temporary folder."""
        return f"{self.location}: {message.replace(f'{self._folder.name}/', '').replace(self._folder.name, '')}"


def _inner_location(location: Location, root: Path) -> str:
    if location.inner and location.suffix == ".npz":
        return f"{location.inner}.npy"
    return location.inner or only_volume(root, location.text)


def only_volume(root: Path, where: str) -> str:
    """The place of the only volume below a folder: its single file, or the folder itself, as of PNG slices."""
    entries = [e for e in sorted(root.iterdir()) if e.name not in _CLUTTER and not e.name.startswith("._")]
    endings = (*suffixes(), ".png", *JPEG)
    readable = [entry for entry in entries if entry.is_dir() or entry.name.lower().endswith(endings)]
    if len(readable) == 1 and readable[0].is_dir() and not _is_volume(root):
        return only_volume(readable[0], where)
    if len(readable) == 1 and readable[0].name.lower().endswith(suffixes()):
        return str(readable[0])
    files = [entry for entry in entries if entry.is_file()]
    if not files:
        names = ", ".join(entry.name for entry in entries) or "nothing"
        raise DataError(f"{where}: holds {names}; name one part, as in {where}:/{names.split(',')[0]}")
    return str(root)


def _is_volume(folder: Path) -> bool:
    """Whether a folder is itself what is read, though there is but one folder in it: chunks, or the finest level."""
    if any((folder / mark).is_file() for mark in (*MARKS, "info", PROPERTIES)):
        return True
    return is_n5_dataset(folder) or (is_n5_group(folder) and is_n5_dataset(folder / FINEST))


def extract(archive: Path, folder: Path, policy: Policy = STRANGER, room_bytes: int | None = None) -> None:
    """Unpack a zip file into an existing folder; nothing is written before every entry has been checked.

    room_bytes: what it may take of the disk; all that is free, if nothing is said. Raises DataError naming archive and
    entry for what is unsafe or damaged, StorageError when the disk is full.
    """
    if not policy.unpacks:
        raise DataError(f"{archive}: is an archive in an archive; pack the stack only once")
    try:
        with zipfile.ZipFile(archive) as file:
            entries = file.infolist()
            for entry in entries:
                entry.filename = entry.filename.replace("\\", "/")  # as some programs write folders
                _check_entry(entry, archive, policy.limits)
            _check_totals(entries, archive, policy.limits)
            _check_room(entries, archive, folder, room_bytes)
            for entry in entries:
                _unpack(file, entry, folder)
    except VemsegError:
        raise
    except (zipfile.BadZipFile, zlib.error, UnicodeDecodeError, EOFError, NotImplementedError, OSError) as error:
        raise DataError(f"{archive}: damaged or unusual zip file ({error}); pack it again") from error


def _check_entry(entry: zipfile.ZipInfo, archive: Path, limits: Limits) -> None:
    path, shown = PurePosixPath(entry.filename), entry.filename[:80]
    kind = stat.S_IFMT(entry.external_attr >> 16)
    parts = path.parts or ("..",)
    if path.is_absolute() or ".." in parts or ":" in parts[0]:
        raise DataError(f"{archive}: entry {shown!r} leads out of the archive; pack it with plain names")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DataError(f"{archive}: entry {shown!r} is a link or device; pack the files themselves")
    if entry.flag_bits & _ENCRYPTED:
        raise DataError(f"{archive}: entry {shown!r} is encrypted; pack it without a password")
    if path.suffix.lower() in PackedSource.suffixes:
        raise DataError(f"{archive}: entry {shown!r} is another zip file; pack the stack only once")
    if max(len(part.encode()) for part in parts) > _NAME_BYTES:
        raise DataError(f"{archive}: entry {shown!r}... has too long a name; pack it with shorter ones")
    if len(parts) > limits.depth:
        raise DataError(f"{archive}: entry {shown!r} lies {len(parts)} folders deep; pack it without them")


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


def _check_room(entries: list[zipfile.ZipInfo], archive: Path, folder: Path, room_bytes: int | None) -> None:
    total, free = sum(entry.file_size for entry in entries), shutil.disk_usage(folder).free
    if room_bytes is not None and total > room_bytes:
        raise StorageError(
            f"{archive.name}: unpacks to {file_size(total)}, and {file_size(room_bytes)} are left here for you; delete "
            "uploads and jobs that you no longer need, or come back later"
        )
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
