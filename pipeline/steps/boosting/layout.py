"""What of a capture is boosted, from which coarse image, and in which pieces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.errors import ConfigError, RunConflictError
from pipeline.nn.zssr.grids import Scaling
from pipeline.steps.digest import Marker, digest
from pipeline.steps.run import NATIVE, Run
from pipeline.steps.runplan import BoostingPlan, CapturePlan, fit
from pipeline.volume.geometry import Block, Geometry, Zyx, tile, zyx
from pipeline.volume.grid import chunk_within
from pipeline.volume.omezarr import create_image

DOWNSAMPLED = "downsampled"
ZSSR = "zssr"


def boosting_plan(run: Run) -> BoostingPlan:
    """How the run boosts. Raises RunConflictError when it does not."""
    plan = run.plan.boosting
    if plan is None:
        raise RunConflictError(
            f"{run.store.url} boosts nothing: its configuration has no boosting.methods, or no multilabel network"
        )
    return plan


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


def regions(run: Run, capture: CapturePlan) -> tuple[Block, ...]:
    """Fine blocks that are wanted: all, or the test part with what the segmentation of it depends on."""
    whole = Block.of_shape(fine_shape(run, capture))
    if not boosting_plan(run).downsampled:
        return (whole,)
    radius = zyx([edge // 2 for edge in run.plan.receptive_field_zyx], "radius")
    grown = (block.grow(radius).intersect(whole) for block in capture.split().test)
    return tuple(block for block in grown if block)


def slices_of(run: Run, capture: CapturePlan) -> list[int]:
    """Numbers of the slices that are boosted, and learnt from."""
    return sorted({z for block in regions(run, capture) for z in range(block.start_zyx[0], block.stop_zyx[0])})


def create_variants(run: Run) -> None:
    """Make the empty images that the workers will fill, so that no two of them make one."""
    plan = boosting_plan(run)
    for capture in run.plan.captures:
        image = run.image(capture.name)
        if plan.downsampled:
            _create(run, DOWNSAMPLED, capture, _coarser(image.geometry, scaling(run)), image.dtype)
        fine = image.geometry if plan.downsampled else _finer(image.geometry, scaling(run))
        for method in plan.methods:
            _create(run, method, capture, fine, image.dtype)


def _create(run: Run, variant: str, capture: CapturePlan, geometry: Geometry, dtype: Any) -> None:
    shard = fit(run.config.inference.shard_zyx, geometry.shape_zyx)
    store = run.boosted_store(variant, capture.name)
    layout = digest(geometry.shape_zyx, geometry.voxel_size_nm, shard, str(dtype), _wanted(run, capture))
    made = run.marker("plan", f"{capture.name}/boosted-{variant}", layout)
    if made.done:
        return
    made.clear()
    # The last two wrote the coarser levels, which go with the arrays.
    for work in (f"boost/{variant}/{capture.name}", "compare", "finish"):
        run.store.delete_all(f"done/{work}")
    store.delete_all()
    name = f"{capture.name}, {variant}"
    create_image(store, geometry=geometry, dtype=dtype, name=name, chunk_zyx=chunk_within(shard), shard_zyx=shard)
    made.write()


def _wanted(run: Run, capture: CapturePlan) -> list[tuple[Zyx, Zyx]]:
    """Where other voxels are asked for, those of before must not stay beside them."""
    return [(block.start_zyx, block.stop_zyx) for block in regions(run, capture)]


def _coarser(fine: Geometry, by: Scaling) -> Geometry:
    z, y, x = fine.shape_zyx
    size_z, size_y, size_x = fine.voxel_size_nm
    shift_z, shift_y, shift_x = fine.translation_nm
    return Geometry(
        (z, by.coarse_length(y), by.coarse_length(x)),
        (size_z, size_y * by.factor, size_x * by.factor),
        (shift_z, shift_y + by.phase * size_y, shift_x + by.phase * size_x),
    )


def _finer(coarse: Geometry, by: Scaling) -> Geometry:
    z, y, x = coarse.shape_zyx
    size_z, size_y, size_x = coarse.voxel_size_nm
    shift_z, shift_y, shift_x = coarse.translation_nm
    fine_y, fine_x = size_y / by.factor, size_x / by.factor
    return Geometry(
        (z, by.fine_length(y), by.fine_length(x)),
        (size_z, fine_y, fine_x),
        (shift_z, shift_y - by.phase * fine_y, shift_x - by.phase * fine_x),
    )


@dataclass(frozen=True)
class ShardWork:
    """A shard of a variant to fill: its place, and the parts of it that are wanted."""

    capture: CapturePlan
    shard: Block
    parts: tuple[Block, ...]
    marker: Marker


def shard_works(
    run: Run, variant: str, capture: CapturePlan, wanted: tuple[Block, ...], made_from: str
) -> Iterator[ShardWork]:
    """The shards of a variant of a capture that hold something wanted."""
    volume = run.variant(variant, capture.name)
    for shard in tile(volume.geometry.block, volume.shard_zyx):
        parts = tuple(part for block in wanted if (part := block.intersect(shard)))
        if parts:
            place = "_".join(str(edge) for edge in shard.start_zyx)
            yield ShardWork(capture, shard, parts, run.marker("boost", f"{variant}/{capture.name}/{place}", made_from))


def refuse_other_methods(run: Run, method: str) -> None:
    """Raise ConfigError for a method that the run does not have."""
    methods = boosting_plan(run).methods
    if method not in methods:
        raise ConfigError(f"this run does not boost by {method!r}; its methods are {', '.join(methods)}")
