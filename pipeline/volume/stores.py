"""One prefix of a local or S3 place: the only way in which vemseg reads and writes a run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore

from pipeline.errors import DataError, InputError
from pipeline.volume.objects import local_client, local_directory, remove_staged, s3_client, storage_errors

if TYPE_CHECKING:
    from obstore.store import LocalStore, S3Store
    from zarr.abc.store import Store as ZarrStore


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
        """The store at a path, ``file://`` URL or ``s3://bucket/prefix``.

        Raises InputError when a local place does not exist and `create` is false.
        """
        directory = local_directory(url_or_path)
        if directory is None:
            url = str(url_or_path).rstrip("/")
            s3_client(url)
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

    def read(self, key: str) -> bytes:
        """The bytes of one object. Raises FileNotFoundError when there is none."""
        with storage_errors(self._place(key)):
            return bytes(obstore.get(self._client(), key).bytes())

    def write(self, key: str, data: bytes) -> None:
        """Write one object, whole or not at all, in place of an earlier one."""
        with storage_errors(self._place(key)):
            obstore.put(self._client(create=True), key, data)
            directory = self.local_path()
            if directory is not None:
                remove_staged(directory / key)

    def exists(self, key: str) -> bool:
        """Whether the key holds an object (a mere prefix of keys does not count)."""
        try:
            with storage_errors(self._place(key)):
                obstore.head(self._client(), key)
        except FileNotFoundError:
            return False
        return True

    def delete(self, key: str) -> None:
        """Remove one object, if it is there."""
        with storage_errors(self._place(key)), suppress(FileNotFoundError):
            obstore.delete(self._client(), key)

    def delete_all(self, prefix: str = "") -> None:
        """Remove every object below a prefix (whole path parts), what a killed writer staged included."""
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

    def states(self) -> tuple[tuple[str, int, str], ...]:
        """Key, size in bytes and entity tag (or time of the last change) of every object, sorted."""
        with storage_errors(self.url):
            pages = list(obstore.list(self._client()))
        entries = [entry for page in pages for entry in page]
        return tuple(sorted((e["path"], e["size"], e["e_tag"] or str(e["last_modified"])) for e in entries))

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
        self.write(key, (json.dumps(content, indent=2) + "\n").encode())

    def zarr(self) -> ZarrStore:
        """This prefix as a zarr store, with the same errors and the same whole-object writes."""
        from pipeline.volume.zarrstore import ObstoreZarr  # zarr is slow to import

        return ObstoreZarr(self._client(create=True), self.url)

    def _place(self, key: str) -> str:
        return f"{self.url}/{key}"

    def _client(self, *, create: bool = False) -> LocalStore | S3Store:
        directory = self.local_path()
        if directory is None:
            return self._s3
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
    def _s3(self) -> S3Store:
        return s3_client(self.url)
