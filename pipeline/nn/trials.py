"""Samples and a trainer without a run: to measure a machine, and to compare machines and peers.

Both are what the train step takes, on a box of labelled voxels whose grey values need not mean anything.
"""

from __future__ import annotations

import torch

from pipeline.nn.augment.layer import Augmenter
from pipeline.nn.augment.settings import AugmentationSettings
from pipeline.nn.batches import BatchSource, SampleMaker, on_the_fly
from pipeline.nn.blockwise import Normalisation
from pipeline.nn.plan import NetworkPlan
from pipeline.nn.sampling import LabelledBox, draw_candidates
from pipeline.nn.targets import Target
from pipeline.nn.training import Trainer
from pipeline.nn.unet import UNet
from pipeline.nn.unet_training import TrainingSettings, unet_trainer, untrained
from pipeline.volume.geometry import Zyx, ZyxNm

NORMALISATION = Normalisation(128.0, 50.0)
CENTRES = 32
"""Of classes, that samples are drawn around."""


def trial_batches(
    box: LabelledBox, patch_zyx: Zyx, voxel_size_nm: ZyxNm, *, classes: int, batch_size: int
) -> BatchSource:
    """Augmented samples of a box with the ids 1 to `classes`, as a training on the fly makes them."""
    candidates = draw_candidates([box], count=CENTRES, patch_zyx=patch_zyx, n_classes=classes, exclusive=True, seed=0)
    augmenter = Augmenter(AugmentationSettings(), patch_zyx, voxel_size_nm)
    maker = SampleMaker([box], candidates, augmenter, NORMALISATION, 0)
    return on_the_fly(maker, cover=range(classes), batch_size=batch_size, seed=0)


def trial_trainer(
    plan: NetworkPlan, device: torch.device, *, steps: int, settings: TrainingSettings | None = None
) -> Trainer[UNet]:
    """Of a network with the same first weights each time, for all classes, none of them rarer than another.

    It judges nothing. settings: None takes the defaults.
    """
    return unet_trainer(
        untrained(plan, 0),
        Target("trial", tuple(range(1, plan.outputs + 1)), True),
        settings or TrainingSettings(),
        shares=[1 / plan.outputs] * plan.outputs,
        score=lambda _network: {},
        by="",
        steps=steps,
        device=device,
    )
