"""The training samples of a run: labelled boxes, candidate centres, augmentation, and the pool they may be kept in."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.config import MULTILABEL
from pipeline.nn.augmentation import Augmenter
from pipeline.nn.batches import ReadSamples, SampleMaker
from pipeline.nn.blockwise import Normalisation
from pipeline.nn.sampling import LabelledBox, draw_candidates
from pipeline.nn.targets import Target
from pipeline.steps.digest import digest
from pipeline.steps.run import Run
from pipeline.volume.geometry import Zyx

# Centres that an on-the-fly training draws from: rotation, scale and jitter make each of them many samples.
ON_THE_FLY_CENTRES = 8192
SHARD_BYTES = 16 * 2**20


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
        image, truth = run.image(capture.name), run.truth(capture.name)
        boxes += [LabelledBox(image.read(block), truth.read(block)) for block in capture.split().train]
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
    augmenter = Augmenter(config.augmentation.transforms, plan.patch_zyx, plan.captures[0].voxel_size_nm)
    return SampleMaker(boxes, drawn, augmenter, normalisation(run), config.seed)


def normalisation(run: Run) -> Normalisation:
    """The stored intensity statistics."""
    return Normalisation(run.plan.intensity_mean, run.plan.intensity_std)


def data_digest(run: Run) -> str:
    """Of all that samples depend on."""
    config, plan = run.config, run.plan
    return digest(
        config.seed,
        config.classes,
        config.augmentation,
        [capture.model_dump(mode="json") for capture in plan.captures],
        plan.patch_zyx,
        [plan.intensity_mean, plan.intensity_std],
    )


class Pool:
    """The pool of augmented samples: a zarr group with an image and a label array, samples first.

    ``image`` is float16 (sample, z, y, x), normalised; ``labels`` holds stored ids; ``class_voxels`` what each sample
    holds. A worker writes whole shards.
    """

    def __init__(self, run: Run) -> None:
        self._store = run.pool_store
        self._samples = run.config.augmentation.pool_samples
        self._patch = run.plan.patch_zyx
        self._classes = len(run.config.classes.members)
        self._label_type = run.class_map.dtype

    @property
    def shard_samples(self) -> int:
        """Samples in a shard, the unit of work."""
        return shard_samples(self._patch, self._samples)

    @property
    def shards(self) -> list[range]:
        """The samples of each shard."""
        size = self.shard_samples
        return [range(start, min(start + size, self._samples)) for start in range(0, self._samples, size)]

    @property
    def layout(self) -> list[Any]:
        """What tells its arrays from those of another pool."""
        return [self.shard_samples, *([name, dtype.str, shape] for name, dtype, shape in self._arrays())]

    def create(self) -> None:
        """Make the arrays, in place of all that is there."""
        self._store.delete_all()
        group = zarr.open_group(self._store.zarr(), mode="a", zarr_format=3)
        for name, dtype, shape in self._arrays():
            group.create_array(
                name,
                shape=shape,
                dtype=dtype,
                chunks=(1, *shape[1:]),
                shards=(self.shard_samples, *shape[1:]),
                dimension_names=("sample", "z", "y", "x")[: len(shape)],
            )

    def write(self, samples: range, images: NDArray[Any], labels: NDArray[Any], voxels: NDArray[np.int64]) -> None:
        """Write a whole shard."""
        group = zarr.open_group(self._store.zarr(), mode="r+")
        where = slice(samples.start, samples.stop)
        _array(group, "image")[where] = images.astype(np.float16)
        _array(group, "labels")[where] = labels
        _array(group, "class_voxels")[where] = voxels

    def class_voxels(self) -> NDArray[np.int64]:
        """(sample, class): labelled voxels of each class in each sample."""
        return np.asarray(_array(zarr.open_group(self._store.zarr(), mode="r"), "class_voxels")[:])

    def reader(self) -> ReadSamples:
        """Reads samples by their indices."""
        group = zarr.open_group(self._store.zarr(), mode="r")
        images, labels = _array(group, "image"), _array(group, "labels")

        def read(indices: Sequence[int]) -> tuple[NDArray[Any], NDArray[Any]]:
            return np.stack([images[i] for i in indices]), np.stack([labels[i] for i in indices])

        return read

    def _arrays(self) -> list[tuple[str, np.dtype[Any], tuple[int, ...]]]:
        samples = (self._samples, *self._patch)
        return [
            ("image", np.dtype(np.float16), samples),
            ("labels", self._label_type, samples),
            ("class_voxels", np.dtype(np.int64), (self._samples, self._classes)),
        ]


def shard_samples(patch_zyx: Zyx, samples: int) -> int:
    """Samples in a shard of about 16 MiB."""
    bytes_each = 3 * patch_zyx[0] * patch_zyx[1] * patch_zyx[2]
    return min(samples, max(1, ceil(SHARD_BYTES / bytes_each)))


def _array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array
