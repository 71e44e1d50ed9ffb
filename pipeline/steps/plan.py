"""Take in the captures and decide everything that the later steps have in common.

The network is planned from the voxel size, the guard bands from the network, the split from the guard bands; only then
is anything written. What cannot work is refused here, before a pod is started.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.config import MULTILABEL, Capture, Config, Inference, parse_config
from pipeline.errors import ConfigError, DataError, RunConflictError
from pipeline.fanout import PODS_PER_WORKFLOW
from pipeline.steps.boosting.decide import plan_boosting
from pipeline.steps.boosting.layout import create_variants
from pipeline.steps.digest import digest
from pipeline.steps.infer import regions_to_predict
from pipeline.steps.outputs import write_outputs
from pipeline.steps.pool import Pool
from pipeline.steps.run import (
    NATIVE,
    SEGMENTATION,
    SPLIT,
    TRUTH,
    Run,
    class_map,
    predicted_name,
    target_classes,
)
from pipeline.steps.runplan import BoostingPlan, CapturePlan, RunPlan, ends, fit
from pipeline.telemetry import Reporter
from pipeline.volume.fingerprint import fingerprint
from pipeline.volume.geometry import Block, Geometry, Zyx, tile, zyx
from pipeline.volume.grid import chunk_within
from pipeline.volume.ingest import ingest_capture, labelled_runs
from pipeline.volume.omezarr import build_pyramid, create_image, create_labels, open_labels
from pipeline.volume.sources import open_source
from pipeline.volume.split import PART_IDS, Parts, split_capture
from pipeline.volume.stores import Store

if TYPE_CHECKING:
    from pipeline.nn.plan import NetworkPlan

# Activations of the finest level that a forward pass holds at once, in float32.
ACTIVATION_COPIES = 4


@dataclass(frozen=True)
class Stack:
    """A capture, or one run of labelled slices of it, as its files state it."""

    name: str
    capture: Capture
    slices: tuple[int, int] | None
    geometry: Geometry
    digest: str


def plan(
    config_location: str,
    run_url: str,
    *,
    outputs: Path | None = None,
    pods_per_workflow: int = PODS_PER_WORKFLOW,
    update: bool = False,
) -> RunPlan:
    """Ingest the captures of a configuration and write the run's plan.

    Args:
        config_location: path or URL of the configuration.
        run_url: where the run is kept; it is made if need be.
        outputs: directory for the small files that the workflow goes on with.
        pods_per_workflow: workers that one workflow holds; those of the inference beyond them go to nested ones.
        update: take a changed configuration; what it does not touch is not computed again.

    Raises:
        RunConflictError: the run belongs to another configuration.
        InputError: the data or the configuration cannot be used.
    """
    config, base = read_config(config_location)
    stacks = [stack for capture in config.data.captures for stack in _stacks(capture, config, base)]
    voxel_size_nm = _common_voxel_size(stacks)
    networks = _plan_networks(config, voxel_size_nm, stacks)
    receptive_field, guard = _guard(networks, config)
    parts = {stack.name: split_capture(stack.name, stack.geometry.shape_zyx, config.split, guard) for stack in stacks}
    boosting = _boosting(config, base, stacks)
    run = Run.open(run_url, create=True)
    _refuse_other_configuration(run, config, update)
    with run.reporter("plan") as report:
        captures = [_take_in(run, config, base, stack, parts[stack.name], report) for stack in stacks]
        _refuse_unlabelled_parts([entry.plan for entry in captures])
        _refuse_missing_classes(config, [entry.plan for entry in captures])
        mean, std = _joint_intensity([entry.intensity for entry in captures])
        decided = RunPlan(
            captures=tuple(entry.plan for entry in captures),
            targets=config.targets,
            networks={target: networks[target].to_json() for target in config.targets},
            intensity_mean=mean,
            intensity_std=std,
            receptive_field_zyx=receptive_field,
            guard_zyx=guard,
            patch_zyx=_patch(config, stacks, next(iter(networks.values())).stride_zyx),
            block_zyx=_block(config, stacks, next(iter(networks.values()))),
            augment_workers=_augment_workers(config),
            infer_workers=infer_workers(config.inference, [stack.geometry for stack in stacks]),
            boosting=boosting,
        )
        if not _is_planned_with(run, config):
            # Killed between the two, it must not leave the old plan beside the new configuration.
            run.store.delete("plan.json")
        run.store.write("config.yaml", config.to_yaml().encode())
        run.store.write("plan.json", decided.model_dump_json(indent=1).encode())
        prepare_outputs(Run(run.store))
        _report_shares(config, decided, report)
    if outputs:
        write_outputs(outputs, decided, pods_per_workflow)
    return decided


def read_config(location: str) -> tuple[Config, Path]:
    """A configuration at a path or URL, and the folder that its relative paths start from."""
    if "://" in location:
        parent, _, name = location.rpartition("/")
        store = Store.open(parent)
        base = store.local_path() or Path.cwd()
        try:
            text = store.read(name).decode()
        except FileNotFoundError as error:
            raise ConfigError(f"{location}: there is no configuration here") from error
    else:
        path = Path(location)
        if not path.is_file():
            raise ConfigError(f"{location}: there is no configuration here; `vemseg config example` prints one")
        text, base = path.read_text(encoding="utf-8"), path.resolve().parent
    return parse_config(text, location), base


def prepare_outputs(run: Run) -> None:
    """Make the empty arrays that the workers will fill, so that no two of them make one.

    Arrays of another layout are replaced, and before that the markers of the work that filled them are removed: they
    would be taken for the new arrays' own once the plan returns to their configuration.
    """
    if run.config.augmentation.source == "pool" and run.plan.networks:
        pool = Pool(run)
        made = run.marker("plan", "pool", digest(pool.layout))
        if not made.done:
            made.clear()
            run.store.delete_all("done/augment")
            pool.create()
            made.write()
    for capture in run.plan.captures:
        for target in run.plan.targets:
            _prepare_predictions(run, capture, target, NATIVE)
        for variant in run.plan.boosting.methods if run.plan.boosting else ():
            _prepare_predictions(run, capture, MULTILABEL, variant)
    if run.plan.boosting:
        create_variants(run)


def _prepare_predictions(run: Run, capture: CapturePlan, target: str, variant: str) -> None:
    store, geometry = run.prediction_store(target, capture.name, variant), run.image(capture.name).geometry
    shard = fit(run.config.inference.shard_zyx, capture.shape_zyx)
    classes = target_classes(run.config, target)
    probabilities = run.config.inference.probabilities and variant == NATIVE
    # Where other voxels are asked for, those of an earlier model must not stay beside them.
    asked = ends(regions_to_predict(run, capture, variant))
    layout = digest(asdict(geometry), shard, classes, run.config.classes.exclusive, probabilities, asked)
    made = run.marker("plan", f"{capture.name}/predictions-{predicted_name(target, variant)}", layout)
    if made.done:
        return
    made.clear()
    # The last three wrote the coarser levels, which go with the arrays, or scored them.
    for work in (f"infer/{predicted_name(target, variant)}/{capture.name}", "evaluate", "finish", "compare"):
        run.store.delete_all(f"done/{work}")
    store.delete_all()
    grid = {"chunk_zyx": chunk_within(shard), "shard_zyx": shard}
    if probabilities:
        names = run.config.classes.names if target == MULTILABEL else (target,)
        create_image(store, geometry=geometry, dtype=np.uint8, name=target, channels=names, **grid)
    overlapping = target == MULTILABEL and not run.config.classes.exclusive
    dtype = np.uint32 if overlapping else np.uint8
    create_labels(store, SEGMENTATION, geometry=geometry, dtype=dtype, classes=classes, **grid)
    made.write()


def _stacks(capture: Capture, config: Config, base: Path) -> list[Stack]:
    """The capture, or each unbroken run of its labelled slices."""
    if capture.labels is None:
        raise ConfigError(f"data.captures: {capture.name!r} has no labels; a study needs them to train and to score")
    with open_source(capture.raw, base) as source:
        shape, stated = source.shape_zyx, source.voxel_size_nm
    voxel_size_nm = capture.voxel_size_nm or stated
    if voxel_size_nm is None:
        raise ConfigError(
            f"data.captures: {capture.raw} does not state its voxel size; give {capture.name}'s "
            "voxel_size_nm as [z, y, x]"
        )
    labels = [capture.labels] if isinstance(capture.labels, str) else list(capture.labels.values())
    files = [fingerprint(location, base) for location in (capture.raw, *labels)]
    made_from = digest(files, capture, config.classes)
    whole = Stack(capture.name, capture, None, Geometry(shape, voxel_size_nm), made_from)
    labelled = capture.labelled()
    if not capture.runs_as_captures or labelled is None:
        return [whole]
    return [
        Stack(
            f"{capture.name}_{start:04d}",
            capture,
            (start, stop),
            Geometry((stop - start, *shape[1:]), voxel_size_nm),
            digest(made_from, start, stop),
        )
        for start, stop in labelled_runs(labelled)
    ]


def _common_voxel_size(stacks: Sequence[Stack]) -> tuple[float, float, float]:
    first = stacks[0].geometry.voxel_size_nm
    for stack in stacks[1:]:
        if not np.allclose(stack.geometry.voxel_size_nm, first, rtol=0.01):
            raise ConfigError(
                f"data.captures: {stack.name!r} has voxels of {stack.geometry.voxel_size_nm} nm and "
                f"{stacks[0].name!r} of {first} nm; one network cannot learn from both: resample one, or make two runs"
            )
    return first


def _plan_networks(
    config: Config, voxel_size_nm: tuple[float, float, float], stacks: Sequence[Stack]
) -> dict[str, NetworkPlan]:
    from pipeline.nn.plan import plan_network

    extent = fit(config.training.patch_zyx, _smallest(stacks))
    exclusive, network = config.classes.exclusive, config.network
    return {
        target: plan_network(
            voxel_size_nm=voxel_size_nm,
            extent_zyx=extent,
            outputs=len(config.classes.members) if target == MULTILABEL else 1,
            head="softmax" if target == MULTILABEL and exclusive else "sigmoid",
            features=network.features,
            convolutions_per_level=network.convolutions_per_level,
            z_context_slices=network.z_context_slices,
            deep_supervision=network.deep_supervision,
        )
        for target in config.targets
    }


def _guard(networks: dict[str, NetworkPlan], config: Config) -> tuple[Zyx, Zyx]:
    """The receptive field, and the guard bands: as wide as it, or wider where asked for."""
    from pipeline.nn.regions import receptive_radius

    radius = receptive_radius(next(iter(networks.values())))
    field = zyx([2 * edge + 1 for edge in radius], "receptive field")
    asked = config.split.guard_voxels or (0, 0, 0)
    if any(0 < wide < needed for wide, needed in zip(asked, field, strict=True)):
        raise ConfigError(
            f"split.guard_voxels: {asked} is narrower than the receptive field {field} (z, y, x) of the network; "
            "leave it out, or take a network that sees less (network.features, network.z_context_slices)"
        )
    return field, zyx([max(pair) for pair in zip(asked, field, strict=True)], "guard")


def _refuse_other_configuration(run: Run, config: Config, update: bool) -> None:
    if run.store.exists("plan.json") and not _is_planned_with(run, config) and not update:
        raise RunConflictError(
            f"{run.store.url} was planned with another configuration (its config.yaml). Choose another run URL, or "
            "take the change in with `vemseg plan --update --config ... --run ...` and run the workflow again: what it "
            "does not touch is kept"
        )


def _is_planned_with(run: Run, config: Config) -> bool:
    return run.store.exists("config.yaml") and run.store.read("config.yaml").decode() == config.to_yaml()


@dataclass(frozen=True)
class TakenIn:
    """A capture in the run, and the intensity of its training part: voxels, mean, standard deviation."""

    plan: CapturePlan
    intensity: tuple[int, float, float]


def _take_in(run: Run, config: Config, base: Path, stack: Stack, parts: Parts, report: Reporter) -> TakenIn:
    store = run.capture_store(stack.name)
    split_digest = digest(stack.digest, [ends(parts.of(part)) for part in PART_IDS])
    ingested = run.marker("plan", f"{stack.name}/ingest", stack.digest)
    split = run.marker("plan", f"{stack.name}/split", split_digest)
    if not ingested.done:
        # Until this plan is made, no step may take the new voxels for those of the old plan.
        run.store.delete("plan.json")
        split.clear()
        ingested.clear()
        report.say(f"taking in {stack.name}: {' x '.join(map(str, stack.geometry.shape_zyx))} voxels")
        ingest_capture(
            store,
            name=stack.name,
            raw=stack.capture.raw,
            base=base,
            labels=_labels_with_fill(stack.capture, config),
            classes=class_map(config),
            voxel_size_nm=stack.capture.voxel_size_nm,
            labelled_slices=stack.capture.labelled(),
            slices=stack.slices,
            count_voxels=report.metrics.voxels,
        )
        ingested.write()
    if split.facts is None:
        split.clear()
        _paint_split(store, stack, parts)
        class_voxels = {part: _count_classes(run, config, stack, parts.of(part)) for part in PART_IDS}
        split.write(class_voxels=class_voxels, intensity=_intensity(run, stack, parts.train))
    facts = split.facts
    assert facts is not None
    capture = CapturePlan(
        name=stack.name,
        shape_zyx=stack.geometry.shape_zyx,
        voxel_size_nm=stack.geometry.voxel_size_nm,
        digest=stack.digest,
        parts={part: ends(parts.of(part)) for part in PART_IDS},
        class_voxels=facts["class_voxels"],
    )
    voxels, mean, std = facts["intensity"]
    return TakenIn(capture, (voxels, mean, std))


def _labels_with_fill(capture: Capture, config: Config) -> str | dict[str, str] | None:
    from pipeline.volume.ingest import FILL

    if not isinstance(capture.labels, dict):
        return capture.labels
    return {**capture.labels, **{member.name: FILL for member in config.classes.members if member.fill}}


def _paint_split(store: Store, stack: Stack, parts: Parts) -> None:
    truth = open_labels(store, TRUTH)
    classes = [(1, "train", "#009e73"), (2, "validation", "#e69f00"), (3, "test", "#0072b2")]
    volume = create_labels(
        store,
        SPLIT,
        geometry=truth.geometry,
        dtype=np.uint8,
        classes=classes,
        chunk_zyx=truth.chunk_zyx,
        shard_zyx=truth.shard_zyx,
    )
    for shard in tile(volume.geometry.block, volume.shard_zyx):
        ids = np.zeros(shard.shape_zyx, np.uint8)
        for part, value in PART_IDS.items():
            for block in parts.of(part):
                inside = block.intersect(shard)
                if inside:
                    ids[inside.shift([-edge for edge in shard.start_zyx]).slices] = value
        volume.write(shard, ids)
    build_pyramid(volume)


def _count_classes(run: Run, config: Config, stack: Stack, blocks: Sequence[Block]) -> list[int]:
    from pipeline.nn.sampling import class_counts

    truth = run.truth(stack.name)
    total = np.zeros(len(config.classes.members), np.int64)
    for piece in (piece for block in blocks for piece in tile(block, truth.shard_zyx)):
        total += class_counts(truth.read(piece), len(total), config.classes.exclusive)
    return [int(count) for count in total]


def _intensity(run: Run, stack: Stack, blocks: Sequence[Block]) -> list[float]:
    image = run.image(stack.name)
    voxels, total, squares = 0, 0.0, 0.0
    for piece in (piece for block in blocks for piece in tile(block, image.shard_zyx)):
        values = image.read(piece).astype(np.float64)
        voxels, total, squares = voxels + values.size, total + values.sum(), squares + np.square(values).sum()
    mean = total / max(1, voxels)
    return [voxels, mean, sqrt(max(squares / max(1, voxels) - mean**2, 0.0))]


def _joint_intensity(parts: Sequence[tuple[int, float, float]]) -> tuple[float, float]:
    """Mean and standard deviation over captures, from those of each."""
    voxels = sum(count for count, _, _ in parts)
    mean = sum(count * average for count, average, _ in parts) / max(1, voxels)
    squares = sum(count * (std**2 + average**2) for count, average, std in parts) / max(1, voxels)
    std = sqrt(max(squares - mean**2, 0.0))
    if std == 0.0:
        raise DataError("the images of the training part are all of one grey value; check data.captures' raw")
    return mean, std


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
        elsewhere = {part: count for part, count in voxels.items() if count}
        cure = (
            f"it has {', '.join(f'{count} in {part}' for part, count in elsewhere.items())}: choose another "
            "split.axis, other split.fractions or split.regions"
            if elsewhere
            else "it has none in any part: correct classes.members' ids, or remove the class"
        )
        raise ConfigError(f"split: class {name!r} has no voxel in the training part; {cure}")


def _smallest(stacks: Sequence[Stack]) -> Zyx:
    return zyx([min(stack.geometry.shape_zyx[axis] for stack in stacks) for axis in range(3)], "shape")


def _patch(config: Config, stacks: Sequence[Stack], stride: Zyx) -> Zyx:
    """The wanted patch, no larger than the data and a multiple of the network's stride."""
    wanted = fit(config.training.patch_zyx, _smallest(stacks))
    return zyx([max(s, n // s * s) for n, s in zip(wanted, stride, strict=True)], "patch")


def _block(config: Config, stacks: Sequence[Stack], network: NetworkPlan) -> Zyx:
    """The wanted block, if the memory allows for it."""
    from pipeline.nn.regions import receptive_radius

    largest = zyx([max(stack.geometry.shape_zyx[axis] for stack in stacks) for axis in range(3)], "shape")
    block = fit(config.inference.block_zyx, largest)
    read = [min(n, b + 2 * r) for n, b, r in zip(largest, block, receptive_radius(network), strict=True)]
    needed_gb = read[0] * read[1] * read[2] * network.levels[0].features * 4 * ACTIVATION_COPIES / 1e9
    if needed_gb > config.inference.memory_gb:
        raise ConfigError(
            f"inference.block_zyx: {block} with its halo is {tuple(read)} voxels and needs about {needed_gb:.1f} GB, "
            f"more than inference.memory_gb ({config.inference.memory_gb:g}); make the block smaller"
        )
    return block


def _boosting(config: Config, base: Path, stacks: Sequence[Stack]) -> BoostingPlan | None:
    settings = config.boosting
    if not config.boost_methods:
        return None
    return plan_boosting(settings, config.boost_methods, base, [stack.geometry for stack in stacks], downsampled=True)


def _augment_workers(config: Config) -> int:
    return 0 if config.augmentation.source == "on_the_fly" else config.inference.workers


def infer_workers(settings: Inference, geometries: Sequence[Geometry]) -> int:
    """Workers a target, but no more than there are shards."""
    shards = sum(len(tile(each.block, fit(settings.shard_zyx, each.shape_zyx))) for each in geometries)
    return max(1, min(settings.workers, shards))


def _report_shares(config: Config, decided: RunPlan, report: Reporter) -> None:
    """Say what share of each class falls in each part."""
    report.say(f"receptive field {decided.receptive_field_zyx}, guard bands {decided.guard_zyx} voxels (z, y, x)")
    for capture in decided.captures:
        _report_sliver(capture, decided.patch_zyx, report)
    counts = {part: decided.class_voxels(part) for part in PART_IDS}
    for index, name in enumerate(config.classes.names):
        total = sum(counts[part][index] for part in PART_IDS)
        shares = ", ".join(f"{part} {100 * counts[part][index] / max(1, total):.0f} %" for part in PART_IDS)
        missing = [part for part in PART_IDS if part != "train" and not counts[part][index]]
        note = f"; none in {' and '.join(missing)}: it cannot be judged there" if missing else ""
        report.say(f"{name}: {total} voxels, {shares}{note}")
    report.event("planned", targets=list(decided.targets), class_voxels=json.loads(json.dumps(counts)))


def _report_sliver(capture: CapturePlan, patch_zyx: Zyx, report: Reporter) -> None:
    """Say when the guard bands have left so little that no patch fits into it."""
    blocks = capture.split().train
    if blocks and not any(Block.of_shape(block.shape_zyx).contains(Block.of_shape(patch_zyx)) for block in blocks):
        largest = max(blocks, key=lambda block: block.voxels).shape_zyx
        report.say(
            f"{capture.name}: the training part is {largest} voxels, too small for a patch of {patch_zyx}: what is "
            "lacking is mirrored and not learnt from. Take fewer levels in network.features, or a smaller "
            "training.patch_zyx"
        )
