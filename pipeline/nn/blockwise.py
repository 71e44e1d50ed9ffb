"""Exact inference block by block: the logits of a block are those of one forward pass over the whole volume.

A volume whose edges are no multiples of the network's stride is continued at its far faces by its last voxels, in a
block as in a whole-volume pass; `pipeline.nn.regions` says what else a block has to see, and `pipeline.nn.sweep` how it
is computed in little memory. Where all that the network sees is of one grey value, its answer is looked up
(`pipeline.nn.uniform`).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial, reduce
from itertools import combinations
from math import prod
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.nn.orientation import oriented
from pipeline.nn.regions import receptive_radius, required_regions
from pipeline.nn.slabs import SLAB_VOXELS, exchanged, exchanged_block, inverse, slabs, sweep_bytes, swept_order
from pipeline.nn.sweep import Sweep
from pipeline.nn.unet import UNet
from pipeline.nn.uniform import Small, continued, differing, forward_bytes, places, small_volume, without
from pipeline.volume.geometry import Block, Zyx, tile, zyx

Precision = Literal["float32", "bfloat16"]
ReadBlock = Callable[[Block], NDArray[Any]]
"""Reads the voxels of a block that lies within the volume, as (z, y, x)."""
Item = TypeVar("Item")
Made = TypeVar("Made")

# Small volumes whose answers are kept: those of a value differ by the faces that a block sees.
_ANSWERS = 8


@dataclass(frozen=True)
class Normalisation:
    """The stored intensity statistics of the training data; they hold for every block of every volume."""

    mean: float
    std: float

    def __call__(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Grey values to about zero mean and unit variance."""
        normalised: NDArray[np.float32] = (image.astype(np.float32) - np.float32(self.mean)) / np.float32(self.std)
        return normalised


@dataclass(frozen=True)
class BlockInput:
    """Voxels (z, y, x) of a block and its halo, as they were read."""

    voxels: NDArray[Any]
    core: Block
    start_zyx: Zyx
    """The first of the voxels."""
    padded_zyx: Zyx
    """Edges of the volume, continued to multiples of the stride."""


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
        self._dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        self._network = network.to(device, self._dtype)
        self._plan = network.plan
        self._normalisation = normalisation
        self._device = device
        self._mirrors = [axes for count in range(len(mirror_axes) + 1) for axes in combinations(mirror_axes, count)]
        self._passes: dict[Zyx, list[UNet]] = {}
        self._radius_zyx = receptive_radius(network.plan)
        # A proxy, so that a predictor, and its memory, goes with the last who has it.
        self._answer = lru_cache(_ANSWERS)(partial(type(self)._answered, weakref.proxy(self)))

    def read(self, read: ReadBlock, core: Block, volume_zyx: Zyx) -> BlockInput:
        """Read what the logits of ``core`` depend on (no torch here: made to run in another thread)."""
        padded = zyx([-(-n // s) * s for n, s in zip(volume_zyx, self._plan.stride_zyx, strict=True)], "volume")
        wanted = required_regions(self._plan, core, padded).input
        inside = wanted.intersect(Block.of_shape(volume_zyx))
        assert inside is not None
        beyond = [(0, far - near) for far, near in zip(wanted.stop_zyx, inside.stop_zyx, strict=True)]
        voxels = read(inside)
        if any(n for _, n in beyond):
            voxels = np.pad(voxels, beyond, mode="edge")
        return BlockInput(voxels, core, wanted.start_zyx, padded)

    def slabs(self, block: BlockInput) -> Iterator[tuple[Block, Tensor]]:
        """Logits (C, Z, Y, X), float32, of one part of the block's core after the other."""
        found = differing(block.voxels)
        if found is None:
            yield from self._swept(block)
            return
        value, box = found
        reached = box and box.shift(block.start_zyx).grow(self._radius_zyx).intersect(block.core)
        unknown, known = self._parted(block, reached)
        if unknown is not None:
            seen = required_regions(self._plan, unknown, block.padded_zyx).input
            inside = seen.shift([-edge for edge in block.start_zyx]).slices
            yield from self._swept(BlockInput(block.voxels[inside], unknown, seen.start_zyx, block.padded_zyx))
        for part in known:
            yield from self._looked_up(value, part, block.padded_zyx)

    def _parted(self, block: BlockInput, unknown: Block | None) -> tuple[Block | None, list[Block]]:
        """What of a block's core is to be computed, at least what is ``unknown``, and what is looked up.

        Looking up must take less time than to compute it, and no more memory than the whole block.
        """
        allowed = sweep_bytes(self._plan, block.core.shape_zyx, block.padded_zyx)
        while True:
            known = list(without(block.core, unknown))
            smalls = [small_volume(self._plan, part, block.padded_zyx) for part in known]
            dear = [
                part
                for part, small in zip(known, smalls, strict=True)
                if prod(small.shape_zyx) > part.voxels or forward_bytes(self._plan, small) > allowed
            ]
            if not dear:
                return unknown, known
            unknown = Block.around([*dear, unknown] if unknown else dear)

    def _looked_up(self, value: Any, part: Block, padded_zyx: Zyx) -> Iterator[tuple[Block, Tensor]]:
        small = small_volume(self._plan, part, padded_zyx)
        logits_CZYX = self._answer(value, small)
        _, rows, columns = part.shape_zyx
        for slab in tile(part, (max(1, SLAB_VOXELS // (rows * columns)), rows, columns), part.start_zyx):
            found = logits_CZYX
            for axis, at in enumerate(places(self._plan, slab, padded_zyx, small), start=1):
                found = found.index_select(axis, at.to(found.device))
            yield slab, found

    @torch.inference_mode()
    def _answered(self, value: Any, small: Small) -> Tensor:
        """Logits (C, Z, Y, X), float32, of a small volume of one grey value."""
        image = torch.from_numpy(self._normalisation(np.full(small.shape_zyx, value)))
        image_BCZYX = image.to(self._device, self._dtype)[None, None]
        passes = [continued(network, small.faces_zyx)(image_BCZYX)[0].float() for network in self._networks((0, 1, 2))]
        logits_CZYX: Tensor = reduce(torch.add, passes) / len(passes)
        return logits_CZYX

    def _networks(self, order: Zyx) -> list[UNet]:
        """The network for volumes whose axes are in this order, once a mirror image."""
        if order not in self._passes:
            self._passes[order] = [oriented(self._network, order, mirrored) for mirrored in self._mirrors]
        return self._passes[order]

    def _swept(self, block: BlockInput) -> Iterator[tuple[Block, Tensor]]:
        """The same, computed along the block's longest axis."""
        order = swept_order(block.voxels.shape)
        networks, back = self._networks(order), inverse(order)
        plan, padded = networks[0].plan, exchanged(block.padded_zyx, order)
        regions = required_regions(plan, exchanged_block(block.core, order), padded)
        sweeps = [Sweep(network, regions, padded) for network in networks]
        voxels = block.voxels.transpose(order)
        for slab in slabs(regions.input, plan.stride_zyx[0]):
            part = self._completed(sweeps, voxels[slab])
            if part is not None:
                yield exchanged_block(part[0], back), part[1].permute(0, *(axis + 1 for axis in back))

    @torch.inference_mode()
    def _completed(self, sweeps: Sequence[Sweep], voxels: NDArray[Any]) -> tuple[Block, Tensor] | None:
        """The part of a block that new planes complete, and the mean of its logits over the mirror images."""
        image_ZYX = torch.from_numpy(np.ascontiguousarray(self._normalisation(voxels)))
        image_ZYXC = image_ZYX.to(self._device, self._dtype)[..., None]
        made = [part for sweep in sweeps if (part := sweep.push(image_ZYXC))]
        if not made:
            return None
        logits_CZYX = reduce(torch.add, [logits_CZYX.float() for _, logits_CZYX in made])
        return made[0][0], logits_CZYX / len(made) if len(made) > 1 else logits_CZYX

    def logits(self, block: BlockInput) -> Tensor:
        """Logits (C, Z, Y, X) of all of the block's core, float32."""
        whole_CZYX = torch.empty((self._plan.outputs, *block.core.shape_zyx), device=self._device)
        for part, logits_CZYX in self.slabs(block):
            inside = part.relative_to(block.core)
            whole_CZYX[(slice(None), *inside.slices)] = logits_CZYX
        return whole_CZYX


def predict_blocks(
    predictor: BlockPredictor, read: ReadBlock, blocks: Sequence[Block], volume_zyx: Zyx
) -> Iterator[tuple[Block, Tensor]]:
    """Predict blocks in order, reading the next one while this one is computed. Yields (part, logits)."""
    for block in read_blocks(predictor, read, blocks, volume_zyx):
        yield from predictor.slabs(block)


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
