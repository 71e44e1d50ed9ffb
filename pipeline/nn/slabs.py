"""How a block is swept: in which order of its axes, in which slabs, and how much of it is held at once.

No torch here: a plan is checked without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import prod
from typing import TypeVar

from pipeline.nn.plan import NetworkPlan
from pipeline.nn.regions import required_regions
from pipeline.volume.geometry import Block, Zyx, zyx

Value = TypeVar("Value")

# A slab has at least so many planes, since of each convolution's input two planes more are copied for the next one; and
# so many voxels that calling an operation takes no time beside it.
SLAB_PLANES = 8
SLAB_VOXELS = 2**19
# What the C library takes for tensors of many sizes, compared with their bytes.
_HEAP = 1.35


def swept_order(shape_zyx: Sequence[int]) -> Zyx:
    """The axes of a block in the order in which it is swept: the longest first, as the others are held at once."""
    first = max(range(3), key=lambda axis: shape_zyx[axis])
    second, third = (axis for axis in range(3) if axis != first)
    return first, second, third


def exchanged(values: Sequence[Value], order: Zyx) -> tuple[Value, Value, Value]:
    """Values of the axes z, y, x, in another order of the axes."""
    first, second, third = (values[axis] for axis in order)
    return first, second, third


def exchanged_block(block: Block, order: Zyx) -> Block:
    """The block in a volume whose axes are in this order."""
    return Block(exchanged(block.start_zyx, order), exchanged(block.stop_zyx, order))


def inverse(order: Zyx) -> Zyx:
    """The order that leads back."""
    return order.index(0), order.index(1), order.index(2)


def slabs(region: Block, stride: int) -> Iterator[slice]:
    """The planes of a region, cut along its first axis at multiples of the stride; counted from its first plane."""
    start, stop = region.start_zyx[0], region.stop_zyx[0]
    size = slab_planes(region.shape_zyx[1:], stride)
    edges = [start, *range(_up_to(start + 1, size), stop, size), stop]
    return (slice(near - start, far - start) for near, far in pairwise(edges))


def slab_planes(across: Sequence[int], stride: int) -> int:
    """How many planes of so many rows and columns are a slab."""
    return _up_to(max(SLAB_PLANES, -(-SLAB_VOXELS // prod(across))), stride)


def sweep_bytes(plan: NetworkPlan, block_zyx: Zyx, volume_zyx: Zyx, *, passes: int = 1) -> int:
    """About how much memory predicting a block in the middle of a volume takes.

    Args:
        plan: of the network.
        block_zyx: voxels of the block.
        volume_zyx: of the volume, which no halo reaches beyond.
        passes: sweeps at once, one a mirror image.
    """
    volume = zyx([_up_to(n, s) for n, s in zip(volume_zyx, plan.stride_zyx, strict=True)], "volume")
    core = Block.of_shape(block_zyx).shift([(n - b) // 2 for n, b in zip(volume, block_zyx, strict=True)])
    regions = required_regions(plan, core, volume)
    axis, *across = swept_order(regions.input.shape_zyx)
    planes = slab_planes([regions.input.shape_zyx[other] for other in across], plan.stride_zyx[axis])
    kept, passing = 0, []
    for index, level in enumerate(plan.levels):
        new = -(-planes // plan.level_stride_zyx(index)[axis])
        radius = level.radius_zyx[axis]
        plane = 4 * level.features * prod(regions.encoder_input[index].shape_zyx[other] for other in across)
        waiting = 0
        if index + 1 < len(plan.levels):
            lag = regions.encoded[index].stop_zyx[axis] - regions.decoder_input[index].stop_zyx[axis]
            waiting = min(lag + 2 * new, regions.encoded[index].shape_zyx[axis])
        kept += plane * (waiting + 4 * radius)
        # What a convolution sees, what it makes, and the entry of the block.
        passing.append(plane * (3 * new + 2 * radius))
    voxels = 2 * regions.input.voxels + 2 * core.voxels
    return round(_HEAP * (passes * kept + max(passing))) + voxels


def _up_to(value: int, multiple_of: int) -> int:
    return -(-value // multiple_of) * multiple_of
