"""Where the chunks of Neuroglancer's precomputed volumes are: objects of their own, or many in each of some shards.

By Neuroglancer's descriptions of the volume format and of its sharded format (``neuroglancer_uint64_sharded_v1``): a
shard begins with the places of its minishards, and each of these lists the chunks in it.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.errors import DataError
from pipeline.volume.fetched import Memory, Part, fetch
from pipeline.volume.sources.fetched_array import Cell
from pipeline.volume.stores import Store

_ENTRY_BYTES = 16
"""Of a shard's index: start and end of a minishard's."""


@dataclass(frozen=True)
class Layout:
    """Where chunks are: along x, y and z the first voxel, the volume's and a chunk's sides."""

    key: str
    offset: tuple[int, ...]
    size: tuple[int, ...]
    chunk: tuple[int, ...]

    def name(self, cell: Cell) -> str:
        """Of a chunk that is an object of its own; of the dimensions, channels are the last."""
        spans = []
        for number, first, length, side in zip(cell, self.offset, self.size, self.chunk, strict=False):
            start, stop = number * side, min(length, (number + 1) * side)
            spans.append(f"{first + start}-{first + stop}")
        return f"{self.key}/{'_'.join(spans)}"

    def number(self, cell: Cell) -> int:
        """The compressed Morton code of a chunk: the bits of x, y and z in turn, as far as the grid needs them."""
        lengths = [-(-length // side) for length, side in zip(self.size, self.chunk, strict=True)]
        code = place = 0
        for bit in range(max(lengths).bit_length()):
            for number, length in zip(cell, lengths, strict=False):
                if 1 << bit < length:
                    code |= (number >> bit & 1) << place
                    place += 1
        return code


def layout_of(scale: Mapping[str, Any]) -> Layout:
    """The layout that a scale of the ``info`` file states."""
    size, chunk = (tuple(map(int, numbers)) for numbers in (scale["size"], scale["chunk_sizes"][0]))
    offset = tuple(map(int, scale.get("voxel_offset") or (0, 0, 0)))
    return Layout(str(scale["key"]), offset, size, chunk)


class Shards:
    """Chunks are within shards."""

    def __init__(self, place: Store, layout: Layout, sharding: Mapping[str, Any], where: str, memory: Memory) -> None:
        self._place, self._layout, self._memory, self._where = place, layout, memory, where
        if sharding.get("@type") != "neuroglancer_uint64_sharded_v1" or sharding["hash"] not in _HASHES:
            raise DataError(f"{where}: shards of type {sharding.get('@type')} are not known; export it unsharded")
        self._hash, self._preshift = _HASHES[sharding["hash"]], int(sharding["preshift_bits"])
        self._minishard_bits, self._shard_bits = int(sharding["minishard_bits"]), int(sharding["shard_bits"])
        self._packs = [str(sharding.get(f"{part}_encoding", "raw")) for part in ("minishard_index", "data")]

    def name(self, cell: Cell) -> str:
        return self._layout.name(cell)

    def object(self, cell: Cell) -> str:
        return self._home(self._layout.number(cell))[0]

    def read(self, cells: Sequence[Cell]) -> list[bytes | None]:
        numbers = [self._layout.number(cell) for cell in cells]
        homes = [self._home(number) for number in numbers]
        listed = self._minishards(sorted(set(homes)))
        parts = [listed[home].get(number) for home, number in zip(homes, numbers, strict=True)]
        found = iter(fetch(self._place, [part for part in parts if part], self._memory))
        return [None if part is None else self._plain(next(found), 1) for part in parts]

    def _home(self, number: int) -> tuple[str, int]:
        """The shard of a chunk, and which of its minishards."""
        hashed = self._hash(number >> self._preshift)
        minishard = hashed & (1 << self._minishard_bits) - 1
        shard = hashed >> self._minishard_bits & (1 << self._shard_bits) - 1
        return f"{self._layout.key}/{shard:0{-(-self._shard_bits // 4)}x}.shard", minishard

    def _minishards(self, homes: Sequence[tuple[str, int]]) -> dict[tuple[str, int], dict[int, Part]]:
        """Where the chunks of minishards are."""
        entries = [Part(key, _ENTRY_BYTES * number, _ENTRY_BYTES * (number + 1)) for key, number in homes]
        spans = [
            None if entry is None else np.frombuffer(entry, "<u8") + np.uint64(self._start)
            for entry in fetch(self._place, entries, self._memory)
        ]
        parts = [
            None if span is None or span[0] == span[1] else Part(key, int(span[0]), int(span[1]))
            for (key, _), span in zip(homes, spans, strict=True)
        ]
        found = iter(fetch(self._place, [part for part in parts if part], self._memory))
        return {
            home: {} if part is None else self._listed(part.key, self._plain(next(found), 0))
            for home, part in zip(homes, parts, strict=True)
        }

    def _listed(self, key: str, index: bytes | None) -> dict[int, Part]:
        """A minishard's index: differences of the numbers, of the starts to the ends before them, and lengths."""
        numbers, gaps, lengths = np.frombuffer(index or b"", "<u8").reshape(3, -1)
        starts = self._start + np.cumsum(gaps) + np.cumsum(lengths) - lengths
        places = zip(np.cumsum(numbers).tolist(), starts.tolist(), lengths.tolist(), strict=True)
        return {number: Part(key, start, start + length) for number, start, length in places}

    @property
    def _start(self) -> int:
        """From where the places in a shard count."""
        return _ENTRY_BYTES << self._minishard_bits

    def _plain(self, content: bytes | None, which: int) -> bytes | None:
        packed = self._packs[which]
        if content is None or packed == "raw":
            return content
        if packed != "gzip":
            raise DataError(f"{self._where}: shards packed by {packed} are not known; export it with gzip")
        return gzip.decompress(content)


def _murmur(number: int) -> int:
    """The low half of MurmurHash3_x86_128 (Appleby, public domain), seed 0, of eight bytes in little endian."""
    mask = 0xFFFFFFFF

    def turned(word: int, bits: int) -> int:
        return (word << bits | word >> 32 - bits) & mask

    def mixed(word: int) -> int:
        word = (word ^ word >> 16) * 0x85EBCA6B & mask
        word = (word ^ word >> 13) * 0xC2B2AE35 & mask
        return word ^ word >> 16

    low, high = number & mask, number >> 32 & mask
    second = turned(high * 0xAB0E9789 & mask, 16) * 0x38B34AE5 & mask
    first = turned(low * 0x239B961B & mask, 15) * 0xAB0E9789 & mask
    length = 8
    words = [first ^ length, second ^ length, length, length]
    words[0] = sum(words) & mask
    words[1:] = [word + words[0] & mask for word in words[1:]]
    words = [mixed(word) for word in words]
    words[0] = sum(words) & mask
    return (words[1] + words[0] & mask) << 32 | words[0]


_HASHES: dict[str, Callable[[int], int]] = {"identity": int, "murmurhash3_x86_128": _murmur}
