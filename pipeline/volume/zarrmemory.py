"""The face that an input in a remote place shows to zarr, while the latest of what is fetched is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.volume.fetched import Memory, memory_of
from pipeline.volume.stores import Store
from pipeline.volume.zarrstore import ObstoreZarr

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

    from pipeline.volume.objects import Client


class RememberingZarr(ObstoreZarr):
    """What was fetched, and is still remembered, is not fetched again."""

    def __init__(self, client: Client, url: str, memory: Memory, *, read_only: bool = True) -> None:
        super().__init__(client, url, read_only=read_only)
        self._memory = memory

    def with_read_only(self, read_only: bool = False) -> RememberingZarr:
        return RememberingZarr(self.store, self.url, self._memory, read_only=read_only)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        part = (key, byte_range)
        try:
            content = self._memory.recall(part)
        except KeyError:
            found = await super().get(key, prototype, byte_range)
            content = None if found is None else found.to_bytes()
            self._memory.keep(part, content)
        return None if content is None else prototype.buffer.from_bytes(content)


def remembered(place: Store) -> ObstoreZarr:
    """A place as a zarr store to read an input from."""
    plain = place.zarr()
    return plain if place.local_path() else RememberingZarr(plain.store, place.url, memory_of(place))
