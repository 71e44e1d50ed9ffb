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

from torch import Tensor

from pipeline.nn.plan import NetworkPlan, Triple


@dataclass(frozen=True)
class Box:
    """Voxels ``start`` to ``stop`` (end excluded) of one level, z, y, x."""

    start: Triple
    stop: Triple

    def __post_init__(self) -> None:
        if any(a < 0 or a >= b for a, b in zip(self.start, self.stop, strict=True)):
            raise ValueError(f"an empty or negative box: {self.start} to {self.stop}")

    def grow(self, radius: Triple, within: Triple) -> Box:
        """``radius`` voxels more to each side, but none outside a volume of ``within`` voxels."""
        start = tuple(max(0, a - r) for a, r in zip(self.start, radius, strict=True))
        stop = tuple(min(n, b + r) for b, r, n in zip(self.stop, radius, within, strict=True))
        return _box(start, stop)

    def coarsen(self, factor: Triple) -> Box:
        """The voxels of the next coarser level that this box touches."""
        start = tuple(a // f for a, f in zip(self.start, factor, strict=True))
        stop = tuple(-(-b // f) for b, f in zip(self.stop, factor, strict=True))
        return _box(start, stop)

    def scale(self, factor: Triple) -> Box:
        """The same place in voxels of the next finer level."""
        start = tuple(a * f for a, f in zip(self.start, factor, strict=True))
        stop = tuple(b * f for b, f in zip(self.stop, factor, strict=True))
        return _box(start, stop)

    def union(self, other: Box) -> Box:
        """The smallest box that holds both."""
        start = tuple(min(a, b) for a, b in zip(self.start, other.start, strict=True))
        stop = tuple(max(a, b) for a, b in zip(self.stop, other.stop, strict=True))
        return _box(start, stop)

    @property
    def shape(self) -> Triple:
        """Voxels along z, y, x."""
        z, y, x = (b - a for a, b in zip(self.start, self.stop, strict=True))
        return z, y, x


@dataclass(frozen=True)
class Regions:
    """The boxes that a forward pass computes, a box a level (fine to coarse), in voxels of that level."""

    core: Box
    encoder_input: tuple[Box, ...]
    encoded: tuple[Box, ...]
    decoder_input: tuple[Box, ...]
    decoded: tuple[Box, ...]

    @property
    def input(self) -> Box:
        """What must be read: the core and its halo."""
        return self.encoder_input[0]


def required_regions(plan: NetworkPlan, core: Box, volume_zyx: Triple) -> Regions:
    """The regions for ``core`` of a volume of ``volume_zyx`` voxels, each edge a multiple of the plan's stride."""
    if any(n % s for n, s in zip(volume_zyx, plan.stride_zyx, strict=True)):
        raise ValueError(f"a volume of {volume_zyx} voxels is not a multiple of the stride {plan.stride_zyx}")
    extents = [
        _triple(n // s for n, s in zip(volume_zyx, plan.level_stride_zyx(index), strict=True))
        for index in range(len(plan.levels))
    ]
    decoded, decoder_input, wanted = [], [], core
    for level, extent in zip(plan.levels[:-1], extents, strict=False):
        decoded.append(wanted)
        decoder_input.append(wanted.grow(level.radius_zyx, extent))
        wanted = decoder_input[-1].coarsen(level.pool_zyx)
    encoded, encoder_input = [wanted], [wanted.grow(plan.levels[-1].radius_zyx, extents[-1])]
    for index in reversed(range(len(plan.levels) - 1)):
        level = plan.levels[index]
        encoded.append(decoder_input[index].union(encoder_input[-1].scale(level.pool_zyx)))
        encoder_input.append(encoded[-1].grow(level.radius_zyx, extents[index]))
    return Regions(core, tuple(encoder_input[::-1]), tuple(encoded[::-1]), tuple(decoder_input), tuple(decoded))


def receptive_radius(plan: NetworkPlan) -> Triple:
    """How many voxels of the input to each side an output voxel can depend on, at the worst phase of the stride."""
    far = _triple(_multiple(10 * (s + _reach(plan, axis)), s) for axis, s in enumerate(plan.stride_zyx))
    middle = tuple(_multiple(n // 2, s) for n, s in zip(far, plan.stride_zyx, strict=True))
    radius = (0, 0, 0)
    for phase in _phases(plan.stride_zyx):
        at = _triple(m + p for m, p in zip(middle, phase, strict=True))
        core = _box(at, tuple(a + 1 for a in at))
        needed = required_regions(plan, core, far).input
        radius = _triple(
            max(r, c - a, b - c - 1) for r, c, a, b in zip(radius, at, needed.start, needed.stop, strict=True)
        )
    return radius


def crop(features: Tensor, have: Box, want: Box) -> Tensor:
    """The part ``want`` of features (..., Z, Y, X) that cover ``have``."""
    if have == want:
        return features
    window = tuple(
        slice(a - origin, b - origin) for a, b, origin in zip(want.start, want.stop, have.start, strict=True)
    )
    return features[(..., *window)]


def _phases(stride: Triple) -> Iterator[Triple]:
    """The axes are independent, so stepping through all of them together meets each axis' worst case."""
    for phase in range(max(stride)):
        yield _triple(phase % s for s in stride)


def _reach(plan: NetworkPlan, axis: int) -> int:
    """An upper bound of the receptive radius along an axis."""
    return sum(
        2 * (level.radius_zyx[axis] + level.pool_zyx[axis]) * plan.level_stride_zyx(index)[axis]
        for index, level in enumerate(plan.levels)
    )


def _multiple(value: int, of: int) -> int:
    return -(-value // of) * of


def _box(start: tuple[int, ...], stop: tuple[int, ...]) -> Box:
    return Box(_triple(start), _triple(stop))


def _triple(values: object) -> Triple:
    z, y, x = values  # type: ignore[misc]  # always three ints, from the zips above
    return int(z), int(y), int(x)
