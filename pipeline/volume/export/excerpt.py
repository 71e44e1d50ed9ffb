"""What of a volume is written: a level, a box of it, and of labels perhaps one class as a mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.volume.geometry import Block, Zyx, ZyxNm, tile
from pipeline.volume.ngff import LabelClass
from pipeline.volume.omezarr import Level, Volume

INSIDE = 255
"""Of a mask; outside is 0."""


@dataclass(frozen=True)
class Excerpt:
    """A box of a level of a volume, its voxels counted from the box's start.

    mask_of: the value of the class whose mask it is; None: the voxels as they are. classes: of labels that are not a
    mask. shown: grey values to show as black and as white, where they are known.
    """

    level: Level
    block: Block
    classes: tuple[LabelClass, ...]
    channels: tuple[str, ...] | None
    shown: tuple[float, float] | None
    mask_of: int | None = None

    @classmethod
    def of(cls, volume: Volume, level: int = 0, box: Block | None = None, mask_of: int | None = None) -> Excerpt:
        """A part of a volume.

        Args:
            volume: image or labels.
            level: of its pyramid, 0 being the finest.
            box: in voxels of level 0; None: all.
            mask_of: value of a class of labels.

        Raises:
            InputError: there is no such level, or the box leaves the volume.
        """
        if not 0 <= level < len(volume.levels):
            raise InputError(f"there is no level {level}; {volume.store.url} has levels 0 to {len(volume.levels) - 1}")
        whole = volume.geometry.block
        if box is not None and not whole.contains(box):
            raise InputError(
                f"the box {box.start_zyx} to {box.stop_zyx} leaves the volume of {volume.shape_zyx} voxels"
            )
        chosen = volume.levels[level]
        block = _scaled(box or whole, volume, chosen)
        classes = () if mask_of is not None else volume.classes
        return cls(chosen, block, classes, volume.channels, volume.shown, mask_of)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of a voxel."""
        return np.dtype(np.uint8) if self.mask_of is not None else np.dtype(self.level.array.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """(channel?, z, y, x)"""
        return (*self.level.array.shape[:-3], *self.block.shape_zyx)

    @property
    def shape_zyx(self) -> Zyx:
        """Shape without channels."""
        return self.block.shape_zyx

    @property
    def nbytes(self) -> int:
        """Of all voxels."""
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize

    @property
    def voxel_size_nm(self) -> ZyxNm:
        """Of a voxel, z, y, x."""
        return self.level.geometry.voxel_size_nm

    @property
    def origin_nm(self) -> ZyxNm:
        """Centre of the first voxel, z, y, x."""
        geometry = self.level.geometry
        edges = zip(geometry.translation_nm, self.block.start_zyx, geometry.voxel_size_nm, strict=True)
        z, y, x = (shift + start * size for shift, start, size in edges)
        return z, y, x

    @property
    def is_labels(self) -> bool:
        """Whether its values are ids of classes."""
        return bool(self.classes)

    def tiles(self, sides_zyx: Zyx | None = None) -> list[Block]:
        """The box cut along the grid of what is stored, or into blocks of these sides; from its own start."""
        if sides_zyx is not None:
            return tile(Block.of_shape(self.shape_zyx), sides_zyx)
        return [block.relative_to(self.block) for block in tile(self.block, self.level.shard_zyx)]

    def read(self, block: Block) -> NDArray[Any]:
        """The voxels (channel?, z, y, x) of a block of the box."""
        data = self.level.read(block.shift(self.block.start_zyx))
        if self.mask_of is None:
            return data
        # Labels of classes that may overlap are bit masks.
        inside = (data & self.mask_of) == self.mask_of if data.dtype == np.uint32 else data == self.mask_of
        return np.where(inside, np.uint8(INSIDE), np.uint8(0))


def _scaled(box: Block, volume: Volume, level: Level) -> Block:
    """The voxels of a level that meet a box of level 0."""
    sizes = zip(level.geometry.voxel_size_nm, volume.geometry.voxel_size_nm, strict=True)
    z, y, x = (max(1, round(coarse / fine)) for coarse, fine in sizes)
    low = [start // factor for start, factor in zip(box.start_zyx, (z, y, x), strict=True)]
    high = [-(-stop // factor) for stop, factor in zip(box.stop_zyx, (z, y, x), strict=True)]
    inside = Block((low[0], low[1], low[2]), (high[0], high[1], high[2])).intersect(level.geometry.block)
    assert inside is not None  # the box is not empty and lies in the volume
    return inside
