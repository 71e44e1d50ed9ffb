"""Exact inference block by block: the logits of a block are those of one forward pass over the whole volume.

A volume whose edges are no multiples of the network's stride is continued at its far faces by its last voxels, in a
block as in a whole-volume pass; `pipeline.nn.regions` says what else a block has to see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.nn.regions import Regions, required_regions
from pipeline.nn.unet import UNet
from pipeline.volume.geometry import Block, Zyx, zyx

Precision = Literal["float32", "bfloat16"]
ReadBlock = Callable[[Block], NDArray[Any]]
"""Reads the voxels of a block that lies within the volume, as (z, y, x)."""
Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Normalisation:
    """The stored intensity statistics of the training data; they hold for every block of every volume."""

    mean: float
    std: float

    def __call__(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Grey values to about zero mean and unit variance."""
        normalised: NDArray[np.float32] = (image.astype(np.float32) - np.float32(self.mean)) / np.float32(self.std)
        return normalised


class BlockPredictor:
    """A trained network, ready to predict any block of a volume.

    Args:
        network: its batch norms are folded here; the network is no longer trainable afterwards.
        normalisation: applied to what is read.
        mirror_axes: axes (0 z, 1 y, 2 x) over whose mirror images the logits are averaged.
        precision: float32 is exact to rounding whatever the block; bfloat16 rounds to 3 digits.
    """

    def __init__(
        self,
        network: UNet,
        normalisation: Normalisation,
        *,
        device: torch.device,
        mirror_axes: Sequence[int] = (),
        precision: Precision = "float32",
    ) -> None:
        network.fold_norms()
        self._network = network.to(device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self._plan = network.plan
        self._normalisation = normalisation
        self._device = device
        self._precision = precision
        self._flips = [flip for count in range(len(mirror_axes) + 1) for flip in combinations(mirror_axes, count)]

    def read(self, read: ReadBlock, core: Block, volume_zyx: Zyx) -> BlockInput:
        """Read what the logits of ``core`` depend on (no torch here: made to run in another thread)."""
        padded = self._padded(volume_zyx)
        wanted = required_regions(self._plan, core, padded).input
        inside = wanted.intersect(Block.of_shape(volume_zyx))
        assert inside is not None
        image = self._normalisation(read(inside))
        beyond = [(0, far - near) for far, near in zip(wanted.stop_zyx, inside.stop_zyx, strict=True)]
        return BlockInput(np.pad(image, beyond, mode="edge") if any(n for _, n in beyond) else image, core, padded)

    @torch.inference_mode()
    def logits(self, block: BlockInput) -> Tensor:
        """Logits (C, Z, Y, X) of the block's core, float32."""
        image_ZYX = torch.from_numpy(block.image).to(self._device)
        total: Tensor | None = None
        for flip in self._flips:
            logits_CZYX = self._forward(image_ZYX, flip, self._mirrored_regions(block, flip))
            total = logits_CZYX if total is None else total + logits_CZYX
        assert total is not None
        return total / len(self._flips) if len(self._flips) > 1 else total

    def _forward(self, image_ZYX: Tensor, flip: tuple[int, ...], regions: Regions) -> Tensor:
        flipped_BCZYX = image_ZYX.flip(flip)[None, None].contiguous(memory_format=torch.channels_last_3d)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == "bfloat16"):
            logits_CZYX: Tensor = self._network(flipped_BCZYX, regions)[0]
        return logits_CZYX.float().flip([axis + 1 for axis in flip])

    def _mirrored_regions(self, block: BlockInput, flip: tuple[int, ...]) -> Regions:
        """Mirroring the padded volume moves blocks onto blocks, because its edges are multiples of the stride."""
        ends = zip(block.core.start_zyx, block.core.stop_zyx, block.padded_zyx, strict=True)
        edges = [(n - b, n - a) if axis in flip else (a, b) for axis, (a, b, n) in enumerate(ends)]
        core = Block(zyx([a for a, _ in edges], "start"), zyx([b for _, b in edges], "stop"))
        return required_regions(self._plan, core, block.padded_zyx)

    def _padded(self, volume_zyx: Zyx) -> Zyx:
        return zyx([-(-n // s) * s for n, s in zip(volume_zyx, self._plan.stride_zyx, strict=True)], "volume")


@dataclass(frozen=True)
class BlockInput:
    """Normalised voxels (z, y, x) of a block and its halo."""

    image: NDArray[np.float32]
    core: Block
    padded_zyx: Zyx
    """Edges of the volume, continued to multiples of the stride."""


def predict_blocks(
    predictor: BlockPredictor, read: ReadBlock, blocks: Sequence[Block], volume_zyx: Zyx
) -> Iterator[tuple[Block, Tensor]]:
    """Predict blocks in order, reading the next one while this one is computed. Yields (core, logits CZYX)."""
    for block in read_blocks(predictor, read, blocks, volume_zyx):
        yield block.core, predictor.logits(block)


def read_blocks(
    predictor: BlockPredictor, read: ReadBlock, blocks: Sequence[Block], volume_zyx: Zyx
) -> Iterator[BlockInput]:
    """Read what is to be predicted, in order, one block ahead of the caller."""
    return one_ahead(lambda block: predictor.read(read, block, volume_zyx), blocks)


def one_ahead(make: Callable[[Item], Made], items: Sequence[Item]) -> Iterator[Made]:
    """What is made of each item, in order: the next in a thread of its own while the caller is busy with this one."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead") as maker:
        upcoming = [maker.submit(make, item) for item in items[:1]]
        for following in range(1, len(items) + 1):
            made = upcoming.pop().result()
            upcoming += [maker.submit(make, item) for item in items[following : following + 1]]
            yield made
