"""A training step, its batch made and augmented included, against that of nnU-Net's trainer, in two dimensions.

Patches of 256 x 256, four a batch, networks of 16 to 128 features. nnU-Net's trainer teaches its own U-Net of as many
features, and then ours. Last stands the plan that it makes itself for such slices, which has other patches: there the
times are of a million voxels. Either side has its own augmentation, loss and optimiser, and computes in the type that
it chooses on this machine; ours is named. Times are processor time.

    make bench-setup && .venv/bin/python -m tests.bench.bench_training
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pipeline.nn.batches import prefetched
from pipeline.nn.device import keep_freed_memory
from pipeline.nn.plan import NetworkPlan, plan_network
from pipeline.nn.sampling import LabelledBox
from pipeline.nn.training import autocast_dtype
from pipeline.nn.trials import trial_batches, trial_trainer
from pipeline.nn.unet_training import untrained
from pipeline.phantom import make_phantom
from pipeline.volume.geometry import Zyx
from tests.bench.nnunet import Study
from tests.bench.table import Row, options, show

STACK: Zyx = (8, 400, 400)
VOXEL_SIZE_NM = (50.0, 4.0, 4.0)
PATCH: Zyx = (1, 256, 256)
BATCH, CLASSES, FEATURES = 4, 8, (16, 32, 64, 128)
STEPS = 1
"""In one turn."""


def plan() -> NetworkPlan:
    """Of our network."""
    return plan_network(
        voxel_size_nm=VOXEL_SIZE_NM, extent_zyx=PATCH, outputs=CLASSES, head="softmax", features=FEATURES
    )


def our_step() -> Callable[[], None]:
    """A step as the train step takes it, on samples that are made for it alone."""
    phantom = make_phantom(STACK, seed=0)
    box = LabelledBox(phantom.raw, phantom.labels.astype(np.uint8))
    trainer = trial_trainer(plan(), torch.device("cpu"), steps=10**6)
    batches = prefetched(trial_batches(box, PATCH, VOXEL_SIZE_NM, classes=CLASSES, batch_size=BATCH), 0, 10**6)

    def step() -> None:
        trainer.step(*next(batches))

    return step


class InTwoDimensions(nn.Module):
    """Our network, for images (b, 1, y, x)."""

    def __init__(self) -> None:
        super().__init__()
        self.network = untrained(plan(), 0)

    def forward(self, image_BCYX: torch.Tensor) -> torch.Tensor:
        logits_BCZYX: torch.Tensor = self.network(image_BCYX[:, :, None])
        return logits_BCZYX[:, :, 0]


def seconds(step: Callable[[], None]) -> float:
    """Of the processor, a step."""
    started = time.process_time()
    for _ in range(STEPS):
        step()
    return (time.process_time() - started) / STEPS


def rows(repetitions: int) -> Iterator[Row]:
    """The trainers in turn."""
    patch_yx = list(PATCH[1:])
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        study = Study(Path(folder), STACK, VOXEL_SIZE_NM, CLASSES)
        samples, own_patch = study.own_batch
        sides = {
            "ours": our_step(),
            "nnU-Net's trainer, its U-Net of 16 to 128": study.step((BATCH, patch_yx), FEATURES),
            "nnU-Net's trainer, our network": study.step((BATCH, patch_yx), network=InTwoDimensions),
            "nnU-Net, its own plan": study.step(),
        }
        taken: dict[str, list[float]] = {side: [] for side in sides}
        for turn in range(repetitions + 1):
            for side, step in sides.items():
                took = seconds(step)
                if turn:  # the first one fills caches
                    taken[side].append(took)
    precision = str(autocast_dtype("auto", torch.device("cpu"))).removeprefix("torch.")
    ours, its_own, with_ours, planned = (tuple(each) for each in taken.values())
    _, own_name, our_name, planned_name = sides
    what = f"training step, {BATCH} × 256²"
    yield Row(what, own_name, "s", ours, its_own, 5, note=f"ours computes in {precision}")
    yield Row(what, our_name, "s", ours, with_ours)
    megavoxels, own_megavoxels = BATCH * prod(PATCH) / 1e6, samples * prod(own_patch) / 1e6
    yield Row(
        "training, a million voxels",
        planned_name,
        "s",
        tuple(each / megavoxels for each in ours),
        tuple(each / own_megavoxels for each in planned),
        note=f"{samples} patches of {own_patch[0]}²",
    )


def main() -> None:
    asked = options(__doc__, repetitions=5).parse_args()
    torch.set_num_threads(asked.threads)
    keep_freed_memory()
    show(rows(asked.repetitions), asked)


if __name__ == "__main__":
    main()
