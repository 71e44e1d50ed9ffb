"""Operations are counted as PyTorch counts those that it does."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline.nn.operations import predicting_operations, training_operations
from pipeline.nn.plan import plan_network
from pipeline.nn.regions import required_regions
from pipeline.nn.unet import UNet
from pipeline.volume.geometry import Block, Zyx, ZyxNm


@pytest.mark.parametrize("features", [(4,), (4, 6), (4, 6, 8)])
@pytest.mark.parametrize("size_nm", [(8.0, 8.0, 8.0), (40.0, 8.0, 8.0)])
@pytest.mark.parametrize(("start", "shape"), [((0, 0, 0), (16, 32, 32)), ((8, 16, 8), (4, 8, 12))])
def test_of_a_block_and_what_it_sees(features: tuple[int, ...], size_nm: ZyxNm, start: Zyx, shape: Zyx) -> None:
    plan = plan_network(voxel_size_nm=size_nm, extent_zyx=(16, 32, 32), outputs=3, head="softmax", features=features)
    volume, core = (32, 64, 64), Block.of_shape(shape).shift(start)
    regions = required_regions(plan, core, volume)
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        UNet(plan).eval()(torch.zeros(1, 1, *regions.input.shape_zyx), regions)
    assert predicting_operations(plan, core, volume) == counted.get_total_flops()


def test_of_a_training_step() -> None:
    """But for the gradient of the image, which nobody asks for."""
    plan = plan_network(
        voxel_size_nm=(8.0, 8.0, 8.0), extent_zyx=(16, 32, 32), outputs=3, head="softmax", features=(8, 16, 24)
    )
    with FlopCounterMode(display=False) as counted:
        UNet(plan)(torch.zeros(2, 1, 16, 32, 32)).sum().backward()
    assert training_operations(plan, (16, 32, 32), 2) == pytest.approx(counted.get_total_flops(), rel=0.1)
