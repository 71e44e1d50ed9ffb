"""How the objects of a truth and of a prediction overlap, counted block by block without rounding.

Counted are the labelled voxels of the region that is scored. An object counts as far as it lies there. One that touches
voxels that are not scored, or the face of the volume, may go on there: it is *cut*, which is noted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.objects.grouping import Keys, grouped
from pipeline.objects.pieces import Ids

Mask = NDArray[np.bool_]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Overlaps:
    """The voxels that each object of a truth shares with each of a prediction; id 0 is no object.

    Overlaps of blocks that share no voxel add up to those of all of them.
    """

    pairs: Keys
    """Ids in truth and prediction, in rising order, shape (pairs, 2); (0, 0) is left out."""
    voxels: Counts
    """Of each pair."""
    cut_truth: Keys
    """Ids of true objects that the region cuts, in rising order."""
    cut_predicted: Keys
    """Ids of predicted objects that the region cuts."""

    @classmethod
    def none(cls) -> Overlaps:
        """Those of no voxel."""
        ids = np.zeros(0, np.uint64)
        return cls(np.zeros((0, 2), np.uint64), np.zeros(0, np.int64), ids, ids)

    def __add__(self, other: Overlaps) -> Overlaps:
        """Those of two parts of a volume that share no voxel."""
        pairs = np.concatenate([self.pairs, other.pairs])
        keys, (voxels,) = grouped(pairs, [(np.add, np.concatenate([self.voxels, other.voxels]))])
        cut_truth = np.union1d(self.cut_truth, other.cut_truth)
        return Overlaps(keys, voxels, cut_truth, np.union1d(self.cut_predicted, other.cut_predicted))

    @cached_property
    def truth(self) -> tuple[Keys, Counts]:
        """The true objects, by rising id, and their voxels."""
        return _sizes(self.pairs[:, 0], self.voxels)

    @cached_property
    def predicted(self) -> tuple[Keys, Counts]:
        """The predicted objects, by rising id, and their voxels."""
        return _sizes(self.pairs[:, 1], self.voxels)

    @cached_property
    def shared(self) -> tuple[Counts, Counts, Counts]:
        """Of each pair of objects that overlap: their places in `truth` and `predicted`, and the voxels of both."""
        both = (self.pairs > 0).all(axis=1)
        rows = np.searchsorted(self.truth[0], self.pairs[both, 0])
        columns = np.searchsorted(self.predicted[0], self.pairs[both, 1])
        return rows, columns, self.voxels[both]


def overlaps(truth: Ids, predicted: Ids, scored: Mask) -> Overlaps:
    """Count the overlaps within a block.

    Args:
        truth: ids of true objects, shape (z, y, x); 0 is no object.
        predicted: ids of predicted objects of the same voxels.
        scored: which voxels are labelled and in the region, of the block and one voxel around it, shape (z + 2, y + 2,
            x + 2); none is beyond the volume.

    Raises:
        InputError: the shapes do not fit.
    """
    inner = (slice(1, -1),) * 3
    if not truth.shape == predicted.shape == scored[inner].shape:
        raise InputError(
            f"truth {truth.shape} and predicted {predicted.shape} need scored voxels with one more on every side, "
            f"not {scored.shape}"
        )
    inside = scored[inner]
    rim = inside & ~_surrounded(scored)
    pairs = np.stack([ids[inside].astype(np.uint64) for ids in (truth, predicted)], axis=1)
    starts = np.flatnonzero(np.concatenate([[True], (pairs[1:] != pairs[:-1]).any(axis=1)])[: len(pairs)])
    lengths = np.diff(starts, append=len(pairs))
    some = pairs[starts].any(axis=1)
    keys, (voxels,) = grouped(pairs[starts][some], [(np.add, lengths[some].astype(np.int64))])
    return Overlaps(keys, voxels, *(_distinct(ids[rim]) for ids in (truth, predicted)))


def disjoint(captures: Iterable[Overlaps]) -> Overlaps:
    """The overlaps of several captures as one, their ids numbered anew: equal ids of two captures are two objects."""
    whole, true_objects, predicted_objects = Overlaps.none(), 0, 0
    for found in captures:
        truth, predicted = found.truth[0], found.predicted[0]
        pairs = np.stack(
            [
                _renumbered(found.pairs[:, 0], truth, true_objects),
                _renumbered(found.pairs[:, 1], predicted, predicted_objects),
            ],
            axis=1,
        )
        cut_truth = _renumbered(found.cut_truth, truth, true_objects)
        whole += Overlaps(
            pairs, found.voxels, cut_truth, _renumbered(found.cut_predicted, predicted, predicted_objects)
        )
        true_objects, predicted_objects = true_objects + len(truth), predicted_objects + len(predicted)
    return whole


def _renumbered(ids: Keys, known: Keys, before: int) -> Keys:
    places = np.searchsorted(known, ids).astype(np.uint64) + np.uint64(before + 1)
    return np.where(ids > 0, places, np.uint64(0))


def _surrounded(scored: Mask) -> Mask:
    """Which inner voxels have six scored neighbours."""
    inner = slice(1, -1)
    sides = [
        scored[tuple(shift if a == axis else inner for a in range(3))]
        for axis in range(3)
        for shift in (slice(None, -2), slice(2, None))
    ]
    surrounded: Mask = np.logical_and.reduce(sides)
    return surrounded


def _distinct(ids: Ids) -> Keys:
    found = np.unique(ids).astype(np.uint64)
    return found[found > 0]


def _sizes(ids: Keys, voxels: Counts) -> tuple[Keys, Counts]:
    keys, (sizes,) = grouped(ids[ids > 0, None], [(np.add, voxels[ids > 0])])
    return keys[:, 0], sizes
