"""Boost the coarse images by one method, shard by shard: worker i of n takes every n-th shard and skips what is done.

A shard is computed slice by slice, each with the halo that makes it the same piece of the whole boosted slice, and
written whole by one worker.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config import BoostMethod
from pipeline.errors import Preempted, RunConflictError
from pipeline.nn.zssr.grids import Span
from pipeline.steps.boosting.degrade import coarse_digest, degraded_works
from pipeline.steps.boosting.layout import (
    ZSSR,
    ShardWork,
    boosting_plan,
    coarse_variant,
    refuse_other_methods,
    regions,
    scaling,
    shard_works,
)
from pipeline.steps.boosting.lessons import last_tasks, learnt_digest, learnt_upscaler
from pipeline.steps.digest import digest
from pipeline.steps.run import Run
from pipeline.steps.runplan import CapturePlan
from pipeline.steps.stopping import stop_requested
from pipeline.telemetry import Reporter
from pipeline.volume.geometry import Block
from pipeline.volume.graylevels import as_stored
from pipeline.volume.omezarr import Volume

if TYPE_CHECKING:
    from pipeline.nn.zssr.upscalers import Upscaler


def apply(run_url: str, *, method: BoostMethod, worker: int = 0, workers: int = 1) -> int:
    """Boost this worker's shards of every capture; those that are done are left alone.

    Returns the number of shards that were boosted. Raises Preempted when asked to stop.
    """
    run = Run.open(run_url)
    refuse_other_methods(run, method)
    refuse_missing_coarse(run)
    with run.reporter("boost-apply", target=method, worker=worker) as report:
        mine = boosted_works(run, method)[worker::workers]
        todo = [work for work in mine if not work.marker.done]
        report.say(f"{len(mine) - len(todo)} of {len(mine)} shards are done")
        if todo:
            _boost(run, method, todo, report)
        return len(todo)


def refuse_missing_coarse(run: Run) -> None:
    """Raise RunConflictError when the coarse images are not made yet."""
    if boosting_plan(run).downsampled and not all(work.marker.done for work in degraded_works(run)):
        raise RunConflictError(
            f"the coarse images in {run.store.url} are not complete; run `vemseg boost degrade --run ...` first"
        )


def boosted_works(run: Run, method: str) -> list[ShardWork]:
    """All shards that a method fills, in the order in which workers share them out."""
    return [
        work
        for capture in run.plan.captures
        for work in shard_works(run, method, capture, regions(run, capture), boosted_digest(run, method, capture))
    ]


def boosted_digest(run: Run, method: str, capture: CapturePlan) -> str:
    """Of all that a boosted capture depends on. Raises RunConflictError while a network for it is missing."""
    plan = boosting_plan(run)
    coarse = coarse_digest(run, capture)
    wanted = [(block.start_zyx, block.stop_zyx) for block in regions(run, capture)]
    if method != ZSSR:
        return digest(coarse, plan.factor, method, wanted)
    settings = run.config.boosting.zssr
    use = (settings.self_ensemble, settings.back_projections, settings.precision)
    return digest(coarse, plan.factor, method, wanted, use, [learnt_digest(task) for task in last_tasks(run, capture)])


def _boost(run: Run, method: BoostMethod, todo: list[ShardWork], report: Reporter) -> None:
    from pipeline.nn.device import keep_freed_memory

    keep_freed_memory()
    upscaler_of = _upscalers(run, method)
    metrics = report.metrics
    with stop_requested() as stop:
        for number, work in enumerate(todo):
            coarse, fine = run.variant(coarse_variant(run), work.capture.name), run.variant(method, work.capture.name)
            values = np.zeros(work.shard.shape_zyx, fine.dtype)
            for part in work.parts:
                inside = part.shift([-edge for edge in work.shard.start_zyx]).slices
                with metrics.seconds("compute"):
                    values[inside] = _boosted(coarse, fine, part, partial(upscaler_of, work.capture))
                metrics.voxels(part.voxels)
            work.marker.clear()
            metrics.timed("write", fine.write)(work.shard, values)
            work.marker.write()
            report.progress(number + 1, len(todo), "shards")
            if stop() and number + 1 < len(todo):
                raise Preempted(f"boost apply {method}: asked to stop after {number + 1} of {len(todo)} shards")


def _upscalers(run: Run, method: BoostMethod) -> Callable[[CapturePlan, int], Upscaler]:
    """What boosts a slice of a capture; another method is one more case here."""
    from pipeline.nn.zssr.resampling import Upsampling
    from pipeline.nn.zssr.upscalers import Interpolator

    if method != "zssr":
        interpolator = Interpolator(Upsampling(scaling(run), method))
        return lambda _capture, _z: interpolator
    tasks = [task for capture in run.plan.captures for task in last_tasks(run, capture)]
    number_of = {(task.capture.name, z): number for number, task in enumerate(tasks) for z in task.slices}
    learnt = cache(lambda number: learnt_upscaler(run, tasks[number]))
    return lambda capture, z: learnt(number_of[capture.name, z])


def _boosted(coarse: Volume, fine: Volume, part: Block, upscaler_of: Callable[[int], Upscaler]) -> NDArray[Any]:
    """A part of the boosted volume, slice by slice."""
    import torch

    coarse_y, coarse_x = coarse.shape_zyx[1:]
    ends = zip(part.start_zyx[1:], part.stop_zyx[1:], fine.shape_zyx[1:], strict=True)
    rows, columns = (Span(*end) for end in ends)
    planes = []
    for z in range(part.start_zyx[0], part.stop_zyx[0]):
        upscaler = upscaler_of(z)
        window = upscaler.coarse_window((rows, columns), (coarse_y, coarse_x))
        given = coarse.read(Block((z, window[0].start, window[1].start), (z + 1, window[0].stop, window[1].stop)))
        boosted_NYX = upscaler(torch.from_numpy(given.astype(np.float32)), window, (rows, columns))
        planes.append(as_stored(boosted_NYX[0].numpy(), fine.dtype))
    return np.stack(planes)
