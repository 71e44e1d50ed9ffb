"""The training samples of a run: labelled boxes, candidate centres and augmentation."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from pipeline.config.model import MULTILABEL
from pipeline.config.settings import settings_of
from pipeline.nn.augment.layer import Augmenter
from pipeline.nn.augment.settings import AugmentationSettings
from pipeline.nn.batches import SampleMaker
from pipeline.nn.blockwise import Normalisation
from pipeline.nn.sampling import LabelledBox, draw_candidates
from pipeline.nn.targets import Target
from pipeline.objects.cores import find_cores, halo_zyx
from pipeline.run.layout import Run
from pipeline.run.plan import CapturePlan
from pipeline.volume.geometry import Block

# Centres that an on-the-fly training draws from: rotation, scale and jitter make each of them many samples.
ON_THE_FLY_CENTRES = 8192


def target_of(run: Run, name: str) -> Target:
    """The task of a target's network."""
    names = run.config.classes.names
    ids = tuple(range(1, len(names) + 1)) if name == MULTILABEL else (names.index(name) + 1,)
    classes, untold = run.config.classes, run.config.untold
    kinds = tuple((id_, kind) for kind, id_ in untold.items())
    return Target(name, ids, classes.exclusive, tuple(classes.cores.items()), untold=kinds)


def classes_to_cover(run: Run, target: Target) -> list[int]:
    """Indices of the classes that every batch should hold, rarest first."""
    voxels = run.plan.class_voxels("train")
    return sorted((class_id - 1 for class_id in target.class_ids), key=lambda index: voxels[index])


def labelled_boxes(run: Run) -> list[LabelledBox]:
    """The blocks of the training part, in memory."""
    boxes = []
    for capture in run.plan.captures:
        read = run.read_seen(capture)
        boxes += [LabelledBox(read(block), sample_labels(run, capture, block)) for block in capture.split().train]
    return boxes


def sample_labels(run: Run, capture: CapturePlan, block: Block) -> NDArray[Any]:
    """The labels of a block as networks learn them: class ids, and ids of their own for the cores of objects."""
    truth = run.truth(capture.name)
    labels = read_labels(run, capture, block)
    for class_id, core_id in run.config.classes.cores.items():
        member = run.config.classes.instances[class_id]
        halo = halo_zyx(member.rim_nm, capture.voxel_size_nm)
        around = block.grow(halo).intersect(capture.volume)
        assert around is not None
        objects = run.true_objects(member.name, capture.name).read(around)
        cores = find_cores(objects, truth.read(around) > 0, member.rim_nm, capture.voxel_size_nm)
        labels[cores[block.relative_to(around).slices]] = core_id
    return labels


def read_labels(run: Run, capture: CapturePlan, block: Block) -> NDArray[Any]:
    """What was labelled, with an id or bit where classes are left untold that says which: see `Target.untold`."""
    labels = run.truth(capture.name).read(block)
    if capture.untold and run.config.classes.exclusive:
        labels[labels == len(run.config.classes.members) + 1] = run.config.untold[capture.untold]
    elif capture.untold:
        labels |= (labels & 1) << run.config.untold[capture.untold]
    return labels


def sample_maker(run: Run, candidates: int) -> SampleMaker:
    """What makes samples of this run; the same samples in every process."""
    config, plan = run.config, run.plan
    boxes = labelled_boxes(run)
    drawn = draw_candidates(
        boxes,
        count=candidates,
        patch_zyx=plan.patch_zyx,
        n_classes=config.classes.sample_ids,
        untold=len(config.untold),
        exclusive=config.classes.exclusive,
        seed=config.seed,
    )
    transforms = settings_of(AugmentationSettings, config.augmentation.transforms)
    augmenter = Augmenter(transforms, plan.patch_zyx, plan.captures[0].voxel_size_nm)
    return SampleMaker(boxes, drawn, augmenter, normalisation(run), config.seed)


def normalisation(run: Run) -> Normalisation:
    """The stored intensity statistics."""
    return Normalisation(run.plan.intensity_mean, run.plan.intensity_std)
