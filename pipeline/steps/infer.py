"""Predict a target's classes, shard by shard: worker i of n takes every n-th shard and skips what is done.

Reading the next block, computing this one and writing the last shard overlap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.model import MULTILABEL
from pipeline.run.events import Reporter
from pipeline.run.layout import NATIVE, Run, predicted_name
from pipeline.run.provenance import predicted
from pipeline.run.shards import Write, fill
from pipeline.run.works import ShardWork, refuse_other_methods

if TYPE_CHECKING:
    from pipeline.nn.targets import Target


def infer(run_url: str, *, target: str, variant: str = NATIVE, worker: int = 0, workers: int = 1) -> int:
    """Predict this worker's shards of every capture, as it is or boosted; those that are done are left alone.

    Returns the number of shards that were predicted. Raises Preempted when asked to stop.
    """
    run = Run.open(run_url)
    run.refuse_other_targets(target)
    if variant != NATIVE:
        refuse_other_methods(run, variant)
    with run.reporter("infer", target=predicted_name(target, variant), worker=worker) as report:
        mine = predicted(run, target, variant)[worker::workers]
        return fill(mine, partial(_predicted, run, target, report), report, f"infer {target}")


def _predicted(run: Run, target_name: str, report: Reporter, todo: Sequence[ShardWork]) -> Iterator[Write]:
    """Each shard's ids, probabilities (class, z, y, x) where asked for, and cores; 0 outside what is predicted."""
    from pipeline.nn.blockwise import BlockPredictor, read_blocks
    from pipeline.nn.device import keep_freed_memory, pick_device
    from pipeline.nn.merging import as_bytes
    from pipeline.nn.model import load_model
    from pipeline.run.tally import Tally

    keep_freed_memory()
    store, settings, metrics = run.model_store(target_name), run.config.inference, report.metrics
    model = load_model(store.read("model.safetensors"), store.read_json("model.json"), store.url)
    target = model.target
    classes = run.config.classes.names if target_name == MULTILABEL else (target_name,)
    predictor = BlockPredictor(
        model.network,
        model.normalisation,
        device=pick_device(),
        mirror_axes=["zyx".index(axis) for axis in settings.mirror_axes],
        precision=settings.precision,
    )
    for name in dict.fromkeys(work.capture.name for work in todo):
        works = [work for work in todo if work.capture.name == name]
        variant = works[0].variant
        image, volume = run.variant(variant, name), run.segmentation(target.name, name, variant)
        blocks = [block for work in works for block in work.parts]
        read = metrics.timed("read", run.read_seen(works[0].capture, variant))
        inputs = metrics.each("queue", read_blocks(predictor, read, blocks, image.shape_zyx))
        for work in works:
            ids = np.zeros(work.shard.shape_zyx, volume.dtype)
            probabilities = _empty_probabilities(run, target, work)
            cores = np.zeros(work.shard.shape_zyx, np.uint8) if _finds_cores(run, target, work) else None
            with metrics.seconds("queue"), metrics.seconds("read"):  # labels, while nothing is computed
                tally = Tally(run, model, work, classes)
            for _ in work.parts:
                block = next(inputs)
                with metrics.seconds("compute"):
                    for part, logits_CZYX in predictor.slabs(block):
                        inside = work.inside(part)
                        classes_CZYX = target.class_logits(logits_CZYX)
                        tally.add(inside, classes_CZYX)
                        decided_ZYX = target.decide(logits_CZYX)
                        ids[inside] = decided_ZYX.cpu().numpy()
                        if cores is not None:
                            cores[inside] = target.core_classes(logits_CZYX, decided_ZYX).cpu().numpy()
                        if probabilities is not None:
                            said = as_bytes(target.probabilities(model.confidence(classes_CZYX)))
                            probabilities[(slice(None), *inside)] = said.cpu().numpy()
                metrics.voxels(block.core.voxels)
            yield partial(_write, run, target_name, work, ids, probabilities, cores, tally.facts)


def _empty_probabilities(run: Run, target: Target, work: ShardWork) -> NDArray[np.uint8] | None:
    if not run.config.inference.stores_probabilities or work.variant != NATIVE:
        return None
    return np.zeros((len(target.class_ids), *work.shard.shape_zyx), np.uint8)


def _finds_cores(run: Run, target: Target, work: ShardWork) -> bool:
    return bool(run.instances) and bool(target.core_logits) and work.variant == NATIVE


def _write(
    run: Run,
    target: str,
    work: ShardWork,
    ids: NDArray[Any],
    probabilities: NDArray[np.uint8] | None,
    cores: NDArray[np.uint8] | None,
    facts: dict[str, Any],
) -> dict[str, Any]:
    run.segmentation(target, work.capture.name, work.variant).write(work.shard, ids)
    if probabilities is not None:
        run.probabilities(target, work.capture.name).write(work.shard, probabilities)
    if cores is not None:
        run.cores(work.capture.name).write(work.shard, cores)
    return {"voxels": sum(block.voxels for block in work.parts), **facts}
