"""The same network for volumes whose axes are exchanged or mirrored: its kernels are, instead of the voxels."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import torch
from torch import Tensor

from pipeline.nn.plan import NetworkPlan
from pipeline.nn.slabs import exchanged
from pipeline.nn.unet import UNet
from pipeline.volume.geometry import Zyx


def exchanged_plan(plan: NetworkPlan, order: Zyx) -> NetworkPlan:
    """The plan of a network for volumes whose axes are in this order."""
    levels = (
        replace(
            level,
            kernels_zyx=tuple(exchanged(kernel, order) for kernel in level.kernels_zyx),
            pool_zyx=exchanged(level.pool_zyx, order),
        )
        for level in plan.levels
    )
    return replace(plan, levels=tuple(levels))


def oriented(network: UNet, order: Zyx, mirrored: Collection[int] = ()) -> UNet:
    """A network with folded norms, for volumes whose axes are in this order.

    Args:
        network: of folded norms; it stays as it is.
        order: the axes z, y, x (0, 1, 2) as they follow each other in the volume.
        mirrored: axes (0 z, 1 y, 2 x) along which it sees the volume's mirror image; what it gives is mirrored back.
    """
    # Weights that are replaced at once: drawing them must leave the generator of a training as it is. To draw none, on
    # the device "meta", takes 1.4 s, in which torch imports its operations in Python.
    with torch.random.fork_rng(devices=()):
        twin = UNet(exchanged_plan(network.plan, order))
    twin.fold_norms()
    weights = {name: _oriented(tensor, order, mirrored) for name, tensor in network.state_dict().items()}
    twin.load_state_dict(weights, assign=True)
    return twin.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload,no-any-return]


def _oriented(weight: Tensor, order: Zyx, mirrored: Collection[int]) -> Tensor:
    if weight.dim() != 5:
        return weight
    return weight.flip([axis + 2 for axis in mirrored]).permute(0, 1, *(axis + 2 for axis in order))
