"""A source on its way into a run: in a type that is kept, by shards, in memory that does not grow with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import IO

import numpy as np

from pipeline.errors import DataError, StorageError, VemsegError
from pipeline.volume.geometry import Block, Zyx, tile
from pipeline.volume.sources.base import Source

KEPT_TYPES = ("uint8", "uint16", "float32")


class ImageView(Source):
    """Slices `start` to `stop` (excluded) of an image, in the type in which they are stored."""

    def __init__(self, source: Source, start: int, stop: int) -> None:
        self._source, self._start = source, start
        self.location, self.voxel_size_nm = source.location, source.voxel_size_nm
        self.voxel_size_note = source.voxel_size_note
        self.slices_at_once, self.axes_found = source.slices_at_once, source.axes_found
        self.fetched_zyx = source.fetched_zyx
        z, y, x = source.origin_zyx
        self.origin_zyx = (z + start, y, x)
        self.shape_zyx = (stop - start, *source.shape_zyx[1:])
        self.dtype = stored_dtype(source)

    def where(self, z: int) -> str:
        return self._source.where(z + self._start)

    def read_block(self, block: Block) -> np.ndarray:
        data = self._source.read_block(block.shift((self._start, 0, 0)))
        with np.errstate(over="ignore"):  # reported below, with its place
            data = data.astype(self.dtype, copy=False)
        if self.dtype.kind == "f":
            self._check_finite(data, block)
        return data

    def _check_finite(self, data: np.ndarray, block: Block) -> None:
        finite = np.isfinite(data)
        if finite.all():
            return
        bad = np.count_nonzero(~finite, axis=(1, 2))
        z = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"{self.where(block.start_zyx[0] + z)}: {bad[z]} voxels are NaN, infinite or too large for float32; "
            "replace them by numbers"
        )


def stored_dtype(source: Source) -> np.dtype[np.generic]:
    """The type in which an image is stored: uint8, uint16 and float32 as they are, all others as float32.

    float32 holds whole numbers exactly up to 2^24, far beyond the grey levels of a detector. Truth values
    become uint8.
    """
    if source.dtype.kind == "b":
        return np.dtype(np.uint8)
    return source.dtype if source.dtype.name in KEPT_TYPES else np.dtype(np.float32)


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
