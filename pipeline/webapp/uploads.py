"""Files on their way in: written piece by piece, each in a folder of its own, so that a broken upload can go on.

<data>/uploads/<id>/upload.json     owner, name and size as announced
<data>/uploads/<id>/part            the bytes that have come; renamed to the file's name when it is complete
"""

from __future__ import annotations

import fcntl
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import InputError, StorageError
from pipeline.webapp.limits import Limits, in_words
from pipeline.webapp.metrics import UPLOAD_BYTES
from pipeline.webapp.records import is_id, read_record, write_record
from pipeline.webapp.settings import Settings

FACTS, PART = "upload.json", "part"
NAME_BYTES = 120  # file systems take 255, and files made of an upload have longer names than it


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
    """The uploads below a data folder. Users see their own only: another one's is as good as none."""

    def __init__(self, settings: Settings) -> None:
        self._folder, self._limits, self._most = settings.uploads_folder, settings.limits, settings.waiting_per_owner

    def begin(self, owner: str, name: str, size_bytes: int) -> Upload:
        """Announce a file.

        Raises InputError when it is empty or the owner has too many, TooLargeError above the limit, StorageError when
        the disk has no room.
        """
        name = safe_name(name)
        if size_bytes < 1:
            raise InputError(f"{name} is empty (0 bytes); export the stack again")
        _refuse_large(name, size_bytes, self._limits)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._refuse_many(owner)
        self._refuse_full_disk(name, size_bytes)
        folder = self._folder / secrets.token_hex(16)
        folder.mkdir()
        (folder / PART).touch()
        write_record(folder / FACTS, {"owner": owner, "name": name, "size_bytes": size_bytes})
        return Upload(folder.name, owner, name, size_bytes, 0, folder)

    def get(self, owner: str, upload_id: str) -> Upload:
        """An upload as far as it has come. Raises UnknownUploadError when this owner has none of this id."""
        folder = self._folder / upload_id
        facts = read_record(folder / FACTS) if is_id(upload_id) else None
        if facts is None or facts["owner"] != owner:
            raise UnknownUploadError("there is no such upload (any more); choose the file again")
        return Upload(upload_id, owner, facts["name"], facts["size_bytes"], _received(folder, facts["name"]), folder)

    def append(self, owner: str, upload_id: str, offset: int, data: bytes) -> Upload:
        """Write the next bytes, which begin at `offset`.

        Raises OutOfStepError where others are next, or another connection is writing; TooLargeError for more than
        were announced; StorageError when the disk is full.
        """
        upload = self.get(owner, upload_id)
        if not upload.complete:
            try:
                with (upload.folder / PART).open("r+b") as file:
                    self._append(file, upload, offset, data)
            except OSError as error:
                raise StorageError(
                    f"{upload.name}: {error.strerror or error}; the server's disk may be full"
                ) from error
        return self.get(owner, upload_id)

    def discard(self, owner: str, upload_id: str) -> None:
        """Remove an upload and all that was made of it."""
        shutil.rmtree(self.get(owner, upload_id).folder, ignore_errors=True)

    def _append(self, file: BinaryIO, upload: Upload, offset: int, data: bytes) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutOfStepError(f"{upload.name} is being uploaded by another connection; wait for it") from error
        end = file.seek(0, 2)
        if offset != end:
            raise OutOfStepError(f"{upload.name}: the bytes from {end} on are next, not those from {offset}")
        if end + len(data) > upload.size_bytes:
            raise TooLargeError(f"{upload.name}: more bytes than the {upload.size_bytes} announced; upload it again")
        file.write(data)
        UPLOAD_BYTES.inc(len(data))
        if end + len(data) == upload.size_bytes:
            file.flush()
            (upload.folder / PART).rename(upload.path)

    def _refuse_many(self, owner: str) -> None:
        """So that nobody fills the disk with files that no job is made of."""
        records = (read_record(folder / FACTS) for folder in self._folder.iterdir())
        if sum(facts is not None and facts["owner"] == owner for facts in records) >= self._most:
            raise InputError(f"{self._most} of your uploads are here already; segment them, or come back tomorrow")

    def _refuse_full_disk(self, name: str, size_bytes: int) -> None:
        free = shutil.disk_usage(self._folder).free
        if size_bytes > free:
            raise StorageError(f"{name} has {in_words(size_bytes)}, but only {in_words(free)} are left here; try later")


def safe_name(name: str) -> str:
    """A file name without folders and without characters that mean something to a path; its ending is kept."""
    last = re.split(r"[/\\]", name)[-1]
    plain = re.sub(r"[^\w.() +-]+", "_", last).strip(". ").encode()[-NAME_BYTES:].decode(errors="ignore")
    return plain if plain not in ("", FACTS, PART) else f"volume-{plain or 'unnamed'}"


def _received(folder: Path, name: str) -> int:
    try:
        return (folder / PART).stat().st_size
    except FileNotFoundError:  # it has its name already
        return (folder / name).stat().st_size


def _refuse_large(name: str, size_bytes: int, limits: Limits) -> None:
    if size_bytes > limits.upload_bytes:
        raise TooLargeError(
            f"{name} has {in_words(size_bytes)}, and at most {in_words(limits.upload_bytes)} can be uploaded; ask "
            "whoever runs this server for a folder or bucket from which it can be read instead"
        )
