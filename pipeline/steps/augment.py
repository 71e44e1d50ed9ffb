"""Fill the pool of augmented samples that all trainings share: worker i of n writes every n-th shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.run.events import Reporter
from pipeline.run.layout import Run
from pipeline.run.metrics import StepMetrics
from pipeline.run.pool import Pool, PoolShard
from pipeline.run.shards import Write, fill

if TYPE_CHECKING:
    from pipeline.nn.batches import Batch, SampleMaker


def augment(run_url: str, *, worker: int = 0, workers: int = 1) -> int:
    """Write this worker's shards of the pool; those that are done are left alone.

    Returns the number of shards that were written. Raises Preempted when asked to stop.
    """
    run = Run.open(run_url)
    run.refuse_without_labels()
    with run.reporter("augment", worker=worker) as report:
        if run.config.augmentation.source == "on_the_fly":
            report.say("samples are made on the fly; no pool is needed")
            return 0
        pool = Pool(run)
        return fill(pool.shards[worker::workers], partial(_filled, run, pool, report), report, "augment")


def _filled(run: Run, pool: Pool, report: Reporter, todo: Sequence[PoolShard]) -> Iterator[Write]:
    from pipeline.nn.sampling import class_counts
    from pipeline.run.samples import sample_maker

    config, metrics = run.config, report.metrics
    maker = metrics.timed("read", sample_maker)(run, config.augmentation.pool_samples)
    for shard in todo:
        batches = [_make(maker, index, metrics) for index in shard.samples]
        with metrics.seconds("compute"):
            labels = np.concatenate([labels.numpy() for _, labels in batches])
            images = np.concatenate([image[:, 0].numpy() for image, _ in batches])
            voxels = np.stack([class_counts(label, config.counted_ids, config.classes.exclusive) for label in labels])
        yield partial(_write, pool, shard, images, labels, voxels)


def _write(pool: Pool, shard: PoolShard, *arrays: Any) -> dict[str, Any]:
    pool.write(shard.samples, *arrays)
    return {"samples": len(shard.samples)}


def _make(maker: SampleMaker, index: int, metrics: StepMetrics) -> Batch:
    """A batch of one sample."""
    with metrics.seconds("compute"):
        image_BCZYX, labels_BZYX = maker.make([index], [index])
    metrics.voxels(labels_BZYX.numel())
    return image_BCZYX, labels_BZYX
