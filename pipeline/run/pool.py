"""The pool of augmented samples as it is stored.

Without torch: a step that is done is not to wait for its import.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.errors import RunConflictError
from pipeline.run.layout import Run
from pipeline.run.markers import Marker
from pipeline.run.provenance import pool_shard
from pipeline.volume.geometry import Zyx
from pipeline.volume.omezarr import array_document, store_array, stored, write_shards
from pipeline.volume.stores import as_json

if TYPE_CHECKING:
    from pipeline.nn.batches import ReadSamples

SHARD_BYTES = 16 * 2**20


@dataclass(frozen=True)
class PoolShard:
    """A shard of the pool: the samples in it."""

    samples: range
    marker: Marker


class Pool:
    """The pool of augmented samples: a zarr group with an image and a label array, samples first.

    ``image`` is float16 (sample, z, y, x), normalised; ``labels`` holds stored ids; ``class_voxels`` what each sample
    holds. A worker writes whole shards.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._store = run.pool_store
        self._samples = run.config.augmentation.pool_samples
        self._patch = run.plan.patch_zyx
        self._classes = run.config.counted_ids
        self._label_type = run.class_map.dtype

    @property
    def shard_samples(self) -> int:
        """Samples in a shard, the unit of work."""
        return shard_samples(self._patch, self._samples)

    @property
    def shards(self) -> list[PoolShard]:
        """All shards, in the order in which workers share them out."""
        starts = range(0, self._samples, self.shard_samples)
        return [
            PoolShard(range(start, min(start + self.shard_samples, self._samples)), pool_shard(self._run, index))
            for index, start in enumerate(starts)
        ]

    def refuse_incomplete(self) -> None:
        """Raise RunConflictError when a shard is missing: its samples would be blank."""
        shards = self.shards
        missing = [shard.marker for shard in shards if not shard.marker.intact]
        if missing:
            raise RunConflictError(
                f"{len(missing)} of {len(shards)} shards of the pool in {self._store.url} are not made yet, the first "
                f"being {missing[0].key}; run `vemseg augment --run ...` first"
            )

    @property
    def layout(self) -> list[Any]:
        """What tells its arrays from those of another pool."""
        return [self.shard_samples, *([name, dtype.str, shape] for name, dtype, shape in self._arrays())]

    def create(self, mend: bool = False) -> None:
        """Make the arrays; with `mend`, only describe anew those whose description is damaged."""
        group = as_json({"zarr_format": 3, "node_type": "group", "attributes": {}})
        if stored(self._store, "zarr.json") != group:
            self._store.write("zarr.json", group)
        for name, dtype, shape in self._arrays():
            chunks, shards = (1, *shape[1:]), (self.shard_samples, *shape[1:])
            names = ("sample", "z", "y", "x")[: len(shape)]
            store_array(self._store, name, array_document(shape, dtype, chunks, shards, names), mend=mend)

    def write(self, samples: range, images: NDArray[Any], labels: NDArray[Any], voxels: NDArray[np.int64]) -> None:
        """Write a whole shard."""
        group = zarr.open_group(self._store.zarr(), mode="r+")
        for name, data in (("image", images.astype(np.float16)), ("labels", labels), ("class_voxels", voxels)):
            array = _array(group, name)
            others = (slice(0, length) for length in array.shape[1:])
            write_shards(array, (slice(samples.start, samples.stop), *others), data)

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
