"""Operations are counted as PyTorch counts those that it does."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline.nn import sweep
from pipeline.nn.blockwise import BlockPredictor, Normalisation
from pipeline.nn.operations import predicting_operations, training_operations
from pipeline.nn.plan import NetworkPlan, plan_network
from pipeline.nn.unet import UNet
from pipeline.volume.geometry import Block, Zyx, ZyxNm

SHAPES = pytest.mark.parametrize("features", [(4,), (4, 6), (4, 6, 8)])
VOXELS = pytest.mark.parametrize("size_nm", [(8.0, 8.0, 8.0), (40.0, 8.0, 8.0)])
VOLUME = (32, 64, 64)


def plan_of(features: tuple[int, ...], size_nm: ZyxNm) -> NetworkPlan:
    return plan_network(voxel_size_nm=size_nm, extent_zyx=(16, 32, 32), outputs=3, head="softmax", features=features)


@SHAPES
@VOXELS
def test_of_a_whole_volume(features: tuple[int, ...], size_nm: ZyxNm) -> None:
    plan = plan_of(features, size_nm)
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        UNet(plan).eval()(torch.zeros(1, 1, *VOLUME))
    assert predicting_operations(plan, Block.of_shape(VOLUME), VOLUME) == counted.get_total_flops()


@SHAPES
@VOXELS
@pytest.mark.parametrize(("start", "shape"), [((0, 0, 0), (16, 32, 32)), ((8, 16, 8), (4, 8, 12))])
def test_of_a_block_and_what_it_sees(features: tuple[int, ...], size_nm: ZyxNm, start: Zyx, shape: Zyx) -> None:
    """Of the halo before and behind it a sweep computes a little less than is counted."""
    plan, core = plan_of(features, size_nm), Block.of_shape(shape).shift(start)
    predictor = BlockPredictor(UNet(plan).eval(), Normalisation(0.0, 1.0), device=torch.device("cpu"))
    noise = np.random.default_rng(0).integers(0, 256, VOLUME, np.uint8)  # what is all of one value is looked up
    block = predictor.read(lambda wanted: noise[wanted.slices], core, VOLUME)
    # PyTorch counts convolutions that are not asked of oneDNN by name.
    with patch.object(sweep, "_has_onednn", lambda: False), FlopCounterMode(display=False) as counted:
        predictor.logits(block)
    assert 1.0 <= predicting_operations(plan, core, VOLUME) / counted.get_total_flops() <= 1.3


def test_of_a_training_step() -> None:
    """But for the gradient of the image, which nobody asks for."""
    plan = plan_network(
        voxel_size_nm=(8.0, 8.0, 8.0), extent_zyx=(16, 32, 32), outputs=3, head="softmax", features=(8, 16, 24)
    )
    with FlopCounterMode(display=False) as counted:
        UNet(plan)(torch.zeros(2, 1, 16, 32, 32)).sum().backward()
    assert training_operations(plan, (16, 32, 32), 2) == pytest.approx(counted.get_total_flops(), rel=0.1)
