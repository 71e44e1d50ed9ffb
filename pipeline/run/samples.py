"""The training samples of a run: labelled boxes, candidate centres and augmentation."""

from __future__ import annotations

from pipeline.config.model import MULTILABEL
from pipeline.config.settings import settings_of
from pipeline.nn.augment.layer import Augmenter
from pipeline.nn.augment.settings import AugmentationSettings
from pipeline.nn.batches import SampleMaker
from pipeline.nn.blockwise import Normalisation
from pipeline.nn.sampling import LabelledBox, draw_candidates
from pipeline.nn.targets import Target
from pipeline.run.layout import Run

# Centres that an on-the-fly training draws from: rotation, scale and jitter make each of them many samples.
ON_THE_FLY_CENTRES = 8192


def target_of(run: Run, name: str) -> Target:
    """The task of a target's network."""
    names = run.config.classes.names
    ids = tuple(range(1, len(names) + 1)) if name == MULTILABEL else (names.index(name) + 1,)
    return Target(name, ids, run.config.classes.exclusive)


def classes_to_cover(run: Run, target: Target) -> list[int]:
    """Indices of the classes that every batch should hold, rarest first."""
    voxels = run.plan.class_voxels("train")
    return sorted((class_id - 1 for class_id in target.class_ids), key=lambda index: voxels[index])


def labelled_boxes(run: Run) -> list[LabelledBox]:
    """The blocks of the training part, in memory."""
    boxes = []
    for capture in run.plan.captures:
        read, truth = run.read_seen(capture), run.truth(capture.name)
        boxes += [LabelledBox(read(block), truth.read(block)) for block in capture.split().train]
    return boxes


def sample_maker(run: Run, candidates: int) -> SampleMaker:
    """What makes samples of this run; the same samples in every process."""
    config, plan = run.config, run.plan
    boxes = labelled_boxes(run)
    drawn = draw_candidates(
        boxes,
        count=candidates,
        patch_zyx=plan.patch_zyx,
        n_classes=len(config.classes.members),
        exclusive=config.classes.exclusive,
        seed=config.seed,
    )
    transforms = settings_of(AugmentationSettings, config.augmentation.transforms)
    augmenter = Augmenter(transforms, plan.patch_zyx, plan.captures[0].voxel_size_nm)
    return SampleMaker(boxes, drawn, augmenter, normalisation(run), config.seed)


def normalisation(run: Run) -> Normalisation:
    """The stored intensity statistics."""
    return Normalisation(run.plan.intensity_mean, run.plan.intensity_std)
