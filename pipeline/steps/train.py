"""Train one network: the multilabel one, or a class against the rest.

The state is saved every few minutes and when the process is asked to stop; a training that is started again goes on
from it, bit for bit on the CPU.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from math import prod
from typing import TYPE_CHECKING

from pipeline.config.settings import settings_of
from pipeline.run.events import Reporter
from pipeline.run.layout import Run
from pipeline.run.markers import Marker
from pipeline.run.plan import VALIDATION_VOXELS
from pipeline.run.pool import Pool
from pipeline.run.provenance import model, steps_of
from pipeline.run.works import is_trained
from pipeline.volume.geometry import Block, tile

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.nn.batches import Batch
    from pipeline.nn.targets import Target
    from pipeline.nn.training import Trainer
    from pipeline.nn.unet import UNet
    from pipeline.run.training import TrainedFiles

SCORE = "validation_macro_f1"
CALIBRATION_VOXELS = 1_000_000


def train(run_url: str, *, target: str) -> None:
    """Train the network of a target, unless it is done. Raises Preempted when asked to stop."""
    run = Run.open(run_url)
    run.refuse_without_labels()
    run.refuse_other_targets(target)
    with run.reporter("train", target=target) as report:
        marker = model(run, target)
        if is_trained(run.model_store(target), marker):
            report.say("is done")
            return
        _train(run, target, marker, report)


def _train(run: Run, name: str, marker: Marker, report: Reporter) -> None:
    from pipeline.nn.device import keep_freed_memory, pick_device
    from pipeline.nn.plan import NetworkPlan
    from pipeline.nn.unet_training import TrainingSettings, unet_trainer
    from pipeline.run.samples import target_of
    from pipeline.run.training import TrainedFiles, train_to_the_end

    keep_freed_memory()
    config, target, metrics = run.config, target_of(run, name), report.metrics
    files = TrainedFiles(name, run.model_store(name), marker)
    saved = files.last_state(report)
    batches, shares = _samples(run, target, report)
    trainer = unet_trainer(
        NetworkPlan.from_json(run.plan.networks[name]),
        target,
        settings_of(TrainingSettings, config.training),
        shares=shares,
        score=_validation(run, target),
        by=SCORE,
        steps=steps_of(run, name),
        seed=config.seed,
        device=pick_device(),
    )

    def judged(row: dict[str, float]) -> None:
        metrics.f1(row[SCORE], network=name, average="macro")
        report.event("validated", **row)
        report.flush()
        report.say(f"step {row['step']}: validation macro F1 {row[SCORE]:.3f}, loss {row['loss']:.3f}")

    train_to_the_end(
        trainer,
        batches,
        files,
        report,
        saved=saved,
        checkpoint_s=60 * config.training.checkpoint_minutes,
        progress=lambda loss, rate: f"steps, loss {loss:.3f}, {rate:.1f} steps/s",
        judged=judged,
    )
    _finish(run, trainer, target, files)


def _samples(run: Run, target: Target, report: Reporter) -> tuple[Callable[[int], Iterator[Batch]], list[float]]:
    """The batches from a step on, out of the pool or made for this training alone, and the share of each class."""
    from pipeline.nn.batches import from_pool, on_the_fly, prefetched
    from pipeline.nn.sampling import class_shares, inscribed
    from pipeline.run.samples import ON_THE_FLY_CENTRES, classes_to_cover, sample_maker

    config, patch_zyx = run.config, run.plan.patch_zyx
    cover, batch_size = classes_to_cover(run, target), config.training.batch_size
    if config.augmentation.source == "on_the_fly":
        maker = sample_maker(run, ON_THE_FLY_CENTRES)
        class_voxels, counted_zyx = maker.candidates.class_voxels, inscribed(patch_zyx)
        source = on_the_fly(maker, cover=cover, batch_size=batch_size, seed=config.seed)
    else:
        pool = Pool(run)
        pool.refuse_incomplete()
        class_voxels, counted_zyx = pool.class_voxels(), patch_zyx
        source = from_pool(pool.reader(), class_voxels, cover=cover, batch_size=batch_size, seed=config.seed)
    shares = class_shares(class_voxels, prod(counted_zyx), config.classes.exclusive)
    return partial(prefetched, report.metrics.timed("read", source), stop=steps_of(run, target.name)), shares


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
    from pipeline.run.samples import normalisation

    device = pick_device()
    fast = autocast_dtype(run.config.training.precision, device) == torch.bfloat16
    predictor = BlockPredictor(network, normalisation(run), device=device, precision="bfloat16" if fast else "float32")
    logits_CN, truth_CN = [], []
    for name, blocks in _validation_blocks(run).items():
        capture, truth = run.plan.capture(name), run.truth(name)
        for core, logits_CZYX in predict_blocks(predictor, run.read_seen(capture), blocks, capture.shape_zyx):
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


def _finish(run: Run, trainer: Trainer[UNet], target: Target, files: TrainedFiles) -> None:
    """Keep the best network, calibrated."""
    from pipeline.nn.calibration import best_offsets, shift_logits
    from pipeline.nn.model import Model
    from pipeline.run.samples import normalisation

    config, plan = run.config, run.plan
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
        "steps": trainer.schedule.steps,
        "validation_macro_f1": trainer.progress.best_score,
        "logit_offsets": offsets,
        "made_from": files.marker.digest,
        "grey_values": asdict(plan.grey_values) if plan.grey_values else None,
    }
    trained = Model(network, target, normalisation(run), facts)
    weights = trained.weights_file()
    # Sorted, since a training that was resumed has its rows from a state whose keys were.
    history = json.dumps(trainer.progress.history, indent=1, sort_keys=True, allow_nan=False).encode()
    files.finish(weights, trained.json_file(weights), history=history)
