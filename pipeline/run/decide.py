"""What is decided before any work is spent, from the configuration and what the files state: without a file.

The network is planned from the voxel size, the guard bands from the network, the split from the guard bands. What
cannot work is refused here, before a pod is started.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np

from pipeline.config.model import MULTILABEL, Boosting, Config, Inference
from pipeline.config.settings import settings_of
from pipeline.errors import ConfigError, DataError
from pipeline.nn.plan import NetworkPlan, plan_network
from pipeline.nn.regions import receptive_radius
from pipeline.nn.slabs import sweep_bytes
from pipeline.nn.zssr.grids import Scaling
from pipeline.nn.zssr.kernel import Blur
from pipeline.nn.zssr.methods import learning
from pipeline.run.plan import BoostingPlan, CapturePlan, RunPlan, fit
from pipeline.volume.geometry import Block, Geometry, Zyx, ZyxNm, tile, zyx
from pipeline.volume.greyvalues import GreyValues, joint
from pipeline.volume.split import PART_IDS, Parts, SplitSettings, split_capture

SMALLEST_SIDE_PX = 16
"""Of a coarse slice: less shows nothing to learn from, and nothing to see."""

Geometries = Mapping[str, Geometry]
"""Of the captures, by their names."""


@dataclass(frozen=True)
class Intensity:
    """Of the grey values of a training part, as the networks see them."""

    voxels: int
    mean: float
    std: float
    seen: GreyValues | None
    """None where there is no voxel."""


@dataclass(frozen=True)
class Kernels:
    """How the coarse images came about, and what zero-shot super-resolution takes them for."""

    coarse: Blur
    learnt: Blur | Literal["estimated"]


@dataclass(frozen=True)
class Decision:
    """What the captures' geometries and the configuration decide."""

    networks: dict[str, NetworkPlan]
    receptive_field_zyx: Zyx
    guard_zyx: Zyx
    parts: dict[str, Parts]
    patch_zyx: Zyx
    block_zyx: Zyx
    infer_workers: int
    boosting: BoostingPlan | None


def decide(config: Config, geometries: Geometries, kernels: Kernels | None) -> Decision:
    """Plan a study.

    Args:
        config: the configuration.
        geometries: of the captures.
        kernels: for boosting; None where nothing is boosted.

    Raises:
        ConfigError: what is asked for cannot work with these captures.
    """
    wanted = _wanted_patch(config, geometries)
    networks = _networks(config, _common_voxel_size(geometries), wanted)
    first = next(iter(networks.values()))
    receptive_field, guard = _guard(first, config)
    every, split = list(geometries.values()), settings_of(SplitSettings, config.split)
    return Decision(
        networks=networks,
        receptive_field_zyx=receptive_field,
        guard_zyx=guard,
        parts={name: split_capture(name, each.shape_zyx, split, guard) for name, each in geometries.items()},
        patch_zyx=_patch(wanted, first.stride_zyx),
        block_zyx=_block(config, every, first),
        infer_workers=infer_workers(config.inference, every),
        boosting=plan_boosting(config.boosting, config.boost_methods, kernels, every, downsampled=True)
        if kernels
        else None,
    )


def study_plan(
    config: Config,
    decision: Decision,
    captures: Sequence[CapturePlan],
    intensities: Sequence[Intensity],
    starts: Mapping[str, str],
) -> RunPlan:
    """The plan of a study whose captures are taken in.

    Args:
        starts: digests of the models that networks begin with, by target.

    Raises:
        ConfigError: a part holds no labels, or the training part lacks a class.
        DataError: the images are of one grey value.
    """
    _refuse_unlabelled_parts(captures)
    _refuse_missing_classes(config, captures)
    mean, std = joint_intensity(intensities)
    return RunPlan(
        captures=tuple(captures),
        targets=config.targets,
        networks={target: decision.networks[target].to_json() for target in config.targets},
        starts=dict(starts),
        intensity_mean=mean,
        intensity_std=std,
        grey_values=joint([(each.voxels, each.seen) for each in intensities if each.seen]),
        receptive_field_zyx=decision.receptive_field_zyx,
        guard_zyx=decision.guard_zyx,
        patch_zyx=decision.patch_zyx,
        block_zyx=decision.block_zyx,
        augment_workers=0 if config.augmentation.source == "on_the_fly" else config.inference.workers,
        infer_workers=decision.infer_workers,
        boosting=decision.boosting,
    )


def untrained_plan(capture: CapturePlan) -> RunPlan:
    """A plan in which nothing is learnt, predicted or boosted: each use adds what it does."""
    return RunPlan(
        captures=(capture,),
        targets=(),
        networks={},
        intensity_mean=0.0,
        intensity_std=1.0,
        receptive_field_zyx=(1, 1, 1),
        guard_zyx=(0, 0, 0),
        patch_zyx=(1, 1, 1),
        block_zyx=(1, 1, 1),
        augment_workers=0,
        infer_workers=0,
    )


def infer_workers(settings: Inference, geometries: Sequence[Geometry]) -> int:
    """Workers a target, but no more than there are shards."""
    shards = sum(len(tile(each.block, fit(settings.shard_zyx, each.shape_zyx))) for each in geometries)
    return max(1, min(settings.workers, shards))


def joint_intensity(parts: Sequence[Intensity]) -> tuple[float, float]:
    """Mean and standard deviation over captures, from those of each. Raises DataError where there is no contrast."""
    voxels = sum(part.voxels for part in parts)
    mean = sum(part.voxels * part.mean for part in parts) / max(1, voxels)
    squares = sum(part.voxels * (part.std**2 + part.mean**2) for part in parts) / max(1, voxels)
    std = sqrt(max(squares - mean**2, 0.0))
    if std == 0.0:
        raise DataError("the images of the training part are all of one grey value; check data.captures' raw")
    return mean, std


def plan_boosting(
    settings: Boosting,
    methods: tuple[str, ...],
    kernels: Kernels,
    geometries: Sequence[Geometry],
    *,
    downsampled: bool,
) -> BoostingPlan:
    """The plan for captures of these geometries.

    Args:
        downsampled: whether the coarse images are made of the captures, or are the captures.

    Raises:
        ConfigError: slices too small, or a kernel larger than they are.
    """
    scaling = Scaling.centred(settings.factor)
    for geometry in geometries:
        z, y, x = geometry.shape_zyx
        coarse = (z, scaling.coarse_length(y), scaling.coarse_length(x)) if downsampled else geometry.shape_zyx
        _refuse_small_slices(coarse, settings.factor)
        if downsampled:
            _refuse_large_kernel("boosting.kernel", kernels.coarse, geometry.shape_zyx)
        if learning(methods):
            _refuse_large_kernel("boosting.zssr.kernel", kernels.learnt, coarse)
    return BoostingPlan(
        methods=methods,
        downsampled=downsampled,
        factor=settings.factor,
        kernel=kernels.coarse,
        learnt_kernel=kernels.learnt,
        workers=settings.workers,
    )


def what_was_decided(config: Config, plan: RunPlan) -> Iterator[str]:
    """Lines for people: sizes, what share of each class falls in each part, and what will suffer."""
    yield f"receptive field {plan.receptive_field_zyx}, guard bands {plan.guard_zyx} voxels (z, y, x)"
    for capture in plan.captures:
        yield from _sliver(capture, plan.patch_zyx)
    counts = {part: plan.class_voxels(part) for part in PART_IDS}
    for index, name in enumerate(config.classes.names):
        total = sum(counts[part][index] for part in PART_IDS)
        shares = ", ".join(f"{part} {100 * counts[part][index] / max(1, total):.0f} %" for part in PART_IDS)
        missing = [part for part in PART_IDS if part != "train" and not counts[part][index]]
        note = f"; none in {' and '.join(missing)}: it cannot be judged there" if missing else ""
        yield f"{name}: {total} voxels, {shares}{note}"


def _sliver(capture: CapturePlan, patch_zyx: Zyx) -> Iterator[str]:
    """Say when the guard bands have left so little that no patch fits into it."""
    blocks = capture.split().train
    if blocks and not any(Block.of_shape(block.shape_zyx).contains(Block.of_shape(patch_zyx)) for block in blocks):
        largest = max(blocks, key=lambda block: block.voxels).shape_zyx
        yield (
            f"{capture.name}: the training part is {largest} voxels, too small for a patch of {patch_zyx}: what is "
            "lacking is mirrored and not learnt from. Take fewer levels in network.features, or a smaller "
            "training.patch_zyx"
        )


def _common_voxel_size(geometries: Geometries) -> ZyxNm:
    (first_name, first), *others = geometries.items()
    for name, geometry in others:
        if not np.allclose(geometry.voxel_size_nm, first.voxel_size_nm, rtol=0.01):
            raise ConfigError(
                f"data.captures: {name!r} has voxels of {geometry.voxel_size_nm} nm and {first_name!r} of "
                f"{first.voxel_size_nm} nm; one network cannot learn from both: resample one, or make two runs"
            )
    return first.voxel_size_nm


def _wanted_patch(config: Config, geometries: Geometries) -> Zyx:
    """No larger than the captures that are trained on: one that is only tested may be thinner."""
    named = {region.capture for region in config.split.regions if region.part == "train"} or {None}
    trained = [each for name, each in geometries.items() if named & {None, name}]
    return fit(config.training.patch_zyx, _smallest(trained))


def _networks(config: Config, voxel_size_nm: ZyxNm, extent_zyx: Zyx) -> dict[str, NetworkPlan]:
    exclusive, network = config.classes.exclusive, config.network
    return {
        target: plan_network(
            voxel_size_nm=voxel_size_nm,
            extent_zyx=extent_zyx,
            outputs=config.classes.sample_ids if target == MULTILABEL else 1,
            head="softmax" if target == MULTILABEL and exclusive else "sigmoid",
            features=network.features,
            convolutions_per_level=network.convolutions_per_level,
            z_context_slices=network.z_context_slices,
            deep_supervision=network.deep_supervision,
        )
        for target in config.targets
    }


def _guard(network: NetworkPlan, config: Config) -> tuple[Zyx, Zyx]:
    """The receptive field, and the guard bands: as wide as it, or wider where asked for."""
    field = zyx([2 * edge + 1 for edge in receptive_radius(network)], "receptive field")
    asked = config.split.guard_voxels or (0, 0, 0)
    if any(0 < wide < needed for wide, needed in zip(asked, field, strict=True)):
        raise ConfigError(
            f"split.guard_voxels: {asked} is narrower than the receptive field {field} (z, y, x) of the network; "
            "leave it out, or take a network that sees less (network.features, network.z_context_slices)"
        )
    return field, zyx([max(pair) for pair in zip(asked, field, strict=True)], "guard")


def _refuse_unlabelled_parts(captures: Sequence[CapturePlan]) -> None:
    """Without labels in it, a part can neither choose the best model nor score it."""
    for part in PART_IDS:
        if not any(sum(capture.class_voxels[part]) for capture in captures):
            raise ConfigError(
                f"split: the {part} part has no labelled voxel; choose another split.axis, other split.fractions or "
                "split.regions (regions give way to the guard bands of others)"
            )


def _refuse_missing_classes(config: Config, captures: Sequence[CapturePlan]) -> None:
    """A class that training never sees cannot be learnt, and one that the test part lacks cannot be scored."""
    for index, name in enumerate(config.classes.names):
        voxels = {part: sum(capture.class_voxels[part][index] for capture in captures) for part in PART_IDS}
        if voxels["train"]:
            continue
        others = {part: count for part, count in voxels.items() if count}
        cure = (
            f"it has {', '.join(f'{count} in {part}' for part, count in others.items())}: choose another "
            "split.axis, other split.fractions or split.regions"
            if others
            else "it has none in any part: correct classes.members' ids, or remove the class"
        )
        raise ConfigError(f"split: class {name!r} has no voxel in the training part; {cure}")


def _smallest(geometries: Sequence[Geometry]) -> Zyx:
    return zyx([min(geometry.shape_zyx[axis] for geometry in geometries) for axis in range(3)], "shape")


def _patch(wanted: Zyx, stride: Zyx) -> Zyx:
    """The wanted patch as a multiple of the network's stride."""
    return zyx([max(s, n // s * s) for n, s in zip(wanted, stride, strict=True)], "patch")


def _block(config: Config, geometries: Sequence[Geometry], network: NetworkPlan) -> Zyx:
    """The wanted block, if the memory allows for it."""
    largest = zyx([max(geometry.shape_zyx[axis] for geometry in geometries) for axis in range(3)], "shape")
    block = fit(config.inference.block_zyx, largest)
    needed_gb = sweep_bytes(network, block, largest, passes=2 ** len(config.inference.mirror_axes)) / 1e9
    if needed_gb > config.inference.memory_gb:
        raise ConfigError(
            f"inference.block_zyx: to predict {block} voxels at once takes about {needed_gb:.1f} GB, more than "
            f"inference.memory_gb ({config.inference.memory_gb:g}); make the two shorter sides of the block smaller"
        )
    return block


def _refuse_small_slices(coarse_zyx: Zyx, factor: float) -> None:
    _, y, x = coarse_zyx
    if min(y, x) < SMALLEST_SIDE_PX:
        raise ConfigError(
            f"boosting.factor: coarse slices of {y} x {x} pixels (y, x) are too small to boost by {factor:g}; each "
            f"side must have at least {SMALLEST_SIDE_PX}: take a smaller factor, or leave boosting.methods empty ([])"
        )


def _refuse_large_kernel(field: str, kernel: Blur | str, slice_zyx: Zyx) -> None:
    if isinstance(kernel, str):
        return
    _, y, x = slice_zyx
    rows, columns = len(kernel), len(kernel[0])
    if rows > y or columns > x:
        raise ConfigError(
            f"{field}: the kernel has {rows} x {columns} pixels, the slices only {y} x {x} (y, x); crop the kernel"
        )
