"""One prefix of a local or S3 place: the only way in which vemseg reads and writes a run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore

from pipeline.errors import DataError, InputError, StorageError
from pipeline.volume.objects import (
    DESCRIPTIONS,
    Client,
    is_denied_as_missing,
    local_client,
    local_directory,
    remote_client,
    remove_staged,
    storage_errors,
    unpacked,
)
from pipeline.volume.written import record, record_removed

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import LocalStore

    from pipeline.volume.zarrstore import ObstoreZarr


State = tuple[str, int, str]
"""Of an object: its key, size in bytes, and entity tag or time of the last change."""
MOST_STATES = 100_000
AT_ONCE = 16
"""Requests to a remote place; each mostly waits."""


class Store:
    """Objects below one URL, addressed by keys such as ``models/membrane/model.json``.

    A write is complete or absent: local files are staged and renamed, S3 objects appear at once. Each key
    has one writer at a time. Methods raise StorageError for a full disk or a lost connection (a retry may
    help) and InputError for refused access. A Store can be pickled.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    @classmethod
    def open(cls, url_or_path: str | Path, *, create: bool = False) -> Store:
        """The store at a path, or a URL of ``file``, ``s3``, ``gs`` or, to be read only, ``https``.

        Raises InputError when a local place does not exist and `create` is false.
        """
        directory = local_directory(url_or_path)
        if directory is None:
            url = str(url_or_path).rstrip("/")
            remote_client(url)
            if create and url.startswith("http"):
                raise InputError(f"{url}: can be read only; results go to a directory, s3:// or gs://")
            return cls(url)
        if directory.exists() and not directory.is_dir():
            raise InputError(f"{directory}: is a file; a directory is needed here")
        if create:
            with storage_errors(str(directory)):
                directory.mkdir(parents=True, exist_ok=True)
        elif not directory.is_dir():
            raise InputError(f"{directory}: no such directory; check the path")
        return cls(directory.as_uri())

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return Store, (self.url,)

    def child(self, *parts: str) -> Store:
        """The store at a prefix below this one; it need not exist."""
        directory = self.local_path()
        if directory is None:
            return Store("/".join([self.url, *parts]))
        return Store(directory.joinpath(*parts).as_uri())

    def local_path(self) -> Path | None:
        """The directory, where this store is local; None for S3."""
        return local_directory(self.url)

    @property
    def readable_place(self) -> str:
        """The path, where this store is local; else the URL."""
        return str(self.local_path() or self.url)

    def read(self, key: str) -> bytes:
        """The bytes of one object. Raises FileNotFoundError when there is none."""
        with self._errors(key):
            found = obstore.get(self._client(), key)
            return unpacked(bytes(found.bytes()), found.attributes, self._place(key))

    def read_range(self, key: str, start: int, stop: int) -> bytes:
        """Some bytes of one object, `stop` excluded. Raises FileNotFoundError when there is none."""
        with storage_errors(self._place(key)):
            return bytes(obstore.get_range(self._client(), key, start=start, end=stop))

    def write(self, key: str, data: bytes) -> None:
        """Write one object, whole or not at all, in place of an earlier one."""
        with storage_errors(self._place(key)):
            obstore.put(self._client(create=True), key, data)
            record(self._place(key), data)
            directory = self.local_path()
            if directory is not None:
                remove_staged(directory / key)

    def exists(self, key: str) -> bool:
        """Whether the key holds an object (a mere prefix of keys does not count)."""
        return self.size(key) is not None

    def size(self, key: str) -> int | None:
        """Bytes of one object; None where there is none."""
        state = self._head(key)
        return None if state is None else int(state["size"])

    def delete(self, key: str) -> None:
        """Remove one object, if it is there."""
        with storage_errors(self._place(key)), suppress(FileNotFoundError):
            record_removed(self._place(key))
            obstore.delete(self._client(), key)

    def delete_all(self, prefix: str = "") -> None:
        """Remove every object below a prefix (whole path parts), what a killed writer staged included."""
        record_removed(self._place(prefix))
        directory = self.local_path()
        if directory is not None:
            with storage_errors(self._place(prefix)), suppress(FileNotFoundError):
                shutil.rmtree(directory / prefix)
            return
        for key in self.list(prefix):
            self.delete(key)

    def list(self, prefix: str = "") -> Iterator[str]:
        """All keys below a prefix (whole path parts), relative to this store, sorted."""
        try:
            with storage_errors(self._place(prefix)):
                pages = list(obstore.list(self._client(), prefix=prefix or None))
        except FileNotFoundError:
            return iter(())
        return iter(sorted(entry["path"] for page in pages for entry in page))

    def holds(self, prefix: str) -> bool:
        """Whether there is any object below a prefix (whole path parts)."""
        with storage_errors(self._place(prefix)), suppress(FileNotFoundError):
            return any(len(page) for page in obstore.list(self._client(), prefix=prefix, chunk_size=1))
        return False

    def states(self) -> tuple[State, ...]:
        """What objects there are, sorted.

        Of every one, up to `MOST_STATES`; of a web server, which lists nothing, those that describe a volume.
        """
        if not self.lists:
            return self.states_of(DESCRIPTIONS)
        with storage_errors(self.url):
            pages = obstore.list(self._client())
            entries = list(islice((entry for page in pages for entry in page), MOST_STATES))
        return tuple(sorted(_state(entry) for entry in entries))

    def states_of(self, keys: Iterable[str]) -> tuple[State, ...]:
        """The same of some objects; those that are not there are left out."""
        with ThreadPoolExecutor(AT_ONCE) as threads:
            entries = threads.map(self._head, sorted(set(keys)))
            return tuple(_state(entry) for entry in entries if entry is not None)

    @property
    def lists(self) -> bool:
        """Whether it is of a kind that can tell what is in it: a web server can not."""
        return not self.url.startswith("http")

    def above(self) -> Store | None:
        """The place in which this one lies; None for the topmost."""
        url, _, name = self.url.rstrip("/").rpartition("/")
        return Store(url) if name and not url.endswith("/") else None

    def _head(self, key: str) -> ObjectMeta | None:
        with suppress(FileNotFoundError), self._errors(key):
            return obstore.head(self._client(), key)
        return None

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        try:
            with storage_errors(self._place(key)):
                yield
        except InputError as error:
            if is_denied_as_missing(self.url, key):
                raise FileNotFoundError(self._place(key)) from error
            raise

    def read_json(self, key: str) -> Any:
        """The content of a JSON object. Raises FileNotFoundError, or DataError when it is not JSON."""
        try:
            return json.loads(self.read(key))
        except ValueError as error:
            raise DataError(
                f"{self._place(key)}: not valid JSON ({error}); delete it and run the step again"
            ) from error

    def write_json(self, key: str, content: Any) -> None:
        """Write content as JSON, always the same bytes for the same content."""
        self.write(key, as_json(content))

    def zarr(self) -> ObstoreZarr:
        """This prefix as a zarr store, with the same errors and the same whole-object writes."""
        from pipeline.volume.zarrstore import ObstoreZarr  # zarr is slow to import

        return ObstoreZarr(self._client(create=True), self.url)

    def _place(self, key: str) -> str:
        return f"{self.url}/{key}"

    def _client(self, *, create: bool = False) -> Client:
        directory = self.local_path()
        if directory is None:
            return self._remote
        if create:
            directory.mkdir(parents=True, exist_ok=True)
        elif not directory.is_dir():
            raise FileNotFoundError(str(directory))
        return self._local

    @cached_property
    def _local(self) -> LocalStore:
        directory = self.local_path()
        assert directory is not None
        return local_client(directory)

    @cached_property
    def _remote(self) -> Client:
        return remote_client(self.url)


def _state(entry: ObjectMeta) -> State:
    return entry["path"], entry["size"], entry["e_tag"] or str(entry["last_modified"])


@contextmanager
def whole_file(path: Path, what: str) -> Iterator[Path]:
    """Yield where to write a local file, which appears under its name when it is complete.

    Args:
        path: of the file; its folder is made.
        what: it is, for the message.

    Raises:
        StorageError: it cannot be written.
    """
    partial = path.with_name(f".partial-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise StorageError(f"{path}: {what} was not written ({error}); check free space and permissions") from error
    finally:
        partial.unlink(missing_ok=True)


def as_json(content: Any) -> bytes:
    """The bytes that `Store.write_json` writes. Raises ValueError for NaN and infinity, which JSON has not."""
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()
