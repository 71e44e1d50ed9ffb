"""Record the test part of each capture anew, with coarser pixels in x and y; z is untouched."""

from __future__ import annotations

from pipeline.errors import Preempted, RunConflictError
from pipeline.steps.boosting.blur import as_kernel
from pipeline.steps.boosting.layout import (
    DOWNSAMPLED,
    ShardWork,
    boosting_plan,
    scaling,
    shard_works,
    slices_of,
)
from pipeline.steps.digest import digest
from pipeline.steps.run import Run
from pipeline.steps.runplan import CapturePlan
from pipeline.steps.stopping import stop_requested
from pipeline.volume.geometry import Block
from pipeline.volume.graylevels import as_stored


def degrade(run_url: str) -> int:
    """Downsample whole slices, as many as the test part and its surroundings have; what is done is left alone.

    Returns the number of shards that were written. Raises Preempted when asked to stop.
    """
    run = Run.open(run_url)
    if not boosting_plan(run).downsampled:
        raise RunConflictError(f"{run.store.url} boosts a volume as it is; there is nothing to make coarse first")
    with run.reporter("degrade") as report:
        works = degraded_works(run)
        todo = [work for work in works if not work.marker.done]
        report.say(f"{len(works) - len(todo)} of {len(works)} shards are done")
        with stop_requested() as stop:
            for number, work in enumerate(todo):
                with report.metrics.seconds("compute"):
                    _downsample(run, work)
                report.metrics.voxels(work.shard.voxels)
                report.progress(number + 1, len(todo), "shards")
                if stop() and number + 1 < len(todo):
                    raise Preempted(f"degrade: asked to stop after {number + 1} of {len(todo)} shards")
        return len(todo)


def degraded_works(run: Run) -> list[ShardWork]:
    """All shards of the coarse images that hold slices which are wanted."""
    works: list[ShardWork] = []
    for capture in run.plan.captures:
        slices = slices_of(run, capture)
        _, y, x = run.variant(DOWNSAMPLED, capture.name).shape_zyx
        wanted = tuple(Block((z, 0, 0), (z + 1, y, x)) for z in slices)
        works.extend(shard_works(run, DOWNSAMPLED, capture, wanted, coarse_digest(run, capture)))
    return works


def coarse_digest(run: Run, capture: CapturePlan) -> str:
    """Of all that the coarse image of a capture depends on."""
    plan = boosting_plan(run)
    if not plan.downsampled:
        return digest(capture.digest)
    return digest(capture.digest, plan.factor, plan.kernel, slices_of(run, capture))


def _downsample(run: Run, work: ShardWork) -> None:
    import numpy as np
    import torch

    from pipeline.nn.zssr.grids import Span
    from pipeline.nn.zssr.resampling import Downsampling

    downsampling = Downsampling(scaling(run), as_kernel(boosting_plan(run).kernel))
    native, coarse = run.image(work.capture.name), run.variant(DOWNSAMPLED, work.capture.name)
    lengths = zip(work.shard.start_zyx[1:], work.shard.stop_zyx[1:], coarse.shape_zyx[1:], strict=True)
    rows, columns = (Span(*ends) for ends in lengths)
    fine = tuple(
        downsampling.scaling.fine_under(span, length, downsampling.reach)
        for span, length in zip((rows, columns), native.shape_zyx[1:], strict=True)
    )
    result = np.zeros(work.shard.shape_zyx, coarse.dtype)
    for part in work.parts:
        z = part.start_zyx[0]
        image = native.read(Block((z, fine[0].start, fine[1].start), (z + 1, fine[0].stop, fine[1].stop)))
        coarse_NYX = downsampling(torch.from_numpy(image.astype(np.float32)), (fine[0], fine[1]), (rows, columns))
        result[z - work.shard.start_zyx[0]] = as_stored(coarse_NYX[0].numpy(), coarse.dtype)
    work.marker.clear()
    coarse.write(work.shard, result)
    work.marker.write()
