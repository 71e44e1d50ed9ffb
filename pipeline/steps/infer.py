"""Predict a target's classes, shard by shard: worker i of n takes every n-th shard and skips what is done.

Reading the next block, computing this one and writing the last shard overlap. A shard is written whole by one worker,
so that two pods never write one object.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import Preempted, RunConflictError
from pipeline.metrics import StepMetrics
from pipeline.steps.boosting.apply import boosted_digest, boosted_works
from pipeline.steps.boosting.layout import refuse_other_methods
from pipeline.steps.digest import Marker, digest
from pipeline.steps.run import NATIVE, Run, predicted_name
from pipeline.steps.runplan import CapturePlan
from pipeline.steps.stopping import stop_requested
from pipeline.steps.train import model_marker
from pipeline.telemetry import Reporter
from pipeline.volume.geometry import Block, tile

if TYPE_CHECKING:
    from pipeline.nn.blockwise import BlockPredictor
    from pipeline.nn.targets import Target

# They leave every voxel as it is: a change repeats no shard.
SETTINGS_WITHOUT_EFFECT = {"workers", "memory_gb"}


@dataclass(frozen=True)
class ShardWork:
    """A shard to predict: its place and the blocks within it that are asked for."""

    capture: str
    variant: str
    shard: Block
    blocks: tuple[Block, ...]
    marker: Marker


def infer(run_url: str, *, target: str, variant: str = NATIVE, worker: int = 0, workers: int = 1) -> int:
    """Predict this worker's shards of every capture, as it is or boosted; those that are done are left alone.

    Returns the number of shards that were predicted. Raises Preempted when asked to stop.
    """
    run = Run.open(run_url)
    run.refuse_other_targets(target)
    if variant != NATIVE:
        refuse_other_methods(run, variant)
    with run.reporter("infer", target=predicted_name(target, variant), worker=worker) as report:
        mine = shard_works(run, target, variant)[worker::workers]
        todo = [work for work in mine if not work.marker.done]
        report.event("found", shards=len(mine), done=len(mine) - len(todo))
        report.say(f"{len(mine) - len(todo)} of {len(mine)} shards are done")
        if todo:
            _predict(run, target, todo, report)
        return len(todo)


def shard_works(run: Run, target: str, variant: str = NATIVE) -> list[ShardWork]:
    """All shards of a target that hold voxels to predict, in the order in which workers share them out."""
    weights = _weights_digest(run, target)
    settings = run.config.inference.model_dump(mode="json", exclude=SETTINGS_WITHOUT_EFFECT)
    works = []
    for capture in run.plan.captures:
        boosted = _boosted_digest(run, variant, capture)
        made_from = digest(weights, settings, capture.model_dump(mode="json"), run.plan.block_zyx, *boosted)
        volume = run.segmentation(target, capture.name, variant)
        for shard in tile(capture.volume, volume.shard_zyx):
            blocks = _blocks_within(run, capture, shard, variant)
            if blocks:
                place = "_".join(str(edge) for edge in shard.start_zyx)
                marker = run.marker("infer", f"{predicted_name(target, variant)}/{capture.name}/{place}", made_from)
                works.append(ShardWork(capture.name, variant, shard, blocks, marker))
    return works


def predicted_works(run: Run) -> list[ShardWork]:
    """All shards of all targets. Raises RunConflictError when one of them is not predicted yet."""
    return complete([work for target in run.plan.targets for work in shard_works(run, target)])


def complete(works: list[ShardWork]) -> list[ShardWork]:
    """The works. Raises RunConflictError when one of them is not predicted yet."""
    missing = [work for work in works if not work.marker.done]
    if missing:
        raise RunConflictError(
            f"{len(missing)} of {len(works)} shards are not predicted yet, the first being {missing[0].marker.key}; "
            "run the infer step of every target first"
        )
    return works


def regions_to_predict(run: Run, capture: CapturePlan, variant: str = NATIVE) -> tuple[Block, ...]:
    """The blocks of a capture that are asked for; only the test part is boosted."""
    only_test = run.config.inference.region == "test" or variant != NATIVE
    return capture.split().test if only_test else (capture.volume,)


def _blocks_within(run: Run, capture: CapturePlan, shard: Block, variant: str) -> tuple[Block, ...]:
    """The grid of blocks starts at each region's corner, so that it does not depend on the shards."""
    inside = [part for region in regions_to_predict(run, capture, variant) if (part := region.intersect(shard))]
    return tuple(block for part in inside for block in tile(part, run.plan.block_zyx, part.start_zyx))


def _boosted_digest(run: Run, variant: str, capture: CapturePlan) -> tuple[str, ...]:
    """Of the boosted capture, where that is what is predicted. Raises RunConflictError when it is not complete."""
    if variant == NATIVE:
        return ()
    if not all(work.marker.done for work in boosted_works(run, variant) if work.capture == capture):
        raise RunConflictError(
            f"{capture.name} is not boosted by {variant} yet; run `vemseg boost apply --run ... --method {variant}` "
            "first"
        )
    return (boosted_digest(run, variant, capture),)


def _weights_digest(run: Run, target: str) -> str:
    url, cure = run.model_store(target).url, f"run `vemseg train --run ... --target {target}` first"
    try:
        weights = str(run.model_store(target).read_json("model.json")["weights_sha256"])
    except FileNotFoundError as error:
        raise RunConflictError(f"{url} holds no model; {cure}") from error
    # A run that only segments has a model from elsewhere, and no networks to train.
    if run.plan.networks and not model_marker(run, target).done:
        raise RunConflictError(f"the model in {url} was trained before the run's plan was changed; {cure}")
    return weights


def _predict(run: Run, target: str, todo: list[ShardWork], report: Reporter) -> None:
    from pipeline.nn.blockwise import BlockPredictor
    from pipeline.nn.device import keep_freed_memory, pick_device
    from pipeline.nn.model import load_model

    keep_freed_memory()
    store, settings = run.model_store(target), run.config.inference
    model = load_model(store.read("model.safetensors"), store.read_json("model.json"), store.url)
    predictor = BlockPredictor(
        model.network,
        model.normalisation,
        device=pick_device(),
        mirror_axes=["zyx".index(axis) for axis in settings.mirror_axes],
        precision=settings.precision,
    )
    metrics = report.metrics
    write, shards = metrics.timed("write", _write), _predicted_shards(run, predictor, model.target, todo, metrics)
    with stop_requested() as stop, ThreadPoolExecutor(max_workers=1, thread_name_prefix="write") as writer:
        written: Future[None] | None = None
        for number, (work, ids, probabilities) in enumerate(shards):
            if written:
                metrics.timed("queue", written.result)()
            written = writer.submit(write, run, target, work, ids, probabilities)
            report.progress(number + 1, len(todo), "shards")
            if stop() and number + 1 < len(todo):
                written.result()
                raise Preempted(f"infer {target}: asked to stop after {number + 1} of {len(todo)} shards")
        if written:
            written.result()


def _predicted_shards(
    run: Run, predictor: BlockPredictor, target: Target, todo: list[ShardWork], metrics: StepMetrics
) -> Iterator[tuple[ShardWork, NDArray[Any], NDArray[np.uint8] | None]]:
    """Each shard's ids, and probabilities (class, z, y, x) where asked for; 0 outside what is predicted."""
    from pipeline.nn.blockwise import read_blocks

    for name in dict.fromkeys(work.capture for work in todo):
        works = [work for work in todo if work.capture == name]
        variant = works[0].variant
        image, volume = run.variant(variant, name), run.segmentation(target.name, name, variant)
        blocks = [block for work in works for block in work.blocks]
        read = metrics.timed("read", image.read)
        inputs = metrics.each("queue", read_blocks(predictor, read, blocks, image.shape_zyx))
        for work in works:
            ids = np.zeros(work.shard.shape_zyx, volume.dtype)
            probabilities = _empty_probabilities(run, target, work)
            for _ in work.blocks:
                block = next(inputs)
                inside = block.core.shift([-edge for edge in work.shard.start_zyx]).slices
                # A GPU has computed the logits once something of them is copied.
                with metrics.seconds("compute"):
                    logits_CZYX = predictor.logits(block)
                    ids[inside] = target.decide(logits_CZYX).cpu().numpy()
                    if probabilities is not None:
                        scaled = target.probabilities(logits_CZYX) * 255
                        probabilities[(slice(None), *inside)] = scaled.round().byte().cpu().numpy()
                metrics.voxels(block.core.voxels)
            yield work, ids, probabilities


def _empty_probabilities(run: Run, target: Target, work: ShardWork) -> NDArray[np.uint8] | None:
    if not run.config.inference.probabilities or work.variant != NATIVE:
        return None
    return np.zeros((len(target.class_ids), *work.shard.shape_zyx), np.uint8)


def _write(run: Run, target: str, work: ShardWork, ids: NDArray[Any], probabilities: NDArray[np.uint8] | None) -> None:
    work.marker.clear()
    run.segmentation(target, work.capture, work.variant).write(work.shard, ids)
    if probabilities is not None:
        run.probabilities(target, work.capture).write(work.shard, probabilities)
    work.marker.write(voxels=sum(block.voxels for block in work.blocks))
