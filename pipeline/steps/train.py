"""Train one network: the multilabel one, or a class against the rest.

The state is saved every few minutes and when the process is asked to stop; a training that is started again goes on
from it, bit for bit on the CPU.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.config import MULTILABEL
from pipeline.errors import Preempted
from pipeline.steps.digest import Marker, digest
from pipeline.steps.pool import Pool, data_digest, refuse_incomplete_pool
from pipeline.steps.run import Run
from pipeline.steps.stopping import stop_requested
from pipeline.telemetry import Reporter
from pipeline.volume.geometry import Block, tile

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.nn.batches import BatchSource
    from pipeline.nn.targets import Target
    from pipeline.nn.training import Trainer
    from pipeline.nn.unet import UNet

STATE = "last/state.safetensors"
SCORE = "validation_macro_f1"
# Enough voxels to rank models and to calibrate logits; a larger validation part is thinned to whole blocks.
VALIDATION_VOXELS = 8_000_000
CALIBRATION_VOXELS = 1_000_000
# What leaves a network as it is, or (the steps) counts for its own target only: a change repeats no training.
SETTINGS_WITHOUT_EFFECT = {"targets", "checkpoint_minutes", "steps", "binary_steps"}


def train(run_url: str, *, target: str) -> None:
    """Train the network of a target, unless it is done. Raises Preempted when asked to stop."""
    run = Run.open(run_url)
    run.refuse_without_labels()
    run.refuse_other_targets(target)
    with run.reporter("train", target=target) as report:
        marker = model_marker(run, target)
        if marker.done:
            # Killed between the two, a training has left its mark and its state.
            run.model_store(target).delete(STATE)
            report.say("is done")
            return
        _train(run, target, marker, report)


def model_marker(run: Run, target: str) -> Marker:
    """The done-marker of a target's model."""
    settings = run.config.training.model_dump(mode="json", exclude=SETTINGS_WITHOUT_EFFECT)
    made_from = digest(data_digest(run), settings, _steps(run, target), run.plan.networks[target])
    return run.marker("train", target, made_from)


def _steps(run: Run, target: str) -> int:
    settings = run.config.training
    return settings.steps if target == MULTILABEL else settings.binary_steps or settings.steps


def _train(run: Run, name: str, marker: Marker, report: Reporter) -> None:
    from pipeline.nn.batches import prefetched
    from pipeline.nn.device import keep_freed_memory, pick_device
    from pipeline.nn.plan import NetworkPlan
    from pipeline.nn.training import Trainer
    from pipeline.steps.samples import target_of

    keep_freed_memory()
    config, target, steps = run.config, target_of(run, name), _steps(run, name)
    plan = NetworkPlan.from_json(run.plan.networks[name])
    trainer = Trainer(plan, target, config.training, steps=steps, seed=config.seed, device=pick_device())
    _resume(run, name, trainer, marker.digest, report)
    metrics, interval_s = report.metrics, 60 * config.training.checkpoint_minutes
    batches, save = metrics.timed("read", _batch_source(run, target)), metrics.timed("write", _save)
    score = _validation(run, target)
    saved = time.monotonic()
    metrics.checkpoint(interval_seconds=interval_s)
    started, first = time.monotonic(), trainer.progress.step
    with stop_requested() as stop:
        for image, labels in metrics.each("queue", prefetched(batches, trainer.progress.step, steps)):
            with metrics.seconds("compute"):
                loss = trainer.step(image, labels)
            metrics.loss(loss)
            metrics.voxels(labels.numel())
            done = trainer.progress.step
            rate = (done - first) / (time.monotonic() - started)
            report.progress(done, steps, f"steps, loss {loss:.3f}, {rate:.1f} steps/s")
            if trainer.validation_due:
                row = metrics.timed("compute", trainer.validate)(score, by=SCORE)
                metrics.f1(row[SCORE], network=name, average="macro")
                report.event("validated", **row)
                report.flush()
                report.say(f"step {done}: validation macro F1 {row[SCORE]:.3f}, loss {row['loss']:.3f}")
            if stop() and done < steps:
                save(run, name, trainer, marker.digest)
                raise Preempted(f"train {name}: asked to stop; step {done} of {steps} is saved, start again to go on")
            if time.monotonic() - saved > interval_s:
                save(run, name, trainer, marker.digest)
                saved = time.monotonic()
                metrics.checkpoint(interval_seconds=interval_s)
    _finish(run, trainer, target, marker)


def _resume(run: Run, name: str, trainer: Trainer, made_from: str, report: Reporter) -> None:
    """Go on from the last state, if it is of this very training. Raises CheckpointError when it is damaged."""
    from pipeline.nn.checkpoint import unpack

    store = run.model_store(name)
    try:
        data = store.read(STATE)
    except FileNotFoundError:
        return
    where = f"{store.url}/{STATE}"
    tensors, facts = unpack(data, where)
    if facts.get("made_from") != made_from:
        report.say("the saved state belongs to another configuration; starting anew")
        return
    trainer.restore(tensors, facts, where)
    report.event("resumed", at_step=trainer.progress.step)
    report.say(f"goes on at step {trainer.progress.step}")


def _save(run: Run, name: str, trainer: Trainer, made_from: str) -> None:
    from pipeline.nn.checkpoint import pack

    tensors, facts = trainer.state()
    run.model_store(name).write(STATE, pack(tensors, {**facts, "made_from": made_from}))


def _batch_source(run: Run, target: Target) -> BatchSource:
    from pipeline.nn.batches import from_pool, on_the_fly
    from pipeline.steps.samples import ON_THE_FLY_CENTRES, classes_to_cover, sample_maker

    config = run.config
    cover, batch_size = classes_to_cover(run, target), config.training.batch_size
    if config.augmentation.source == "on_the_fly":
        maker = sample_maker(run, ON_THE_FLY_CENTRES)
        return on_the_fly(maker, cover=cover, batch_size=batch_size, seed=config.seed)
    refuse_incomplete_pool(run)
    pool = Pool(run)
    return from_pool(pool.reader(), pool.class_voxels(), cover=cover, batch_size=batch_size, seed=config.seed)


def _validation(run: Run, target: Target) -> Callable[[UNet], dict[str, float]]:
    """Scores a network on the validation part, as inference would see it."""
    from pipeline.nn.calibration import macro_f1

    def score(network: UNet) -> dict[str, float]:
        logits_CN, truth_CN = _validation_logits(run, target, network)
        return {SCORE: macro_f1(logits_CN, truth_CN, target)}

    return score


def _validation_logits(run: Run, target: Target, network: UNet) -> tuple[Tensor, Tensor]:
    """Logits and truth of the labelled validation voxels, a row a class."""
    import numpy as np
    import torch

    from pipeline.nn.blockwise import BlockPredictor, predict_blocks
    from pipeline.nn.device import pick_device
    from pipeline.nn.training import autocast_dtype
    from pipeline.steps.samples import normalisation

    device = pick_device()
    fast = autocast_dtype(run.config.training.precision, device) == torch.bfloat16
    predictor = BlockPredictor(network, normalisation(run), device=device, precision="bfloat16" if fast else "float32")
    logits_CN, truth_CN = [], []
    for name, blocks in _validation_blocks(run).items():
        image, truth = run.image(name), run.truth(name)
        for core, logits_CZYX in predict_blocks(predictor, image.read, blocks, image.shape_zyx):
            labels_BZYX = torch.from_numpy(truth.read(core).astype(np.int64))[None]
            truth_BCZYX, labelled_BZYX = target.truth(labels_BZYX)
            logits_CN.append(logits_CZYX.cpu()[:, labelled_BZYX[0]])
            truth_CN.append(truth_BCZYX[0][:, labelled_BZYX[0]])
    return torch.cat(logits_CN, dim=1), torch.cat(truth_CN, dim=1)


def _validation_blocks(run: Run) -> dict[str, list[Block]]:
    """Blocks of the validation part, evenly thinned to what is worth predicting."""
    size = run.plan.block_zyx
    blocks = [
        (capture.name, block)
        for capture in run.plan.captures
        for region in capture.split().validation
        for block in tile(region, size)
    ]
    voxels = sum(block.voxels for _, block in blocks)
    kept = blocks[:: max(1, voxels // VALIDATION_VOXELS)]
    return {name: [block for owner, block in kept if owner == name] for name in dict(kept)}


def _finish(run: Run, trainer: Trainer, target: Target, marker: Marker) -> None:
    """Write the best network, calibrated, then mark the training as done."""
    from pipeline.nn.calibration import best_offsets, shift_logits
    from pipeline.nn.model import Model
    from pipeline.steps.samples import normalisation

    config, plan, store = run.config, run.plan, run.model_store(target.name)
    network = trainer.best_network()
    offsets = [0.0] * len(target.class_ids)
    if config.training.calibrate:
        logits_CN, truth_CN = _validation_logits(run, target, trainer.best_network())
        stride = max(1, logits_CN.shape[1] // CALIBRATION_VOXELS)
        offsets = best_offsets(logits_CN[:, ::stride], truth_CN[:, ::stride], target)
        shift_logits(network, offsets)
    facts = {
        "classes": config.classes.model_dump(mode="json"),
        "voxel_size_nm": plan.captures[0].voxel_size_nm,
        "receptive_field_zyx": plan.receptive_field_zyx,
        "steps": trainer.steps,
        "validation_macro_f1": trainer.progress.best_score,
        "logit_offsets": offsets,
        "made_from": marker.digest,
    }
    model = Model(network, target, normalisation(run), facts)
    weights = model.weights_file()
    marker.clear()
    store.write("model.safetensors", weights)
    # Sorted, since a training that was resumed has its rows from a state whose keys were.
    store.write("history.json", json.dumps(trainer.progress.history, indent=1, sort_keys=True).encode())
    description = model.json_file(weights)
    store.write_json("model.json", description)
    marker.write(weights_sha256=description["weights_sha256"])
    store.delete(STATE)
