"""Cost of loading: training on real batches beside training on one batch that is in memory already.

The demo's network and batches, from a pool on disk and made on the fly, each prefetched as the train step does it. The
pool may cost at most 1.05. Both processor time (all that loading costs) and wall time (what a training with a second
core sees of it) are printed: medians over repetitions of a few steps each, interleaved.

    make bench-setup && .venv/bin/python -m tests.bench.bench_loading
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from math import prod
from pathlib import Path

import numpy as np
import tifffile
import torch

from pipeline.config.examples import example_text
from pipeline.config.model import MULTILABEL
from pipeline.config.settings import settings_of
from pipeline.nn.batches import Batch, BatchSource, from_pool, on_the_fly, prefetched
from pipeline.nn.device import keep_freed_memory
from pipeline.nn.plan import NetworkPlan
from pipeline.nn.sampling import class_shares
from pipeline.nn.training import Trainer
from pipeline.nn.unet import UNet
from pipeline.nn.unet_training import TrainingSettings, unet_trainer, untrained
from pipeline.run.layout import Run
from pipeline.run.pool import Pool
from pipeline.run.samples import ON_THE_FLY_CENTRES, classes_to_cover, sample_maker, target_of
from pipeline.steps.augment import augment
from pipeline.steps.plan import plan
from tests.bench.table import Row, options, show

SHAPE = (25, 200, 500)
STEPS = 4
"""In one repetition."""


def make_run(folder: Path) -> Run:
    """The demo's run on noise, with its pool."""
    rng = np.random.default_rng(0)
    tifffile.imwrite(folder / "raw.tif", rng.integers(0, 256, SHAPE, dtype=np.uint8))
    tifffile.imwrite(folder / "labels.tif", rng.integers(1, 9, SHAPE, dtype=np.uint8))
    text = example_text("demo").replace("labels: labels.tif", "labels: labels.tif\n      voxel_size_nm: [10, 5, 5]")
    (folder / "study.yaml").write_text(text.replace("pool_samples: 128", "pool_samples: 32"), encoding="utf-8")
    url = str(folder / "run")
    plan(str(folder / "study.yaml"), url)
    augment(url)
    return Run.open(url)


def sources(run: Run) -> dict[str, BatchSource]:
    """Where batches come from; the first one costs nothing."""
    config, pool = run.config, Pool(run)
    settings = {
        "cover": classes_to_cover(run, target_of(run, MULTILABEL)),
        "batch_size": config.training.batch_size,
        "seed": config.seed,
    }
    pooled = from_pool(pool.reader(), pool.class_voxels(), **settings)
    present = pooled(0)
    return {
        "memory": lambda _step: present,
        "pool": pooled,
        "on the fly": on_the_fly(sample_maker(run, ON_THE_FLY_CENTRES), **settings),
    }


def train(trainer: Trainer[UNet], batches: Iterable[Batch]) -> tuple[float, float]:
    """Processor and wall seconds of training on these batches."""
    wall, processor = time.perf_counter(), time.process_time()
    for image, labels in batches:
        trainer.step(image, labels)
    return time.process_time() - processor, time.perf_counter() - wall


def rows(run: Run, repetitions: int) -> Iterator[Row]:
    """Each way of loading beside none."""
    config = run.config
    network = NetworkPlan.from_json(run.plan.networks[MULTILABEL])
    trainer = unet_trainer(
        untrained(network, config.seed),
        target_of(run, MULTILABEL),
        settings_of(TrainingSettings, config.training),
        shares=class_shares(Pool(run).class_voxels(), prod(run.plan.patch_zyx), config.classes.exclusive),
        score=lambda _: {},
        by="",
        steps=config.training.steps,
        device=torch.device("cpu"),
    )
    sides = sources(run)
    times: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    for repetition in range(repetitions + 1):
        for side, source in sides.items():
            first = repetition * STEPS
            taken = train(trainer, prefetched(source, first, first + STEPS))
            if repetition > 0:  # the first one fills caches
                times[side].append(taken)
    for side, bar in (("pool", 1.05), ("on the fly", None)):
        for kind, clock in enumerate(("processor time", "wall time")):
            mine, bare = (tuple(turn[kind] / STEPS for turn in times[name]) for name in (side, "memory"))
            what = f"training step, batch from {side}, {clock}" if side == "pool" else f"training step, {side}, {clock}"
            yield Row(what, "a batch in memory", "s", mine, bare, bar, at_most=True)


def main() -> None:
    asked = options(__doc__, repetitions=7).parse_args()
    torch.set_num_threads(asked.threads)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        with redirect_stdout(StringIO()):
            run = make_run(Path(folder))
        show(rows(run, asked.repetitions), asked)


if __name__ == "__main__":
    main()
