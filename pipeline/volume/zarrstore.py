"""The face that a Store shows to zarr."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import obstore
from zarr.storage import ObjectStore

from pipeline.errors import InputError
from pipeline.volume.objects import is_denied_as_missing, local_directory, remove_staged, storage_errors, unpacked
from pipeline.volume.written import record, record_empty

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

    from pipeline.volume.objects import Client


class ObstoreZarr(ObjectStore["Client"]):
    """zarr's own store on obstore, with vemseg's errors and no leftovers of killed writers."""

    def __init__(self, client: Client, url: str, *, read_only: bool = False) -> None:
        super().__init__(client, read_only=read_only)
        self.url = url
        self._directory = local_directory(url)

    def with_read_only(self, read_only: bool = False) -> ObstoreZarr:
        return ObstoreZarr(self.store, self.url, read_only=read_only)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        try:
            with self._errors(key):
                if byte_range is None and self._directory is None:
                    return await self._whole(key, prototype)
                return await super().get(key, prototype, byte_range)
        except InputError:
            if is_denied_as_missing(self.url, key):
                return None
            raise

    async def _whole(self, key: str, prototype: BufferPrototype) -> Buffer | None:
        try:
            found = await obstore.get_async(self.store, key)
        except FileNotFoundError:
            return None
        content = bytes(await found.bytes_async())
        return prototype.buffer.from_bytes(unpacked(content, found.attributes, self._place(key)))

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        with self._errors():
            return await super().get_partial_values(prototype, key_ranges)

    async def exists(self, key: str) -> bool:
        with self._errors(key):
            return await super().exists(key)

    async def getsize(self, key: str) -> int:
        with self._errors(key):
            return await super().getsize(key)

    async def set(self, key: str, value: Buffer) -> None:
        with self._errors(key):
            await super().set(key, value)
            record(self._place(key), value.to_bytes())
            if self._directory is not None:
                remove_staged(self._directory / key)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        with self._errors(key):
            if not await super().exists(key):
                await super().set_if_not_exists(key, value)
                record(self._place(key), value.to_bytes())

    async def delete(self, key: str) -> None:
        with self._errors(key):
            await super().delete(key)
            record_empty(self._place(key))

    async def list(self) -> AsyncGenerator[str, None]:
        with self._errors():
            async for key in super().list():
                yield key

    async def list_prefix(self, prefix: str) -> AsyncGenerator[str, None]:
        with self._errors(prefix):
            async for key in super().list_prefix(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncGenerator[str, None]:
        with self._errors(prefix):
            async for key in super().list_dir(prefix):
                yield key

    def _errors(self, key: str = "") -> AbstractContextManager[None]:
        return storage_errors(self._place(key))

    def _place(self, key: str) -> str:
        return f"{self.url}/{key}"
