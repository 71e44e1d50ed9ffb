"""Record the test part of each capture anew, with coarser pixels in x and y; z is untouched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from pipeline.errors import RunConflictError
from pipeline.nn.zssr.kernel import as_kernel
from pipeline.run.events import Reporter
from pipeline.run.layout import Run
from pipeline.run.provenance import coarse
from pipeline.run.shards import Write, fill, write_shard
from pipeline.run.works import DOWNSAMPLED, ShardWork, boosting_plan, scaling
from pipeline.volume.geometry import Block
from pipeline.volume.resampling import as_stored


def degrade(run_url: str) -> int:
    """Downsample whole slices, as many as the test part and its surroundings have; what is done is left alone.

    Returns the number of shards that were written. Raises Preempted when asked to stop.
    """
    run = Run.open(run_url)
    if not boosting_plan(run).downsampled:
        raise RunConflictError(f"{run.store.url} boosts a volume as it is; there is nothing to make coarse first")
    with run.reporter("degrade") as report:
        return fill(coarse(run), partial(_downsampled, run, report), report, "degrade")


def _downsampled(run: Run, report: Reporter, todo: Sequence[ShardWork]) -> Iterator[Write]:
    import numpy as np
    import torch

    from pipeline.nn.zssr.grids import Span
    from pipeline.nn.zssr.resampling import Downsampling

    downsampling = Downsampling(scaling(run), as_kernel(boosting_plan(run).kernel))
    for work in todo:
        native, coarse = run.image(work.capture.name), run.variant(DOWNSAMPLED, work.capture.name)
        lengths = zip(work.shard.start_zyx[1:], work.shard.stop_zyx[1:], coarse.shape_zyx[1:], strict=True)
        rows, columns = (Span(*ends) for ends in lengths)
        fine = tuple(
            downsampling.scaling.fine_under(span, length, downsampling.reach)
            for span, length in zip((rows, columns), native.shape_zyx[1:], strict=True)
        )
        result = np.zeros(work.shard.shape_zyx, coarse.dtype)
        with report.metrics.seconds("compute"):
            for part in work.parts:
                z = part.start_zyx[0]
                image = native.read(Block((z, fine[0].start, fine[1].start), (z + 1, fine[0].stop, fine[1].stop)))
                given = torch.from_numpy(image.astype(np.float32))
                coarse_NYX = downsampling(given, (fine[0], fine[1]), (rows, columns))
                result[z - work.shard.start_zyx[0]] = as_stored(coarse_NYX[0].numpy(), coarse.dtype)
        report.metrics.voxels(work.shard.voxels)
        yield partial(write_shard, coarse, work, result)
