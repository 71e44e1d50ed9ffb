"""Train one network: the multilabel one, or a class against the rest.

The state is saved every few minutes and when the process is asked to stop; a training that is started again goes on
from it, bit for bit on the CPU.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import asdict, replace
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

from pipeline.config.settings import settings_of
from pipeline.run.events import Reporter, SilentReporter
from pipeline.run.layout import OPINION, SMALLEST_OBJECTS, Run
from pipeline.run.markers import Marker
from pipeline.run.pool import Pool
from pipeline.run.provenance import model, steps_of
from pipeline.run.ranks import ranks_joined
from pipeline.run.works import is_trained

if TYPE_CHECKING:
    from pipeline.nn.batches import Batch
    from pipeline.nn.targets import Target
    from pipeline.nn.training import Trainer
    from pipeline.nn.unet import UNet
    from pipeline.run.start import Begun
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
        with ranks_joined(run.config.training.devices, partial(_help, run_url, target), report):
            _train(run, target, marker, report)


def _help(run_url: str, target: str) -> None:
    """What the other processes of a training do that several share."""
    run = Run.open(run_url)
    _train(run, target, model(run, target), SilentReporter(run.store, "train", target=target))


def _train(run: Run, name: str, marker: Marker, report: Reporter) -> None:
    from pipeline.nn.device import keep_freed_memory, pick_device
    from pipeline.nn.plan import NetworkPlan
    from pipeline.nn.ranks import rank
    from pipeline.nn.unet_training import TrainingSettings, unet_trainer, untrained
    from pipeline.run.samples import target_of
    from pipeline.run.start import begin
    from pipeline.run.training import TrainedFiles, train_to_the_end

    keep_freed_memory()
    config, target, metrics = run.config, target_of(run, name), report.metrics
    files = TrainedFiles(name, run.model_store(name), marker)
    saved = files.last_state(report)
    batches, shares = _samples(run, target, report)
    network = untrained(NetworkPlan.from_json(run.plan.networks[name]), config.seed)
    begun = begin(run, target, network)
    if begun:
        known, anew = (", ".join(names) or "none" for names in (begun.known, begun.anew))
        report.say(f"learns on from {config.training.start_from}: classes it knows, {known}; new ones, {anew}")
    trainer = unet_trainer(
        network,
        target,
        settings_of(TrainingSettings, config.training),
        shares=shares,
        score=_validation(run, target),
        by=SCORE,
        steps=steps_of(run, name),
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
    if rank() == 0:
        _finish(run, trainer, target, shares, files, begun)


def _samples(run: Run, target: Target, report: Reporter) -> tuple[Callable[[int], Iterator[Batch]], list[float]]:
    """The batches from a step on, out of the pool or made for this training alone, and the share of each class."""
    from pipeline.nn.batches import from_pool, on_the_fly, prefetched
    from pipeline.nn.ranks import share
    from pipeline.nn.sampling import class_shares, inscribed
    from pipeline.run.samples import ON_THE_FLY_CENTRES, classes_to_cover, sample_maker

    config, patch_zyx = run.config, run.plan.patch_zyx
    how: Any = {
        "cover": classes_to_cover(run, target),
        "batch_size": config.training.batch_size,
        "seed": config.seed,
        "share": share(),
    }
    if config.augmentation.source == "on_the_fly":
        maker = sample_maker(run, ON_THE_FLY_CENTRES)
        class_voxels, counted_zyx = maker.candidates.class_voxels, inscribed(patch_zyx)
        source = on_the_fly(maker, **how)
    else:
        pool = Pool(run)
        pool.refuse_incomplete()
        class_voxels, counted_zyx = pool.class_voxels(), patch_zyx
        source = from_pool(pool.reader(), class_voxels, **how)
    untold = [ids for _, ids in target.untold_ids]
    shares = class_shares(class_voxels, prod(counted_zyx), config.classes.exclusive, untold)
    return partial(prefetched, report.metrics.timed("read", source), stop=steps_of(run, target.name)), shares


def _validation(run: Run, target: Target) -> Callable[[UNet], dict[str, float]]:
    """Scores a network on the validation part, as inference would see it."""
    from pipeline.nn.calibration import macro_f1
    from pipeline.run.validation import judged_voxels

    def score(network: UNet) -> dict[str, float]:
        judged = judged_voxels(run, target, network)
        return {SCORE: macro_f1(judged.logits, judged.truth, target, judged.known)}

    return score


def _finish(
    run: Run,
    trainer: Trainer[UNet],
    target: Target,
    shares: list[float],
    files: TrainedFiles,
    begun: Begun | None,
) -> None:
    """Keep the best network, calibrated."""
    from pipeline.nn.calibration import confidence, share_of_prior, shift_logits
    from pipeline.nn.merging import Opinion
    from pipeline.nn.model import Model
    from pipeline.nn.targets import class_prior_logits
    from pipeline.run.samples import normalisation
    from pipeline.run.validation import judged_voxels

    config, plan = run.config, run.plan
    network, prior_C = trainer.best_network(), class_prior_logits(shares, target)
    judged = judged_voxels(run, target, trainer.best_network()).thinned(CALIBRATION_VOXELS)
    share = share_of_prior(judged, prior_C, target) if config.training.calibrate else 0.0
    offsets_C = share * prior_C
    shift_logits(network, target, offsets_C.tolist())
    facts: dict[str, Any] = {
        "classes": config.classes.model_dump(mode="json"),
        "voxel_size_nm": plan.captures[0].voxel_size_nm,
        "receptive_field_zyx": plan.receptive_field_zyx,
        "patch_zyx": plan.patch_zyx,
        "steps": trainer.schedule.steps,
        "validation_macro_f1": trainer.progress.best_score,
        "share_of_prior": share,
        "logit_offsets": offsets_C.tolist(),
        "made_from": files.marker.digest,
        "grey_values": asdict(plan.grey_values) if plan.grey_values else None,
    }
    if run.instances and not target.one_vs_rest:
        from pipeline.run.separation import best_separation

        found = best_separation(run, target, deepcopy(network))
        target = replace(target, core_logits=found.core_logits)
        facts |= {SMALLEST_OBJECTS: found.smallest_nm3, "validation_object_quality": found.quality}
    if begun:
        facts["learnt_on_from"] = asdict(begun)
    trained = Model(network, target, normalisation(run), confidence(judged.shifted(offsets_C), prior_C, target), facts)
    weights = trained.weights_file()
    # Sorted, since a training that was resumed has its rows from a state whose keys were.
    history = json.dumps(trainer.progress.history, indent=1, sort_keys=True, allow_nan=False).encode()
    opinion = Opinion.of(judged.shifted(offsets_C), trained.confidence, prior_C, target)
    files.finish(weights, trained.json_file(weights), {"history.json": history, OPINION: opinion.file()})
