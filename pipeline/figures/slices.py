"""Single slices: which ones are worth showing, what is right and wrong in them, and both as colour images.

Missed and invented are told apart against a *background*, the class that fills the
space between the structures (the most frequent one unless said otherwise):

=============  =========================  ================
kind           truth                      taken for
=============  =========================  ================
missed         a structure                the background
invented       the background             a structure
confused       a structure                another one
not predicted  anything                   nothing
=============  =========================  ================

Overlapping classes need no background: a voxel misses the classes that it has and the prediction lacks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.figures import palette
from pipeline.figures.palette import Rgb, rgb
from pipeline.scoring.confusion import Confusion, Ids, check_bits, check_ids
from pipeline.scoring.scores import ratio

Bits = NDArray[np.uint32]


class ErrorKind(IntEnum):
    """What is wrong with a voxel; 0 is right, or not labelled."""

    MISSED = 1
    INVENTED = 2
    CONFUSED = 3
    NOT_PREDICTED = 4


ERROR_COLORS = {
    ErrorKind.MISSED: palette.MISSED,
    ErrorKind.INVENTED: palette.INVENTED,
    ErrorKind.CONFUSED: palette.CONFUSED,
    ErrorKind.NOT_PREDICTED: palette.NOT_PREDICTED,
}


class ChosenSlice(NamedTuple):
    """A slice worth showing and where it stands among those it was chosen from."""

    position: int
    standing: str
    """"worst", "median" or "best" by macro F1; "" for those in between."""


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


def choose_slices(counts: Sequence[Confusion], count: int = 3) -> list[ChosenSlice]:
    """Return up to `count` slices, in order of position, from the counts of each slice.

    The candidates are the slices whose truth holds the most classes, and where these are fewer than
    `count`, also those with the next most. Taken are the worst by macro F1, the best, and evenly spaced
    ones between them. A slice without labels is never taken; equal slices are taken in order of position.
    """
    scores = {index: c.scores() for index, c in enumerate(counts)}
    present = {index: sum(c.support > 0 for c in s.classes) for index, s in scores.items()}
    labelled = sorted((i for i in present if present[i]), key=lambda i: (-present[i], i))
    if not labelled or count < 1:
        return []
    fewest = present[labelled[min(count, len(labelled)) - 1]]
    candidates = [i for i in labelled if present[i] >= fewest]
    candidates.sort(key=lambda i: (scores[i].macro.f1 or 0, i))
    ranks = _spread(len(candidates), count)
    return sorted(ChosenSlice(candidates[rank], _standing(rank, len(candidates))) for rank in ranks)


def error_kinds(truth_ids: Ids, predicted_ids: Ids, background: int) -> NDArray[np.uint8]:
    """Return the `ErrorKind` of every voxel of exclusive classes, 0 where it is right or not labelled."""
    wrong = (truth_ids > 0) & (truth_ids != predicted_ids)
    kinds = np.where(wrong, np.uint8(ErrorKind.CONFUSED), np.uint8(0))
    kinds[wrong & (truth_ids == background)] = ErrorKind.INVENTED
    kinds[wrong & (predicted_ids == background)] = ErrorKind.MISSED
    kinds[wrong & (predicted_ids == 0)] = ErrorKind.NOT_PREDICTED
    return kinds


def error_kinds_of_bits(truth_bits: Bits, predicted_bits: Bits) -> NDArray[np.uint8]:
    """Return the `ErrorKind` of every voxel of overlapping classes, 0 where it is right or not labelled.

    Confused is a voxel that misses one class and invents another.
    """
    labelled = (truth_bits & 1) > 0
    missed = labelled & ((truth_bits & ~predicted_bits) > 1)
    invented = labelled & ((predicted_bits & ~truth_bits) > 1)
    kinds = missed * np.uint8(ErrorKind.MISSED)
    kinds[invented] = ErrorKind.INVENTED
    kinds[missed & invented] = ErrorKind.CONFUSED
    kinds[labelled & ((predicted_bits & 1) == 0)] = ErrorKind.NOT_PREDICTED
    return kinds


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


def topmost_class(bits: Bits, n_classes: int) -> NDArray[np.uint8]:
    """Return the id to draw for overlapping classes: the last in order of those that a voxel has, else 0."""
    ids = np.zeros(bits.shape, np.uint8)
    for class_id in range(1, n_classes + 1):
        wanted = np.uint32(1 | 1 << class_id)
        ids[(bits & wanted) == wanted] = class_id
    return ids


def most_frequent(truth_ids: Ids) -> int:
    """Return the class with the most voxels; of equal ones the first, and 0 when nothing is labelled."""
    counts = np.bincount(truth_ids.ravel())
    counts[:1] = 0
    return int(counts.argmax()) if counts.any() else 0


def grey_image(raw: NDArray[Any]) -> Rgb:
    """Return a slice as grey RGB of shape (y, x, 3), stretched from its 0.5th to its 99.5th percentile."""
    values = np.nan_to_num(raw.astype(np.float32))
    low, high = np.percentile(values, (0.5, 99.5))
    stretched = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
    return np.repeat((255 * stretched).astype(np.uint8)[..., None], 3, axis=2)


def class_image(ids: Ids, colors: Sequence[str], grey: Rgb) -> Rgb:
    """Return ids in the colours of their classes (#rrggbb), and `grey` where the id is 0."""
    hues = np.array([rgb(color) for color in (palette.BLACK, *colors)], np.uint8)
    return np.where((ids > 0)[..., None], hues[ids], grey)


def error_image(kinds: NDArray[np.uint8], grey: Rgb) -> Rgb:
    """Return the errors in `ERROR_COLORS` over a pale version of `grey`."""
    pale = (160 + grey // 3).astype(np.uint8)
    hues = np.array([(0, 0, 0), *(rgb(ERROR_COLORS[kind]) for kind in ErrorKind)], np.uint8)
    return np.where((kinds > 0)[..., None], hues[kinds], pale)


def _spread(candidates: int, count: int) -> list[int]:
    """Evenly spaced ranks from the first to the last; the middle one when only one is asked for."""
    if count == 1:
        return [candidates // 2]
    return sorted({round(rank) for rank in np.linspace(0, candidates - 1, min(count, candidates)).tolist()})


def _standing(rank: int, candidates: int) -> str:
    if candidates == 1:
        return ""
    return {candidates // 2: "median", 0: "worst", candidates - 1: "best"}.get(rank, "")


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
