"""Files on their way in: written piece by piece, each in a folder of its own, so that a broken upload can go on.

What was announced is in the database. <data>/uploads/<id>/part holds the bytes that have come, and is renamed to the
file's name when it is complete; the lock beside it tells whether somebody is at work in the folder.

What is announced is taken into account before it comes: of the free disk, of what one user may hold, of what one
network address may hold where users are not signed in, and of what the site holds in all.
"""

from __future__ import annotations

import re
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import InputError, StorageError
from pipeline.formats import file_size
from pipeline.webapp.database import Database, Row, private_folder
from pipeline.webapp.locking import lock_file
from pipeline.webapp.monitoring import UPLOAD_BYTES
from pipeline.webapp.settings import Settings

FACTS, PART = "upload.json", "part"
NAME_BYTES = 120  # file systems take 255, and files made of an upload have longer names than it
FREE_BYTES = 256 * 2**20
"""Of the disk, kept for what the server itself writes down."""
_ID = re.compile(r"[0-9a-z-]{8,64}")


class UnknownUploadError(InputError):
    """This owner has no upload of this id."""


class OutOfStepError(InputError):
    """The bytes that came are not the next ones; the upload says which are."""


class TooLargeError(InputError):
    """There are more bytes than the site takes, or than were announced."""


@dataclass(frozen=True)
class Upload:
    """A file that comes in. `name` is safe as a file name; `path` is where it lies once it is complete."""

    id: str
    owner: str
    name: str
    size_bytes: int
    received_bytes: int
    folder: Path

    @property
    def path(self) -> Path:
        """The file itself."""
        return self.folder / self.name

    @property
    def complete(self) -> bool:
        """Whether every byte has come."""
        return self.received_bytes == self.size_bytes


class Uploads:
    """The uploads below a data folder. To a user, an upload of somebody else does not exist."""

    def __init__(self, settings: Settings, database: Database | None = None) -> None:
        self._folder, self._settings = settings.uploads_folder, settings
        self._database = database or Database(settings.data)
        private_folder(self._folder)

    def begin(self, owner: str, name: str, size_bytes: int, address: str = "") -> Upload:
        """Announce a file; address: of the browser, where users are not signed in.

        Raises InputError when it is empty or the owner has too many, TooLargeError above a limit of bytes, StorageError
        when there is no room.
        """
        name = safe_name(name)
        if size_bytes < 1:
            raise InputError(f"{name} is empty (0 bytes); export the stack again")
        if size_bytes > self._settings.upload_bytes:
            raise TooLargeError(
                f"{name} has {file_size(size_bytes)}, and at most {file_size(self._settings.upload_bytes)} can be "
                "uploaded; ask whoever runs this server for a folder or bucket from which it can be read instead"
            )
        folder = self._folder / secrets.token_hex(16)
        with self._database.writing() as execute:
            self._refuse_many(owner, address)
            self._refuse_more_bytes(owner, address, name, size_bytes)
            folder.mkdir(mode=0o700)
            (folder / FACTS).touch()
            (folder / PART).touch()
            values = (folder.name, owner, address, name, size_bytes, time.time())
            execute("INSERT INTO uploads VALUES (?, ?, ?, ?, ?, ?)", values)
        return Upload(folder.name, owner, name, size_bytes, 0, folder)

    def get(self, owner: str, upload_id: str) -> Upload:
        """An upload as far as it has come. Raises UnknownUploadError when this owner has none of this id."""
        rows = self._database.read("SELECT * FROM uploads WHERE id = ? AND owner = ?", (upload_id, owner))
        for row in rows:
            if (upload := self._parsed(row)) is not None:
                return upload
        raise UnknownUploadError("there is no such upload (any more); choose the file again")

    def append(self, owner: str, upload_id: str, offset: int, data: bytes) -> Upload:
        """Write the next bytes, which begin at `offset`.

        Raises OutOfStepError where others are next, or another connection is writing; TooLargeError for more than
        were announced; StorageError when the disk is full.
        """
        upload = self.get(owner, upload_id)
        try:
            if upload.complete:
                _refuse_out_of_step(upload, upload.size_bytes, offset, data)
            else:
                with (upload.folder / PART).open("r+b") as file:
                    self._append(file, upload, offset, data)
        except FileNotFoundError:  # another connection has sent the rest, or a job has taken it: `get` tells
            return self.get(owner, upload_id)
        except OSError as error:
            raise StorageError(f"{upload.name}: {error.strerror or error}; the server's disk may be full") from error
        return self.get(owner, upload_id)

    def discard(self, owner: str, upload_id: str) -> None:
        """Remove an upload and all that was made of it."""
        self.remove(self.get(owner, upload_id).id)

    def remove(self, upload_id: str) -> None:
        """Remove an upload of whomever."""
        with self._database.writing() as execute:
            execute("DELETE FROM uploads WHERE id = ?", (upload_id,))
        if is_id(upload_id):
            shutil.rmtree(self._folder / upload_id, ignore_errors=True)

    def room_bytes(self) -> int:
        """What may still be written to the disk, less what uploads have announced and not sent.

        What claims to be larger than the disk is not counted: its record is damaged.
        """
        disk = shutil.disk_usage(self._folder)
        incoming = (self._parsed(row) for row in self._database.read("SELECT * FROM uploads"))
        announced = (each.size_bytes - each.received_bytes for each in incoming if each)
        return disk.free - FREE_BYTES - sum(size for size in announced if size <= disk.total)

    def room_to_unpack_bytes(self, upload: Upload) -> int:
        """What an archive may become: within the disk, and within what its owner may hold, unpacked or not."""
        held = self._held_bytes("owner", upload.owner, "AND ended_at IS NULL")
        rows = self._database.read("SELECT id FROM uploads WHERE owner = ?", (upload.owner,))
        for folder in (self._folder / row["id"] for row in rows if is_id(row["id"])):
            held += sum(size_bytes(part) for part in folder.glob("*/"))
        return max(0, min(self.room_bytes(), self._settings.owner_quota_bytes - held))

    def _parsed(self, row: Row) -> Upload | None:
        """The upload of a row; None where its record cannot be read, or its folder is gone."""
        folder, name, size_bytes = self._folder / row["id"], row["name"], row["size_bytes"]
        if not is_id(row["id"]) or safe_name(name) != name or size_bytes < 1:
            return None
        try:
            received = (folder / PART).stat().st_size
        except FileNotFoundError:  # it has its name already
            try:
                received = (folder / name).stat().st_size
            except OSError:
                return None
        return Upload(row["id"], row["owner"], name, size_bytes, received, folder) if received <= size_bytes else None

    def _append(self, file: BinaryIO, upload: Upload, offset: int, data: bytes) -> None:
        try:
            lock_file(file, wait=False)
        except BlockingIOError as error:
            raise OutOfStepError(f"{upload.name} is being uploaded by another connection; wait for it") from error
        end = file.seek(0, 2)
        _refuse_out_of_step(upload, end, offset, data)
        file.write(data)
        UPLOAD_BYTES.inc(len(data))
        if end + len(data) == upload.size_bytes:
            file.flush()
            (upload.folder / PART).rename(upload.path)

    def _refuse_many(self, owner: str, address: str) -> None:
        """So that nobody fills the disk with files that no job is made of."""
        most = self._settings.waiting_per_owner
        if self._count("owner", owner) >= most:
            raise InputError(f"{most} of your uploads are here already; segment them, or come back tomorrow")
        beside = most * self._settings.owners_per_address
        if address and self._count("address", address) >= beside:
            raise InputError(f"{beside} uploads from your network address are here already; come back tomorrow")
        if self._count("1", 1) >= self._settings.waiting_in_all:
            raise InputError(f"{self._settings.waiting_in_all} uploads are here already; come back tomorrow")

    def _count(self, column: str, value: object) -> int:
        ((count,),) = self._database.read(f"SELECT COUNT(*) FROM uploads WHERE {column} = ?", (value,))
        return int(count)

    def _refuse_more_bytes(self, owner: str, address: str, name: str, size_bytes: int) -> None:
        most, beside = self._settings.owner_quota_bytes, self._settings.owners_per_address
        held = self._held_bytes("owner", owner, "AND ended_at IS NULL")
        if held + size_bytes > most:  # what has ended makes room by itself
            raise TooLargeError(
                f"{name} has {file_size(size_bytes)}, and your uploads and jobs hold {file_size(held)} of the "
                f"{file_size(most)} that one user may have; wait for a job to end, or delete an upload"
            )
        if address and self._held_bytes("address", address) + size_bytes > most * beside:
            raise TooLargeError(
                f"{name} has {file_size(size_bytes)}, and with it your network address would hold more than the "
                f"{file_size(most * beside)} that one may have; delete jobs that you no longer need"
            )
        if self._held_bytes("1", 1) + size_bytes > self._settings.quota_bytes:
            raise StorageError(
                f"{name} has {file_size(size_bytes)}, which is more than is left of the server's "
                f"{file_size(self._settings.quota_bytes)}; try later, or delete jobs that you no longer need"
            )
        room = self.room_bytes()
        if size_bytes > room:
            raise StorageError(
                f"{name} has {file_size(size_bytes)}, but only {file_size(max(0, room))} are left here; try later"
            )

    def _held_bytes(self, column: str, value: object, of_jobs: str = "") -> int:
        """Bytes of jobs, as they were last measured, and of uploads, as they were announced.

        What claims to be larger than the disk is not counted: its record is damaged.
        """
        query = f"""
            SELECT (SELECT TOTAL(size_bytes) FROM jobs WHERE {column} = ?1 AND size_bytes BETWEEN 0 AND ?2 {of_jobs})
                 + (SELECT TOTAL(size_bytes) FROM uploads WHERE {column} = ?1 AND size_bytes BETWEEN 0 AND ?2)
        """
        ((held,),) = self._database.read(query, (value, shutil.disk_usage(self._folder).total))
        return int(held)


def size_bytes(folder: Path) -> int:
    """Bytes of all files below a folder, as far as they are still there."""
    return sum(_size(path) for path in folder.rglob("*"))


def _size(path: Path) -> int:
    try:
        state = path.lstat()
    except OSError:
        return 0
    return state.st_size if path.is_file() else 0


def safe_name(name: str) -> str:
    """A file name without folders and without characters that mean something to a path; its ending is kept."""
    last = re.split(r"[/\\]", name)[-1]
    plain = re.sub(r"[^\w.() +-]+", "_", last).strip(". ").encode(errors="replace")[-NAME_BYTES:]
    kept = plain.decode(errors="ignore").strip(". ")
    return kept if kept not in ("", FACTS, PART) else f"volume-{kept or 'unnamed'}"


def is_id(text: str) -> bool:
    """Whether a text that came with a request may name a folder: no dots, no slashes."""
    return _ID.fullmatch(text) is not None


def _refuse_out_of_step(upload: Upload, end: int, offset: int, data: bytes) -> None:
    if offset != end:
        raise OutOfStepError(f"{upload.name}: the bytes from {end} on are next, not those from {offset}")
    if end + len(data) > upload.size_bytes:
        raise TooLargeError(f"{upload.name}: more bytes than the {upload.size_bytes} announced; upload it again")
