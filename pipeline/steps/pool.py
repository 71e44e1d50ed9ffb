"""The pool of augmented samples as it is stored, and the digest of all that samples depend on.

Without torch: a step that is done is not to wait for its import.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.errors import RunConflictError
from pipeline.steps.digest import Marker, digest
from pipeline.steps.run import Run
from pipeline.volume.geometry import Zyx

if TYPE_CHECKING:
    from pipeline.nn.batches import ReadSamples

SHARD_BYTES = 16 * 2**20


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


def shard_marker(run: Run, index: int) -> Marker:
    """The done-marker of a shard of the pool."""
    return run.marker("augment", f"{index:06d}", digest(data_digest(run)))


def refuse_incomplete_pool(run: Run) -> None:
    """Raise RunConflictError when a shard is missing: its samples would be blank."""
    shards = range(len(Pool(run).shards))
    missing = [marker for index in shards if not (marker := shard_marker(run, index)).done]
    if missing:
        raise RunConflictError(
            f"{len(missing)} of {len(shards)} shards of the pool in {run.pool_store.url} are not made yet, the first "
            f"being {missing[0].key}; run `vemseg augment --run ...` first"
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
