"""The works of a run: which shards of which volume are to be filled, and which networks learn to boost.

A work is a shard of one capture in one variant, filled by one network or one method; worker i of n takes every n-th.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError, RunConflictError
from pipeline.nn.zssr.grids import Scaling
from pipeline.nn.zssr.methods import learning
from pipeline.run.layout import NATIVE, TRAINING_STATE, Run
from pipeline.run.plan import BoostingPlan, CapturePlan
from pipeline.volume.geometry import Block, Zyx, tile, zyx

if TYPE_CHECKING:
    from pipeline.run.markers import Marker
    from pipeline.volume.omezarr import Volume
    from pipeline.volume.stores import Store

DOWNSAMPLED = "downsampled"
NETWORKS = "super-resolution"
"""Among the run's models; no class can be called so."""


@dataclass(frozen=True)
class ShardWork:
    """A shard to fill: its place, and the parts of it that are wanted."""

    capture: CapturePlan
    variant: str
    shard: Block
    parts: tuple[Block, ...]
    marker: Marker

    def inside(self, part: Block) -> tuple[slice, slice, slice]:
        """Where a part of the volume lies within the shard."""
        return part.relative_to(self.shard).slices


def shard_works(
    volume: Volume,
    capture: CapturePlan,
    variant: str,
    parts_within: Callable[[Block], tuple[Block, ...]],
    marker_of: Callable[[str], Marker],
) -> Iterator[ShardWork]:
    """The shards of a volume that hold something wanted, in the order in which workers share them out.

    Args:
        parts_within: what is wanted of a shard.
        marker_of: the done-marker of the shard with this name.
    """
    for shard in tile(volume.geometry.block, volume.shard_zyx):
        parts = parts_within(shard)
        if parts:
            place = "_".join(str(edge) for edge in shard.start_zyx)
            yield ShardWork(capture, variant, shard, parts, marker_of(place))


def wanted_within(wanted: tuple[Block, ...]) -> Callable[[Block], tuple[Block, ...]]:
    """What of some blocks lies within a shard."""
    return lambda shard: tuple(part for block in wanted if (part := block.intersect(shard)))


def predicted_regions(run: Run, capture: CapturePlan, variant: str = NATIVE) -> tuple[Block, ...]:
    """The blocks of a capture whose classes are asked for; only the test part is boosted."""
    only_test = run.config.inference.region == "test" or variant != NATIVE
    return capture.split().test if only_test else (capture.volume,)


def predicted_blocks(run: Run, capture: CapturePlan, variant: str) -> Callable[[Block], tuple[Block, ...]]:
    """What is predicted at once within a shard.

    The grid of blocks starts at each region's corner, so that it does not depend on the shards.
    """
    regions, size = predicted_regions(run, capture, variant), run.plan.block_zyx

    def blocks(shard: Block) -> tuple[Block, ...]:
        return tuple(block for part in wanted_within(regions)(shard) for block in tile(part, size, part.start_zyx))

    return blocks


def boosting_plan(run: Run) -> BoostingPlan:
    """How the run boosts. Raises RunConflictError when it does not."""
    plan = run.plan.boosting
    if plan is None:
        raise RunConflictError(
            f"{run.store.url} boosts nothing: its configuration has no boosting.methods, or no multilabel network"
        )
    return plan


def refuse_other_methods(run: Run, method: str) -> None:
    """Raise ConfigError for a method that the run does not have."""
    methods = boosting_plan(run).methods
    if method not in methods:
        raise ConfigError(f"this run does not boost by {method!r}; its methods are {', '.join(methods)}")


def refuse_without_learning(run: Run) -> None:
    """Raise ConfigError when no method of the run learns."""
    methods = boosting_plan(run).methods
    if not learning(methods):
        raise ConfigError(f"this run boosts by nothing that learns; its methods are {', '.join(methods)}")


def scaling(run: Run) -> Scaling:
    """How the fine and the coarse pixels lie over each other: both cover the same area."""
    return Scaling.centred(boosting_plan(run).factor)


def coarse_variant(run: Run) -> str:
    """The variant that is boosted."""
    return DOWNSAMPLED if boosting_plan(run).downsampled else NATIVE


def fine_shape(run: Run, capture: CapturePlan) -> Zyx:
    """Shape of the capture once it is boosted."""
    if boosting_plan(run).downsampled:
        return capture.shape_zyx
    z, y, x = capture.shape_zyx
    return z, scaling(run).fine_length(y), scaling(run).fine_length(x)


def boosted_regions(run: Run, capture: CapturePlan) -> tuple[Block, ...]:
    """Fine blocks that are wanted: all, or the test part with what the segmentation of it depends on."""
    whole = Block.of_shape(fine_shape(run, capture))
    if not boosting_plan(run).downsampled:
        return (whole,)
    radius = zyx([edge // 2 for edge in run.plan.receptive_field_zyx], "radius")
    grown = (block.grow(radius).intersect(whole) for block in capture.split().test)
    return tuple(block for block in grown if block)


def boosted_slices(run: Run, capture: CapturePlan) -> list[int]:
    """Numbers of the slices that are boosted, and learnt from."""
    blocks = boosted_regions(run, capture)
    return sorted({z for block in blocks for z in range(block.start_zyx[0], block.stop_zyx[0])})


@dataclass(frozen=True)
class Task:
    """One network to train: for these slices of a capture, at this factor, after those at smaller ones."""

    capture: CapturePlan
    slices: tuple[int, ...]
    factors: tuple[float, ...]
    """Those of the earlier networks, and last its own."""
    name: str
    store: Store
    marker: Marker

    @property
    def factor(self) -> float:
        """Fine pixels a pixel of the capture."""
        return self.factors[-1]


def is_trained(store: Store, marker: Marker) -> bool:
    """Whether a network is; one that was killed between its mark and its state has left both, and the state goes."""
    if marker.intact:
        store.delete(TRAINING_STATE)
        return True
    return False
