"""Objects of inputs in remote places: fetched whole or in part, several at once, and the latest kept for a while.

A volume is looked at before it is taken in, and chunks at the borders of shards are needed several times.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Lock

from pipeline.volume.stores import AT_ONCE, Store

REMEMBERED_BYTES = 2**28
"""As they are stored, of one place."""
_ENTRY_BYTES = 2**8
"""About what it takes to remember that an object is not there."""


@dataclass(frozen=True)
class Part:
    """An object, or its bytes from `start` to `stop` (excluded)."""

    key: str
    start: int = 0
    stop: int | None = None


class Memory:
    """The latest parts of objects that were fetched from one place, up to `REMEMBERED_BYTES`; None: is not there."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, bytes | None] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def recall(self, part: Hashable) -> bytes | None:
        """What a part held. Raises KeyError where it is not known, or no longer."""
        with self._lock:
            self._kept.move_to_end(part)
            return self._kept[part]

    def keep(self, part: Hashable, content: bytes | None) -> None:
        """Remember a part, and forget what was not asked for for longest."""
        with self._lock:
            if part in self._kept:
                return
            self._kept[part] = content
            self._bytes += _cost(content)
            while self._bytes > REMEMBERED_BYTES:
                self._bytes -= _cost(self._kept.popitem(last=False)[1])


def _cost(content: bytes | None) -> int:
    return _ENTRY_BYTES + len(content or b"")


_MEMORIES: ContextVar[dict[str, Memory] | None] = ContextVar("memories", default=None)


@contextmanager
def remembering() -> Iterator[None]:
    """The latest of what is fetched meanwhile of inputs in remote places, which must not change, is kept."""
    token = _MEMORIES.set({})
    try:
        yield
    finally:
        _MEMORIES.reset(token)


def memory_of(place: Store) -> Memory:
    """What is remembered of a place; outside of `remembering` nothing is, yet."""
    memories = _MEMORIES.get()
    return Memory() if memories is None else memories.setdefault(place.url, Memory())


def fetch(place: Store, parts: Sequence[Part], memory: Memory) -> list[bytes | None]:
    """The bytes of objects, or of parts of them; None for each that is not there.

    Raises InputError for refused access, and StorageError when a place does not answer, as `Store` does.
    """

    def fetched(part: Part) -> bytes | None:
        try:
            return memory.recall(part)
        except KeyError:
            pass
        try:
            content = place.read(part.key) if part.stop is None else place.read_range(part.key, part.start, part.stop)
        except FileNotFoundError:
            content = None
        memory.keep(part, content)
        return content

    if len(parts) < 2:
        return [fetched(part) for part in parts]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(fetched, parts))
