"""The face that a Store shows to zarr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zarr.storage import ObjectStore

from pipeline.volume.objects import local_directory, remove_staged, storage_errors

if TYPE_CHECKING:
    from obstore.store import LocalStore, S3Store
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype


class ObstoreZarr(ObjectStore["LocalStore | S3Store"]):
    """zarr's own store on obstore, with vemseg's errors and no leftovers of killed writers."""

    def __init__(self, client: LocalStore | S3Store, url: str, *, read_only: bool = False) -> None:
        super().__init__(client, read_only=read_only)
        self.url = url
        self._directory = local_directory(url)

    def with_read_only(self, read_only: bool = False) -> ObstoreZarr:
        return ObstoreZarr(self.store, self.url, read_only=read_only)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        with storage_errors(f"{self.url}/{key}"):
            return await super().get(key, prototype, byte_range)

    async def set(self, key: str, value: Buffer) -> None:
        with storage_errors(f"{self.url}/{key}"):
            await super().set(key, value)
            if self._directory is not None:
                remove_staged(self._directory / key)
