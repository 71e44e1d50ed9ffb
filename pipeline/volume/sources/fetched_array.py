"""Arrays of N5 and of precomputed volumes whose chunks are fetched here, and decoded by tensorstore.

tensorstore's own clients of remote places know neither our keys and retries nor what was remembered, and do not tell
the tags of what they read. Of chunks in files that are packed it reads nothing, and takes them for zeros.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from threading import Lock
from typing import Any, Protocol

import numpy as np

from pipeline.volume.fetched import Memory, Part, fetch
from pipeline.volume.sources.base import Grid, Index
from pipeline.volume.stores import Store

Cell = tuple[int, ...]
"""The place of a chunk in the grid of chunks, along each dimension of its array."""
ONE_BY_ONE: Mapping[str, Any] = {"cache_pool": {"total_bytes_limit": 0}, "data_copy_concurrency": {"limit": 1}}
"""tensorstore keeps nothing, and copies in one thread."""


class Chunks(Protocol):
    """Where the chunks of an array are.

    name: under which tensorstore looks for one. object: the key of the object in which it is.
    """

    @property
    def name(self) -> Callable[[Cell], str]: ...

    @property
    def object(self) -> Callable[[Cell], str]: ...

    def read(self, cells: Sequence[Cell]) -> list[bytes | None]:
        """The bytes of chunks; None for those that were never written."""


class ChunkObjects:
    """Each chunk is an object of its own, which `name` gives a key."""

    def __init__(self, place: Store, name: Callable[[Cell], str], memory: Memory) -> None:
        self._place, self._memory = place, memory
        self.name = self.object = name

    def read(self, cells: Sequence[Cell]) -> list[bytes | None]:
        return fetch(self._place, [Part(self.object(cell)) for cell in cells], self._memory)


class ChunkFiles(ChunkObjects):
    """Each chunk is a file of its own; those that are packed (cloud-volume's) have the ending of gzip."""

    def read(self, cells: Sequence[Cell]) -> list[bytes | None]:
        found = super().read(cells)
        missing = [cell for cell, content in zip(cells, found, strict=True) if content is None]
        packed = iter(fetch(self._place, [Part(self.object(cell) + GZIP) for cell in missing], self._memory))
        return [_plain(next(packed)) if content is None else content for content in found]


GZIP = ".gz"


def _plain(packed: bytes | None) -> bytes | None:
    return None if packed is None else gzip.decompress(packed)


class FetchedArray:
    """An array that is read by indexing, as NumPy's are.

    shape, dtype: of the array. grid: where its chunks are.
    """

    def __init__(self, driver: str, description: tuple[str, bytes], place: Store, chunks: Chunks) -> None:
        """Let tensorstore read how the array is stored.

        Args:
            driver: tensorstore's name of the format.
            description: key and content of the file that says how.
            place: of the objects, and of this file.
            chunks: in this place.
        """
        import tensorstore  # an optional library

        context = tensorstore.Context(dict(ONE_BY_ONE))
        self._memory = tensorstore.KvStore.open({"driver": "memory"}, context=context).result()
        name, content = description
        self._memory[name] = content
        spec = {"driver": driver, "kvstore": {"driver": "memory"}, "open": True}
        opened = tensorstore.open(spec, read=True, context=context).result()
        self._array = opened[tensorstore.d[:].translate_to[0]]
        self._chunks, self._lock = chunks, Lock()
        self.shape, self.dtype = tuple(map(int, opened.shape)), np.dtype(opened.dtype.numpy_dtype)
        sides = opened.chunk_layout.read_chunk.shape or opened.shape
        self.grid = Grid(place, tuple(int(side or 1) for side in sides), chunks.object, (name,))

    def __getitem__(self, index: Index) -> np.ndarray:
        cells = list(product(*self.grid.within(index)))
        found = {
            self._chunks.name(cell): content
            for cell, content in zip(cells, self._chunks.read(cells), strict=True)
            if content is not None
        }
        with self._lock:  # another thread's chunks stay until they are decoded
            try:
                for name, content in found.items():
                    self._memory[name] = content
                return np.asarray(self._array[index])
            finally:
                for name in found:
                    del self._memory[name]
