"""Teach the networks of zero-shot super-resolution: each learns from the slices that it is to boost."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import Preempted
from pipeline.steps.boosting.apply import refuse_missing_coarse
from pipeline.steps.boosting.blur import Blur, as_kernel, weights_of
from pipeline.steps.boosting.layout import ZSSR, boosting_plan, refuse_other_methods
from pipeline.steps.boosting.lessons import Task, earlier_tasks, learnt_upscaler, lesson_of, pool_of, tasks
from pipeline.steps.run import Run
from pipeline.steps.stopping import stop_requested
from pipeline.telemetry import Reporter

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.nn.zssr.training import ZssrTrainer

STATE = "last/state.safetensors"


def train(run_url: str) -> int:
    """Train every network that is not done yet; returns how many. Raises Preempted when asked to stop."""
    run = Run.open(run_url)
    refuse_other_methods(run, ZSSR)
    refuse_missing_coarse(run)
    with run.reporter("boost-train") as report:
        todo = [task for task in tasks(run) if not task.marker.done]
        report.say(f"{len(todo)} networks to train" if todo else "is done")
        for task in todo:
            _train(run, task, report)
        return len(todo)


def _train(run: Run, task: Task, report: Reporter) -> None:
    import torch

    from pipeline.nn.device import keep_freed_memory, pick_device
    from pipeline.nn.training import autocast_dtype

    keep_freed_memory()
    metrics = report.metrics
    pool = metrics.timed("read", pool_of)(run, task)
    low, high = _range(pool)
    blur = _blur(run, task, pool, report)
    device = pick_device()
    images = [torch.from_numpy(tile) for tile in (pool - low) / (high - low)]
    images += _earlier_results(run, task, pool, low, high)
    trainer = lesson_of(run, task, as_kernel(blur)).trainer(
        images, device=device, precision=autocast_dtype("auto", device)
    )
    _resume(task, trainer, report)
    most, interval_s = run.config.boosting.zssr.most_steps, 60 * run.config.training.checkpoint_minutes
    saved = time.monotonic()
    metrics.checkpoint(interval_seconds=interval_s)
    with stop_requested() as stop:
        while not trainer.progress.ended:
            with metrics.seconds("compute"):
                metrics.loss(trainer.step())
            report.progress(trainer.progress.step, most, f"steps at most, {task.name}{_error(trainer)}")
            if stop() and not trainer.progress.ended:
                _save(task, trainer)
                raise Preempted(f"boost train {task.name}: asked to stop; step {trainer.progress.step} is saved")
            if time.monotonic() - saved > interval_s:
                _save(task, trainer)
                saved = time.monotonic()
                metrics.checkpoint(interval_seconds=interval_s)
    _finish(task, trainer, blur, (low, high))
    report.event("learnt", network=task.name, steps=trainer.progress.step, error=trainer.progress.history[-1:])


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


def _earlier_results(run: Run, task: Task, pool: NDArray[np.float32], low: float, high: float) -> list[Tensor]:
    """What the networks at smaller factors make of the pool."""
    import torch

    from pipeline.nn.zssr.lesson import enlarged

    results = []
    for earlier in earlier_tasks(run, task):
        upscaler = learnt_upscaler(run, earlier)
        scaling = upscaler.upsampling.scaling
        results += [(enlarged(torch.from_numpy(tile), upscaler, scaling) - low) / (high - low) for tile in pool]
    return results


def _error(trainer: ZssrTrainer) -> str:
    history = trainer.progress.history
    return f", error {history[-1]['error']:.4f}" if history else ""


def _resume(task: Task, trainer: ZssrTrainer, report: Reporter) -> None:
    """Go on from the last state, if it is of this very lesson. Raises CheckpointError when it is damaged."""
    from pipeline.nn.checkpoint import unpack

    try:
        data = task.store.read(STATE)
    except FileNotFoundError:
        return
    where = f"{task.store.url}/{STATE}"
    tensors, facts = unpack(data, where)
    if facts.get("made_from") == task.marker.digest:
        trainer.restore(tensors, facts, where)
        report.say(f"{task.name} goes on at step {trainer.progress.step}")


def _save(task: Task, trainer: ZssrTrainer) -> None:
    from pipeline.nn.checkpoint import pack

    tensors, facts = trainer.state()
    task.store.write(STATE, pack(tensors, {**facts, "made_from": task.marker.digest}))


def _finish(task: Task, trainer: ZssrTrainer, blur: Blur, intensities: tuple[float, float]) -> None:
    """Write the network, then mark the lesson as learnt."""
    from pipeline.nn.checkpoint import pack

    network = trainer.network()
    weights = pack(dict(network.state_dict()), {})
    sha256 = hashlib.sha256(weights).hexdigest()
    task.marker.clear()
    task.store.write("model.safetensors", weights)
    task.store.write_json(
        "model.json",
        {
            "network": network.plan.to_json(),
            "factor": task.factor,
            "kernel": blur,
            "low": intensities[0],
            "high": intensities[1],
            "slices": task.slices,
            "steps": trainer.progress.step,
            "history": trainer.progress.history,
            "weights_sha256": sha256,
        },
    )
    task.marker.write(weights_sha256=sha256)
    task.store.delete(STATE)
