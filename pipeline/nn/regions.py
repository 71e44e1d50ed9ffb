"""Which voxels of each level a U-Net must compute to get a given block of its output exactly.

Working backwards from the block that is wanted (the core), each convolution asks for its radius more, each pooling for
whole windows. What is asked for never reaches beyond the volume: at its faces the network's own zero padding acts, as
it does in one pass over the whole volume. What lies between two blocks is computed from the neighbours' voxels (the
halo), and cropped away as soon as the next layer no longer needs it::

    input       |<---------------- core + halo ---------------->|
    encoder 0     |<-------------- decoder 0, pool ---------->|
    encoder 1         |<------- coarser voxels ------->|
    decoder 1             |<---------------------->|
    decoder 0                 |<------ core ---->|

So the logits of a voxel are those of the whole-volume pass, whatever the block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from pipeline.nn.plan import NetworkPlan
from pipeline.volume.geometry import Block, Zyx, zyx


@dataclass(frozen=True)
class Regions:
    """The boxes that a forward pass computes, a box a level (fine to coarse), in voxels of that level."""

    core: Block
    encoder_input: tuple[Block, ...]
    encoded: tuple[Block, ...]
    decoder_input: tuple[Block, ...]
    decoded: tuple[Block, ...]

    @property
    def input(self) -> Block:
        """What must be read: the core and its halo."""
        return self.encoder_input[0]


def required_regions(plan: NetworkPlan, core: Block, volume_zyx: Zyx) -> Regions:
    """The regions for ``core`` of a volume of ``volume_zyx`` voxels, each edge a multiple of the plan's stride."""
    if any(n % s for n, s in zip(volume_zyx, plan.stride_zyx, strict=True)):
        raise ValueError(f"a volume of {volume_zyx} voxels is not a multiple of the stride {plan.stride_zyx}")
    extents = level_extents(plan, volume_zyx)
    decoded, decoder_input, wanted = [], [], core
    for level, extent in zip(plan.levels[:-1], extents, strict=False):
        decoded.append(wanted)
        wanted = _coarsen(_seen(wanted, level.radius_zyx, extent), level.pool_zyx)
        # Whole windows: what the coarse voxels that are needed grow to.
        decoder_input.append(scale(wanted, level.pool_zyx))
    encoded, encoder_input = [wanted], [_seen(wanted, plan.levels[-1].radius_zyx, extents[-1])]
    for index in reversed(range(len(plan.levels) - 1)):
        level = plan.levels[index]
        encoded.append(_union(decoder_input[index], scale(encoder_input[-1], level.pool_zyx)))
        encoder_input.append(_seen(encoded[-1], level.radius_zyx, extents[index]))
    return Regions(core, tuple(encoder_input[::-1]), tuple(encoded[::-1]), tuple(decoder_input), tuple(decoded))


def level_extents(plan: NetworkPlan, volume_zyx: Zyx) -> list[Block]:
    """The whole volume in voxels of each level, fine to coarse."""
    return [
        Block.of_shape([n // s for n, s in zip(volume_zyx, plan.level_stride_zyx(index), strict=True)])
        for index in range(len(plan.levels))
    ]


@cache
def receptive_radius(plan: NetworkPlan) -> Zyx:
    """How many voxels of the input to each side an output voxel can depend on, at the worst phase of the stride.

    The axes are independent, so stepping through the phases of all of them together meets the worst case of each.
    """
    stride = plan.stride_zyx
    middle = [_multiple(_reach(plan, axis), step) for axis, step in enumerate(stride)]
    volume_zyx = zyx([2 * at + step for at, step in zip(middle, stride, strict=True)], "volume_zyx")
    radius = (0, 0, 0)
    for core in _phases(middle, stride):
        needed = required_regions(plan, core, volume_zyx).input
        z, y, x = (
            max(r, at - a, b - at - 1)
            for r, at, a, b in zip(radius, core.start_zyx, needed.start_zyx, needed.stop_zyx, strict=True)
        )
        radius = (z, y, x)
    return radius


def scale(block: Block, factor_zyx: Zyx) -> Block:
    """The same place in voxels of the next finer level."""
    return Block(_times(block.start_zyx, factor_zyx), _times(block.stop_zyx, factor_zyx))


def _seen(block: Block, radius_zyx: Zyx, extent: Block) -> Block:
    """The block and what its convolutions see around it; nothing lies beyond the faces of the volume."""
    seen = block.grow(radius_zyx).intersect(extent)
    assert seen is not None
    return seen


def _coarsen(block: Block, factor_zyx: Zyx) -> Block:
    """The voxels of the next coarser level that the block touches."""
    start = [a // f for a, f in zip(block.start_zyx, factor_zyx, strict=True)]
    stop = [-(-b // f) for b, f in zip(block.stop_zyx, factor_zyx, strict=True)]
    return Block(zyx(start, "start"), zyx(stop, "stop"))


def _union(one: Block, other: Block) -> Block:
    start = [min(a, b) for a, b in zip(one.start_zyx, other.start_zyx, strict=True)]
    stop = [max(a, b) for a, b in zip(one.stop_zyx, other.stop_zyx, strict=True)]
    return Block(zyx(start, "start"), zyx(stop, "stop"))


def _times(values: Zyx, factor_zyx: Zyx) -> Zyx:
    z, y, x = (value * factor for value, factor in zip(values, factor_zyx, strict=True))
    return z, y, x


def _phases(middle: list[int], stride_zyx: Zyx) -> Iterator[Block]:
    for phase in range(max(stride_zyx)):
        at = zyx([m + phase % step for m, step in zip(middle, stride_zyx, strict=True)], "phase")
        yield Block.of_shape((1, 1, 1)).shift(at)


def _reach(plan: NetworkPlan, axis: int) -> int:
    """An upper bound of the receptive radius along an axis."""
    return sum(
        2 * (level.radius_zyx[axis] + level.pool_zyx[axis]) * plan.level_stride_zyx(index)[axis]
        for index, level in enumerate(plan.levels)
    )


def _multiple(value: int, of: int) -> int:
    return -(-value // of) * of
