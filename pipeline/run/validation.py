"""The validation part of a run, as a network sees it."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import torch

from pipeline.nn.blockwise import BlockPredictor, read_blocks
from pipeline.nn.calibration import JudgedVoxels
from pipeline.nn.device import pick_device
from pipeline.nn.training import autocast_dtype
from pipeline.run.layout import Run
from pipeline.run.plan import VALIDATION_VOXELS, CapturePlan
from pipeline.run.samples import normalisation, read_labels
from pipeline.volume.geometry import Block, ZyxNm, tile

if TYPE_CHECKING:
    from pipeline.nn.targets import Target
    from pipeline.nn.unet import UNet

# Enough to tell by how much scores differ from one region to the next.
_REGIONS = 12


def judged_voxels(run: Run, target: Target, network: UNet) -> JudgedVoxels:
    """The labelled voxels of the validation part, as inference would see them.

    A region is a piece of a block; all networks of a run see the same voxels in the same order. A class is judged only
    where labels name it.
    """
    sees = predictor(run, network)
    blocks = validation_blocks(run)
    pieces = -(-_REGIONS // max(1, len(blocks)))
    logits_CN, truth_CN, known_CN, region_N, regions = [], [], [], [], 0
    for capture, mine in by_capture(blocks):
        is_named_C1 = torch.tensor([[class_id not in capture.untold] for class_id in target.class_ids])
        for block in read_blocks(sees, run.read_seen(capture), mine, capture.shape_zyx):
            labels_BZYX = torch.from_numpy(read_labels(run, capture, block.core).astype(np.int64))[None]
            (truth_BCZYX, _), labelled_BZYX = target.truth(labels_BZYX), target.is_labelled(labels_BZYX)
            region_ZYX, count = numbered_pieces(block.core, capture.voxel_size_nm, pieces)
            logits_CN.append(target.class_logits(sees.logits(block)).cpu()[:, labelled_BZYX[0]])
            truth_CN.append(truth_BCZYX[0][:, labelled_BZYX[0]])
            known_CN.append(is_named_C1.expand(truth_CN[-1].shape))
            region_N.append(region_ZYX[labelled_BZYX[0]] + regions)
            regions += count
    known = torch.cat(known_CN, dim=1) if target.untold else None
    return JudgedVoxels(torch.cat(logits_CN, dim=1), torch.cat(truth_CN, dim=1), torch.cat(region_N), known)


def predictor(run: Run, network: UNet) -> BlockPredictor:
    """A network as inference would use it, in the precision of the training; it is not trainable afterwards."""
    device = pick_device()
    fast = autocast_dtype(run.config.training.precision, device) == torch.bfloat16
    return BlockPredictor(network, normalisation(run), device=device, precision="bfloat16" if fast else "float32")


def validation_blocks(run: Run) -> list[tuple[CapturePlan, Block]]:
    """Blocks of the validation part, evenly thinned to what is worth predicting."""
    blocks = [
        (capture, block)
        for capture in run.plan.captures
        for region in capture.split().validation
        for block in tile(region, run.plan.block_zyx)
    ]
    voxels = sum(block.voxels for _, block in blocks)
    return blocks[:: max(1, voxels // VALIDATION_VOXELS)]


def numbered_pieces(block: Block, voxel_size_nm: ZyxNm, least: int) -> tuple[torch.Tensor, int]:
    """The number of the piece that each voxel (z, y, x) of a block lies in, and how many there are.

    A block is halved across its longest side in nanometres until there are so many, or nothing is left to halve.
    """
    edges = list(block.shape_zyx)
    while (
        prod(-(-whole // edge) for whole, edge in zip(block.shape_zyx, edges, strict=True)) < least and max(edges) > 1
    ):
        longest = max(
            (axis for axis in range(3) if edges[axis] > 1), key=lambda axis: edges[axis] * voxel_size_nm[axis]
        )
        edges[longest] = -(-edges[longest] // 2)
    pieces = tile(block, edges, block.start_zyx)
    number_ZYX = torch.empty(block.shape_zyx, dtype=torch.int64)
    for number, piece in enumerate(pieces):
        number_ZYX[piece.relative_to(block).slices] = number
    return number_ZYX, len(pieces)


def by_capture(blocks: list[tuple[CapturePlan, Block]]) -> Iterator[tuple[CapturePlan, list[Block]]]:
    """The blocks of each capture."""
    for name in dict.fromkeys(capture.name for capture, _ in blocks):
        mine = [(capture, block) for capture, block in blocks if capture.name == name]
        yield mine[0][0], [block for _, block in mine]
