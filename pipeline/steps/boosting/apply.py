"""Boost the coarse images by one method, shard by shard: worker i of n takes every n-th shard and skips what is done.

A shard is computed slice by slice, each with the halo that makes it the same piece of the whole boosted slice, and
written whole by one worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.nn.zssr.grids import Span
from pipeline.nn.zssr.methods import METHODS
from pipeline.run.events import Reporter
from pipeline.run.layout import Run
from pipeline.run.plan import CapturePlan
from pipeline.run.provenance import boosted, last_tasks, refuse_missing_coarse
from pipeline.run.shards import Write, fill, write_shard
from pipeline.run.superresolution import learnt_upscaler
from pipeline.run.works import ShardWork, coarse_variant, refuse_other_methods, scaling
from pipeline.volume.geometry import Block
from pipeline.volume.omezarr import Volume
from pipeline.volume.resampling import as_stored

if TYPE_CHECKING:
    from pipeline.nn.zssr.upscalers import Upscaler


def apply(run_url: str, *, method: str, worker: int = 0, workers: int = 1) -> int:
    """Boost this worker's shards of every capture; those that are done are left alone.

    Returns the number of shards that were boosted. Raises Preempted when asked to stop.
    """
    run = Run.open(run_url)
    refuse_other_methods(run, method)
    refuse_missing_coarse(run)
    with run.reporter("boost-apply", target=method, worker=worker) as report:
        mine = boosted(run, method)[worker::workers]
        return fill(mine, partial(_computed, run, method, report), report, f"boost apply {method}")


def _computed(run: Run, method: str, report: Reporter, todo: Sequence[ShardWork]) -> Iterator[Write]:
    from pipeline.nn.device import keep_freed_memory

    keep_freed_memory()
    upscaler_of = _upscalers(run, method)
    for work in todo:
        coarse, fine = run.variant(coarse_variant(run), work.capture.name), run.variant(method, work.capture.name)
        values = np.zeros(work.shard.shape_zyx, fine.dtype)
        for part in work.parts:
            with report.metrics.seconds("compute"):
                values[work.inside(part)] = _boosted(coarse, fine, part, partial(upscaler_of, work.capture))
            report.metrics.voxels(part.voxels)
        yield partial(write_shard, fine, work, values)


def _upscalers(run: Run, method: str) -> Callable[[CapturePlan, int], Upscaler]:
    """What boosts a slice of a capture."""
    if not METHODS[method].learns:
        upscaler = METHODS[method].upscaler(scaling(run))
        return lambda _capture, _z: upscaler
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
