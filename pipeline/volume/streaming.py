"""Walking through a source by shards with memory that does not depend on its size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import IO

import numpy as np

from pipeline.errors import StorageError, VemsegError
from pipeline.volume.geometry import Block, Zyx, tile
from pipeline.volume.sources.base import Source


def pieces(source: Source) -> Iterator[tuple[Block, np.ndarray]]:
    """Every voxel of a source once, in pieces of any shape, by the cheapest way to read it."""
    depth = source.slices_at_once
    size = (depth, *source.shape_zyx[1:]) if depth else (64, 256, 256)
    for block in tile(Block.of_shape(source.shape_zyx), size):
        yield block, source.read_block(block)


def shards(source: Source, shard_zyx: Zyx) -> Iterator[tuple[Block, np.ndarray]]:
    """The voxels of a source shard by shard, every slice decoded about once.

    A layer of shards of a source that decodes whole slices goes through a temporary file: it may be larger
    than memory, and decoding its slices again for each shard would take as many times longer.
    """
    whole = Block.of_shape(source.shape_zyx)
    if not source.slices_at_once:
        for block in tile(whole, shard_zyx):
            yield block, source.read_block(block)
        return
    _, height, width = source.shape_zyx
    for layer in tile(whole, (shard_zyx[0], height, width)):
        with _temporary_file() as file:
            spooled = _SpooledLayer(file, source, layer, shard_zyx)
            for block in tile(layer, shard_zyx):
                yield block, spooled.read(block)


class _SpooledLayer:
    """Some slices in a temporary file, in columns of shard width.

    The file holds for each column of shards, for each slice, the rows of that column: what one shard needs of
    one slice is then one run of bytes.
    """

    def __init__(self, file: IO[bytes], source: Source, layer: Block, shard_zyx: Zyx) -> None:
        self._file = file
        self._layer = layer
        self._dtype = source.dtype
        _, height, width = layer.shape_zyx
        self._columns = tile(Block.of_shape((1, height, width)), (1, height, shard_zyx[2]))
        for block in tile(layer, (source.slices_at_once, height, width)):
            self._append(block, source.read_block(block))

    def read(self, block: Block) -> np.ndarray:
        """A block of one column, shape (z, y, x)."""
        out = np.empty(block.shape_zyx, self._dtype)
        for index, z in enumerate(range(block.start_zyx[0], block.stop_zyx[0])):
            self._file.seek(self._offset(z, *block.start_zyx[1:]))
            out[index] = np.fromfile(self._file, self._dtype, out[index].size).reshape(out[index].shape)
        return out

    def _append(self, block: Block, data: np.ndarray) -> None:
        for index, z in enumerate(range(block.start_zyx[0], block.stop_zyx[0])):
            for column in self._columns:
                self._file.seek(self._offset(z, 0, column.start_zyx[2]))
                self._file.write(np.ascontiguousarray(data[index][column.slices[1:]]).data)

    def _offset(self, z: int, y: int, x: int) -> int:
        """Byte offset of a row in the column that starts at `x`."""
        depth, height, width = self._layer.shape_zyx
        column_width = min(self._columns[0].shape_zyx[2], width - x)
        row = (z - self._layer.start_zyx[0]) * height + y
        return (depth * height * x + row * column_width) * self._dtype.itemsize


@contextmanager
def _temporary_file() -> Iterator[IO[bytes]]:
    try:
        with TemporaryFile(prefix="vemseg-layer-") as file:
            yield file
    except VemsegError:
        raise
    except OSError as error:
        raise StorageError(f"temporary file: {error}; free some space, or set TMPDIR to a larger disk") from error
