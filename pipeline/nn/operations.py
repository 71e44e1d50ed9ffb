"""How many floating-point operations a network takes: what its time depends on, before any weight exists."""

from __future__ import annotations

from itertools import pairwise
from math import prod

from pipeline.nn.plan import Level, NetworkPlan
from pipeline.nn.regions import Regions, required_regions
from pipeline.volume.geometry import Block, Zyx, zyx

PASSES_OF_A_STEP = 3
"""Forward, and backward to the features and to the weights."""


def training_operations(plan: NetworkPlan, patch_zyx: Zyx, batch_size: int) -> float:
    """Of a training step."""
    whole = required_regions(plan, Block.of_shape(patch_zyx), patch_zyx)
    return PASSES_OF_A_STEP * batch_size * _forward(plan, whole)


def predicting_operations(plan: NetworkPlan, core: Block, volume_zyx: Zyx) -> float:
    """About those of predicting a block of a volume, with what it sees around the block; at most so many."""
    padded = zyx([-(-n // s) * s for n, s in zip(volume_zyx, plan.stride_zyx, strict=True)], "volume")
    return _forward(plan, required_regions(plan, core, padded))


def boosting_operations(features: int, layers: int, fold: int) -> float:
    """Of the network of zero-shot super-resolution, for each pixel that it improves: see `nn.zssr.network`."""
    products = 9 * features * (features * (layers - 2) + 2 * fold**2)
    return 2 * products / fold**2


def _forward(plan: NetworkPlan, regions: Regions) -> float:
    """Of the convolutions, two for each product that is added up."""
    levels, products = plan.levels, 0.0
    inputs = [plan.inputs, *(level.features for level in levels[:-1])]
    for level, count, block in zip(levels, inputs, regions.encoder_input, strict=True):
        products += block.voxels * _block_products(level, count)
    for level, block in zip(levels[:-1], regions.decoder_input, strict=True):
        products += block.voxels * _block_products(level, level.features)
    coarser = [*regions.decoded, regions.encoded[-1]][1:]
    for (fine, coarse), block in zip(pairwise(levels), coarser, strict=True):
        products += block.voxels * fine.features * coarse.features
    return 2 * (products + regions.core.voxels * levels[0].features * plan.outputs)


def _block_products(level: Level, inputs: int) -> int:
    """A voxel's, of the convolutions of one side of a level."""
    counts = [inputs, *(level.features for _ in level.kernels_zyx[1:])]
    return sum(prod(kernel) * count * level.features for kernel, count in zip(level.kernels_zyx, counts, strict=True))
