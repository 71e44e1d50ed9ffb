"""Truth and prediction of one slice, compared voxel by voxel and ready to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.scoring.confusion import Ids, check_bits, check_ids
from pipeline.scoring.scores import ratio
from pipeline.scoring.slices import (
    ERROR_COLORS,
    Bits,
    ErrorKind,
    error_kinds,
    error_kinds_of_bits,
    most_frequent,
    topmost_class,
)


@dataclass(frozen=True)
class SliceComparison:
    """Arrays (y, x) of what to draw, and the words for each kind of error."""

    truth_ids: Ids
    predicted_ids: Ids
    labelled: NDArray[np.bool_]
    kinds: NDArray[np.uint8]
    """`ErrorKind` of each voxel, 0 where it is right or not labelled."""
    meanings: Mapping[ErrorKind, str]

    @property
    def error_share(self) -> float | None:
        """Share of the labelled voxels that are wrong; None when nothing is labelled."""
        return ratio(int(np.count_nonzero(self.kinds)), int(np.count_nonzero(self.labelled)))


def compare_slice(
    truth: NDArray[Any],
    prediction: NDArray[Any],
    class_names: Sequence[str],
    *,
    background: int | None = None,
    overlapping: bool = False,
) -> SliceComparison:
    """Compare class ids, or uint32 bit masks where `overlapping`, of one shape (y, x).

    `background` is the class that missed and invented refer to (None: the most frequent in the truth).
    Raises InputError when shapes or types differ or an id is above the number of classes.
    """
    if overlapping:
        return _compare_bits(truth, prediction, len(class_names))
    return _compare_ids(truth, prediction, class_names, background)


def error_entries(comparisons: Sequence[SliceComparison]) -> dict[str, str]:
    """Return the legend of the errors of slices with one truth: their colours by meaning.

    Missed and invented are always in it, so that their absence can be seen.
    """
    there = {ErrorKind.MISSED, ErrorKind.INVENTED}
    for comparison in comparisons:
        there.update(kind for kind in ErrorKind if (comparison.kinds == kind).any())
    return {comparisons[0].meanings[kind]: ERROR_COLORS[kind] for kind in ErrorKind if kind in there}


def _compare_ids(truth: Ids, predicted: Ids, class_names: Sequence[str], background: int | None) -> SliceComparison:
    check_ids(truth, predicted, len(class_names))
    background = most_frequent(truth) if background is None else background
    meanings = _meanings(class_names[background - 1] if background else "nothing")
    return SliceComparison(truth, predicted, truth > 0, error_kinds(truth, predicted, background), meanings)


def _compare_bits(truth: Bits, predicted: Bits, n_classes: int) -> SliceComparison:
    check_bits(truth, predicted, n_classes)
    shown = topmost_class(truth, n_classes), topmost_class(predicted, n_classes)
    return SliceComparison(*shown, (truth & 1) > 0, error_kinds_of_bits(truth, predicted), _MEANINGS_OF_BITS)


_MEANINGS_OF_BITS = {
    ErrorKind.MISSED: "missed: lacks a class",
    ErrorKind.INVENTED: "invented: has one too many",
    ErrorKind.CONFUSED: "confused: both",
    ErrorKind.NOT_PREDICTED: "not predicted",
}


def _meanings(background: str) -> dict[ErrorKind, str]:
    return {
        ErrorKind.MISSED: f"missed: taken for {background}",
        ErrorKind.INVENTED: f"invented: is {background}",
        ErrorKind.CONFUSED: "confused: is another class",
        ErrorKind.NOT_PREDICTED: "not predicted",
    }
