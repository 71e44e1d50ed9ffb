"""Fill the pool of augmented samples that all trainings share: worker i of n writes every n-th shard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.metrics import StepMetrics
from pipeline.steps.digest import Marker
from pipeline.steps.pool import Pool, shard_marker
from pipeline.steps.run import Run
from pipeline.telemetry import Reporter

if TYPE_CHECKING:
    from pipeline.nn.batches import Batch, SampleMaker


def augment(run_url: str, *, worker: int = 0, workers: int = 1) -> int:
    """Write this worker's shards of the pool; those that are done are left alone.

    Returns the number of shards that were written.
    """
    run = Run.open(run_url)
    run.refuse_without_labels()
    with run.reporter("augment", worker=worker) as report:
        if run.config.augmentation.source == "on_the_fly":
            report.say("samples are made on the fly; no pool is needed")
            return 0
        pool = Pool(run)
        mine = list(enumerate(pool.shards))[worker::workers]
        todo = [(samples, marker) for index, samples in mine if not (marker := shard_marker(run, index)).done]
        report.say(f"{len(mine) - len(todo)} of {len(mine)} shards are done")
        if todo:
            _write_shards(run, pool, todo, report)
        return len(todo)


def _write_shards(run: Run, pool: Pool, todo: list[tuple[range, Marker]], report: Reporter) -> None:
    from pipeline.nn.sampling import class_counts
    from pipeline.steps.samples import sample_maker

    classes, metrics = run.config.classes, report.metrics
    maker = metrics.timed("read", sample_maker)(run, run.config.augmentation.pool_samples)
    for done, (samples, marker) in enumerate(todo):
        report.progress(done, len(todo), "shards")
        batches = [_make(maker, index, metrics) for index in samples]
        with metrics.seconds("compute"):
            labels = np.concatenate([labels.numpy() for _, labels in batches])
            images = np.concatenate([image[:, 0].numpy() for image, _ in batches])
            voxels = np.stack([class_counts(label, len(classes.members), classes.exclusive) for label in labels])
        with metrics.seconds("write"):
            marker.clear()
            pool.write(samples, images, labels, voxels)
            marker.write(samples=len(samples))
    report.progress(len(todo), len(todo), "shards")


def _make(maker: SampleMaker, index: int, metrics: StepMetrics) -> Batch:
    """A batch of one sample."""
    with metrics.seconds("compute"):
        image_BCZYX, labels_BZYX = maker.make([index], [index])
    metrics.voxels(labels_BZYX.numel())
    return image_BCZYX, labels_BZYX
