"""Scores out of counts: precision, recall, F1 and IoU of each class, and their averages.

A score is None where its denominator is zero, and only there:

=========  ===================  =========================================
score      definition           None when
=========  ===================  =========================================
precision  tp / (tp + fp)       nothing was predicted as the class
recall     tp / (tp + fn)       nothing is the class in the truth
F1         2tp / (2tp+fp+fn)    neither: it is not there and nobody saw it
IoU        tp / (tp+fp+fn)      the same
=========  ===================  =========================================

So a class that is missed or invented altogether has an F1 of 0, not None. An average leaves out what is
None. These are the values of scikit-learn's ``precision_recall_fscore_support`` with ``zero_division=nan``;
its default writes 0 instead, which pulls the macro average down for a class that the test region does not
hold. One corner differs: where every class with a precision has no support, its weighted precision falls
back to the plain mean, ours is None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MEASURES = ("f1", "iou", "precision", "recall")
"""The names of the scores, in the order in which a table shows them."""


@dataclass(frozen=True, kw_only=True)
class Measures:
    """The four scores of a class, or of an average over classes; each in [0, 1], or None where undefined."""

    precision: float | None
    recall: float | None
    f1: float | None
    iou: float | None

    def value(self, measure: str) -> float | None:
        """Return the score called `measure`, one of `MEASURES`."""
        values = {"f1": self.f1, "iou": self.iou, "precision": self.precision, "recall": self.recall}
        return values[measure]


@dataclass(frozen=True, kw_only=True)
class ClassScores(Measures):
    """The scores of one class with the number of voxels they rest on."""

    name: str
    support: int
    """Voxels of the class in the truth."""
    predicted: int
    """Labelled voxels taken for the class."""
    share: float | None
    """`support` over all labelled voxels; None when no voxel is labelled."""


@dataclass(frozen=True)
class Scores:
    """The scores of every class of one segmentation."""

    classes: tuple[ClassScores, ...]
    accuracy: float | None
    """Share of labelled voxels with the right class; None for classes counted one by one."""

    @property
    def macro(self) -> Measures:
        """Plain mean over the classes: a rare class weighs as much as a common one."""
        return average(self.classes, lambda scores: 1)

    @property
    def weighted(self) -> Measures:
        """Mean over the classes, each weighted by its support."""
        return average(self.classes, lambda scores: scores.support)

    @property
    def undefined(self) -> tuple[str, ...]:
        """Names of the classes without F1: neither in the truth nor predicted, left out of the averages."""
        return tuple(scores.name for scores in self.classes if scores.f1 is None)


def class_scores(name: str, *, tp: int, fp: int, fn: int, voxels: int) -> ClassScores:
    """Return the scores of class `name` from its true and false positives and false negatives.

    `voxels` counts all labelled voxels, of any class.
    """
    return ClassScores(
        name=name,
        support=tp + fn,
        predicted=tp + fp,
        share=ratio(tp + fn, voxels),
        precision=ratio(tp, tp + fp),
        recall=ratio(tp, tp + fn),
        f1=ratio(2 * tp, 2 * tp + fp + fn),
        iou=ratio(tp, tp + fp + fn),
    )


def average(classes: Sequence[ClassScores], weight: Callable[[ClassScores], int]) -> Measures:
    """Return the weighted mean of each score over the classes for which it is defined."""

    def mean(measure: str) -> float | None:
        defined = [(weight(c), value) for c in classes if (value := c.value(measure)) is not None]
        total = sum(parts for parts, _ in defined)
        return sum(parts * value for parts, value in defined) / total if total else None

    return Measures(precision=mean("precision"), recall=mean("recall"), f1=mean("f1"), iou=mean("iou"))


def ratio(part: int, whole: int) -> float | None:
    """Return part / whole, None for a whole of zero."""
    return part / whole if whole else None


def divide(part: NDArray[np.float64], whole: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.float64]:
    """The quotient, NaN for a whole of zero."""
    quotient: NDArray[np.float64] = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole != 0)
    return quotient
