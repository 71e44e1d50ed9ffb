"""What every input format offers: slices, or blocks, of one volume (z, y, x)."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from pipeline.errors import DataError, InputError, VemsegError
from pipeline.volume.geometry import Block, Zyx
from pipeline.volume.objects import local_directory

VoxelSize = tuple[float, float, float]

COLOUR_CURE = "convert it to greyscale first (in Fiji: Image > Type > 8-bit), or export a single channel"


@dataclass(frozen=True)
class Location:
    """Where an input lies: a local path or a URL, and the part of the file after ``:/``, if any."""

    text: str
    path: Path | None
    inner: str | None

    @classmethod
    def parse(cls, text: str, base: Path) -> Location:
        """Read ``path``, ``path:/inner``, ``file://...`` or ``s3://...``; relative paths start at `base`."""
        if "://" in text:
            return cls(text, local_directory(text), None)
        match = re.fullmatch(r"(?P<path>.+?)(?::(?P<inner>/.*))?", text, re.DOTALL)
        if match is None:
            raise InputError("an input location is empty; give a file, a folder or a URL")
        inner = match["inner"]
        if inner and ".." in inner.split("/"):
            raise InputError(f"{text}: the part after ':/' must not contain '..'")
        return cls(text, base / Path(match["path"]).expanduser(), inner.strip("/") if inner else None)

    @property
    def suffix(self) -> str:
        """The file name's ending in lower case, such as ``.tif``; empty for a folder or a remote place."""
        return self.path.suffix.lower() if self.path is not None and self.path.is_file() else ""


class Source(ABC):
    """One volume of an input file, read slice by slice or block by block; use it as a context manager.

    location: as the user wrote it. shape_zyx: voxels. dtype: of a voxel in the file.
    voxel_size_nm: (z, y, x) where the file states it with a unit, else None.
    slices_at_once: how many whole slices are decoded to read any block; 0 where a block costs its own voxels.
    chunk_bytes: what is decoded at once to read any voxel, where that is not a slice.
    """

    location: str
    shape_zyx: Zyx
    dtype: np.dtype[Any]
    voxel_size_nm: VoxelSize | None = None
    slices_at_once: int = 0
    chunk_bytes: int = 0

    @abstractmethod
    def read_block(self, block: Block) -> np.ndarray:
        """The voxels of a block. Raises DataError naming file and slice when they cannot be read."""

    def read(self, z_start: int, z_stop: int) -> np.ndarray:
        """Whole slices from `z_start` up to, not including, `z_stop`; shape (z, y, x)."""
        _, height, width = self.shape_zyx
        return self.read_block(Block((z_start, 0, 0), (z_stop, height, width)))

    def where(self, z: int) -> str:
        """How to name one slice in a message."""
        return f"{self.location}, slice {z}"

    def close(self) -> None:  # noqa: B027 - most formats hold nothing open
        """Release files and temporary folders."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class PagedSource(Source):
    """A source that can only decode whole slices."""

    slices_at_once = 1

    @abstractmethod
    def page(self, z: int) -> np.ndarray:
        """One slice, shape (y, x)."""

    def read_block(self, block: Block) -> np.ndarray:
        z_slice, rows, columns = block.slices
        out = np.empty(block.shape_zyx, self.dtype)
        for index, z in enumerate(range(z_slice.start, z_slice.stop)):
            with decoding(self.where(z)):
                out[index] = self.page(z)[rows, columns]
        return out


@contextmanager
def decoding(where: str) -> Iterator[None]:
    """Report any failure of a decoder as damage to the input named by `where`."""
    try:
        yield
    except (VemsegError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise DataError(f"{where}: no such file; check the location") from error
    except PermissionError as error:
        raise InputError(f"{where}: access denied; check the permissions") from error
    except Exception as error:  # decoders raise whatever they like on damaged files
        detail = str(error).split("\n", 1)[0] or type(error).__name__
        raise DataError(f"{where}: cannot be read ({detail}); it may be truncated, export it again") from error


def slices_per_chunk(chunks: tuple[int, ...] | None, shape: tuple[int, ...]) -> int:
    """`Source.slices_at_once` of an array stored in chunks; None stands for one run of voxels."""
    if chunks is None or chunks[-2:] != shape[-2:]:
        return 0
    return chunks[-3] if len(chunks) > 2 else 1


def as_volume_shape(shape: tuple[int, ...], where: str) -> Zyx:
    """(z, y, x) of an array of two or three dimensions; more are taken when they have length one."""
    trimmed = shape
    while len(trimmed) > 3 and trimmed[0] == 1:
        trimmed = trimmed[1:]
    if len(trimmed) == 2:
        trimmed = (1, *trimmed)
    if len(trimmed) != 3 or 0 in trimmed:
        raise DataError(f"{where}: has shape {shape}; a volume has three axes (z, y, x), {COLOUR_CURE}")
    z, y, x = trimmed
    return z, y, x
