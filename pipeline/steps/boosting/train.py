"""Teach the networks of zero-shot super-resolution: each learns from the slices that it is to boost."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.nn.zssr.kernel import Blur, as_kernel, weights_of
from pipeline.run.events import Reporter
from pipeline.run.layout import Run
from pipeline.run.provenance import earlier_tasks, refuse_missing_coarse, tasks
from pipeline.run.superresolution import learnt_upscaler, pool_of, super_resolution
from pipeline.run.works import Task, boosting_plan, is_trained, refuse_without_learning

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.nn.zssr.upscalers import Usage


def train(run_url: str) -> int:
    """Train every network that is not done yet; returns how many. Raises Preempted when asked to stop."""
    run = Run.open(run_url)
    refuse_without_learning(run)
    refuse_missing_coarse(run)
    with run.reporter("boost-train") as report:
        todo = [task for task in tasks(run) if not is_trained(task.store, task.marker)]
        report.say(f"{len(todo)} networks to train" if todo else "is done")
        for task in todo:
            _train(run, task, report)
        return len(todo)


def _train(run: Run, task: Task, report: Reporter) -> None:
    import torch

    from pipeline.nn.checkpoint import pack
    from pipeline.nn.device import keep_freed_memory, pick_device
    from pipeline.nn.training import autocast_dtype
    from pipeline.nn.zssr.examples import without_padding
    from pipeline.run.training import TrainedFiles, train_to_the_end

    keep_freed_memory()
    files = TrainedFiles(task.name, task.store, task.marker)
    saved = files.last_state(report)
    pool = report.metrics.timed("read", pool_of)(run, task)
    low, high = _range(pool)
    blur = _blur(run, task, pool, report)
    how = super_resolution(run, task, as_kernel(blur))
    tiles = [without_padding(torch.from_numpy(tile), how.settings.patch) for tile in pool]
    device = pick_device()
    images = [(tile - low) / (high - low) for tile in tiles]
    examples = how.examples(images, _earlier_results(run, task, tiles, low, high))
    trainer = how.trainer(examples, device=device, precision=autocast_dtype("auto", device))
    train_to_the_end(
        trainer,
        partial(how.batches, examples),
        files,
        report,
        saved=saved,
        checkpoint_s=60 * run.config.training.checkpoint_minutes,
        progress=lambda loss, _: f"steps at most, {task.name}, error {loss:.4f}",
    )
    network, history = trainer.best_network(), trainer.progress.history
    usage = how.best_usage(network, examples, device=device)
    network = network.cpu()
    weights = pack(dict(network.state_dict()), {})
    description = {
        "network": network.plan.to_json(),
        "factor": task.factor,
        "kernel": blur,
        "low": low,
        "high": high,
        "slices": task.slices,
        "steps": trainer.progress.step,
        "history": history,
        "noise": examples.noise,
        "usage": asdict(usage),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    files.finish(weights, description)
    report.say(f"{task.name}: {_said(usage)}")
    report.event("learnt", network=task.name, steps=trainer.progress.step, error=history[-1:], **asdict(usage))


def _said(usage: Usage) -> str:
    if not usage.share:
        return "what was held out is rebuilt no better than by bicubic interpolation, which is what will be used"
    correction = "corrected to agree with the coarse slices" if usage.back_projections else "not corrected, for noise"
    return f"{usage.share:.0%} of the way from bicubic interpolation to the network's result, {correction}"


def _range(pool: NDArray[np.float32]) -> tuple[float, float]:
    """Intensities that the network knows as 0 and 1; constant slices have no range of their own."""
    low, high = float(pool.min()), float(pool.max())
    return (low, high) if high > low else (low, low + 1.0)


def _blur(run: Run, task: Task, pool: NDArray[np.float32], report: Reporter) -> Blur:
    """The kernel to learn with; estimated from the slices where that is asked for."""
    from pipeline.nn.zssr.kernel_estimation import estimate_kernel

    planned = boosting_plan(run).learnt_kernel
    if planned != "estimated":
        return planned
    kernel = estimate_kernel(pool, task.factor)
    sigmas = np.sqrt(np.linalg.eigvalsh(kernel.covariance_yx))
    report.say(f"{task.name}: estimated kernel of {sigmas[0]:.2f} to {sigmas[1]:.2f} fine pixels (standard deviation)")
    return weights_of(kernel)


def _earlier_results(run: Run, task: Task, tiles: list[Tensor], low: float, high: float) -> list[Tensor]:
    """What the networks at smaller factors make of the tiles."""
    from pipeline.nn.zssr.superresolution import enlarged

    results = []
    for earlier in earlier_tasks(run, task):
        upscaler = learnt_upscaler(run, earlier)
        scaling = upscaler.upsampling.scaling
        results += [(enlarged(tile, upscaler, scaling) - low) / (high - low) for tile in tiles]
    return results
