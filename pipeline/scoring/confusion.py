"""Exact counts of what each voxel is and what it was taken for.

Three counters, filled block by block and merged with `+`. They count in whole numbers (int64 or
Python's own), so the sum over any partition of a volume equals the count of the whole:

`ConfusionMatrix`      exclusive classes, one id a voxel
`BinaryConfusion`      one class against the rest
`ClasswiseConfusion`   one `BinaryConfusion` a class: overlapping classes, or a set of one-vs-rest networks

A voxel that nobody labelled is ignored. A labelled voxel without a prediction is always an error: it is
counted as *not predicted* and lowers the recall of its class.

A *confusion volume* keeps both ids of each voxel in one number, ``base * truth + prediction``. Up to 99 classes the
base is 100, so that the number under a viewer's cursor can be read as it is: 305 is class 3 taken for class 5, 303 is
class 3 found, 300 is class 3 not predicted, and 0 is a voxel that nobody labelled. More classes use base 256, which
still fits two bytes. For overlapping classes there is one volume a class, of two classes (its name, "rest"): see
`one_vs_rest_ids`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DataError, InputError
from pipeline.scoring.scores import ClassScores, Scores, class_scores, ratio

MAX_EXCLUSIVE_CLASSES = 255
"""With ids of one byte, a pair of ids fits two bytes."""
MAX_OVERLAPPING_CLASSES = 31
"""Bit 0 of a uint32 says that the voxel is labelled, the others are classes."""

# The pair codes of a piece and bincount's eight-byte copy of them stay in the processor's cache.
_PIECE_VOXELS = 1 << 17

Ids = NDArray[np.integer[Any]]


class ConfusionMatrix:
    """Counts of exclusive classes.

    `counts` is int64 of shape (classes, 1 + classes). Row i holds the voxels that are class i + 1; column j
    those taken for class j, column 0 those that were not predicted.
    """

    def __init__(self, class_names: Sequence[str], counts: NDArray[np.int64] | None = None) -> None:
        self.class_names = _checked_names(class_names, MAX_EXCLUSIVE_CLASSES)
        shape = (self.n_classes, self.n_classes + 1)
        self.counts = np.zeros(shape, np.int64) if counts is None else np.array(counts, np.int64)
        if self.counts.shape != shape or (self.counts < 0).any():
            raise InputError(
                f"confusion matrix: counts of shape {self.counts.shape} for {self.n_classes} classes; "
                f"give non-negative counts of shape {shape}, column 0 being 'not predicted'"
            )

    @property
    def n_classes(self) -> int:
        """Number of classes; their ids are 1 to `n_classes`."""
        return len(self.class_names)

    @property
    def voxels(self) -> int:
        """Number of labelled voxels counted so far."""
        return int(self.counts.sum())

    def update(self, truth_ids: Ids, predicted_ids: Ids) -> None:
        """Count a block: two id arrays of one shape, in which 0 is unlabelled and not predicted.

        Raises InputError when the shapes differ or an id is above the number of classes.
        """
        check_ids(truth_ids, predicted_ids, self.n_classes)
        base = self.n_classes + 1
        pairs = np.zeros(base * base, np.int64)
        for truth, predicted in _pieces(truth_ids, predicted_ids):
            pairs += np.bincount(pair_codes(truth, predicted, base), minlength=base * base)
        self.counts += pairs.reshape(base, base)[1:]

    def one_vs_rest(self) -> ClasswiseConfusion:
        """Return the counts of each class against all others."""
        return ClasswiseConfusion({name: self._binary(row) for row, name in enumerate(self.class_names)})

    def scores(self) -> Scores:
        """Return the scores of every class and the accuracy."""
        correct = int(np.trace(self.counts, offset=1))
        return Scores(self.one_vs_rest().scores().classes, accuracy=ratio(correct, self.voxels))

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        """Return the counts of both; InputError when their classes differ."""
        _check_same_names(self.class_names, other.class_names)
        return ConfusionMatrix(self.class_names, self.counts + other.counts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ConfusionMatrix):
            return NotImplemented
        return self.class_names == other.class_names and bool(np.array_equal(self.counts, other.counts))

    __hash__ = None  # type: ignore[assignment]  # the counts change

    def __repr__(self) -> str:
        return f"ConfusionMatrix({self.n_classes} classes, {self.voxels} voxels)"

    def to_json(self) -> dict[str, Any]:
        """Return the counts as plain JSON data; `confusion_from_json` is the way back."""
        return {"kind": "exclusive", "classes": list(self.class_names), "counts": self.counts.tolist()}

    def _binary(self, row: int) -> BinaryConfusion:
        tp = int(self.counts[row, row + 1])
        fn = int(self.counts[row].sum()) - tp
        fp = int(self.counts[:, row + 1].sum()) - tp
        not_predicted = int(self.counts[:, 0].sum() - self.counts[row, 0])
        return BinaryConfusion(tp, fp, fn, self.voxels - tp - fp - fn - not_predicted, not_predicted)


@dataclass
class BinaryConfusion:
    """Counts of one class against the rest; the five numbers add up to the labelled voxels."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    """Voxels of the class that were taken for the rest, or not predicted at all."""
    tn: int = 0
    not_predicted: int = 0
    """Voxels of the rest that were not predicted: no credit as true negatives."""

    @property
    def voxels(self) -> int:
        """Number of labelled voxels counted so far."""
        return self.tp + self.fp + self.fn + self.tn + self.not_predicted

    @property
    def accuracy(self) -> float | None:
        """Share of labelled voxels told rightly as the class or the rest; None when none is labelled."""
        return ratio(self.tp + self.tn, self.voxels)

    def count(self, *, voxels: int, truth: int, predicted: int, both: int, not_predicted: int) -> None:
        """Add labelled voxels: `truth` are the class, `predicted` were taken for it, `both` are and were.

        `not_predicted` are not the class and have no prediction.
        """
        self.tp += both
        self.fp += predicted - both
        self.fn += truth - both
        self.not_predicted += not_predicted
        self.tn += voxels - truth - (predicted - both) - not_predicted

    def scores(self, name: str) -> ClassScores:
        """Return the scores under the class name `name`."""
        return class_scores(name, tp=self.tp, fp=self.fp, fn=self.fn, voxels=self.voxels)

    def __add__(self, other: BinaryConfusion) -> BinaryConfusion:
        """Return the counts of both."""
        return BinaryConfusion(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def to_json(self) -> dict[str, int]:
        """Return the counts as plain JSON data."""
        return asdict(self)


@dataclass
class ClasswiseConfusion:
    """Counts of classes that do not exclude each other, or that were predicted by separate networks."""

    by_class: dict[str, BinaryConfusion]

    @classmethod
    def empty(cls, class_names: Sequence[str]) -> ClasswiseConfusion:
        """Return a counter of overlapping classes; class k of `update`'s bits is the k-th name."""
        names = _checked_names(class_names, MAX_OVERLAPPING_CLASSES)
        return cls({name: BinaryConfusion() for name in names})

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in order."""
        return tuple(self.by_class)

    def update(self, truth_bits: NDArray[np.uint32], predicted_bits: NDArray[np.uint32]) -> None:
        """Count a block of bit masks of one shape: bit 0 labelled (covered), bit k class k.

        Raises InputError when a shape or dtype differs, or when a bit above the number of classes is set.
        """
        check_bits(truth_bits, predicted_bits, len(self.by_class))
        for truth, predicted in _pieces(truth_bits, predicted_bits):
            self._update_piece(truth, predicted)

    def scores(self) -> Scores:
        """Return the scores of every class; there is no accuracy over classes that overlap."""
        return Scores(tuple(counts.scores(name) for name, counts in self.by_class.items()), accuracy=None)

    def __add__(self, other: ClasswiseConfusion) -> ClasswiseConfusion:
        """Return the counts of both; InputError when their classes differ."""
        _check_same_names(self.class_names, other.class_names)
        return ClasswiseConfusion({n: counts + other.by_class[n] for n, counts in self.by_class.items()})

    def to_json(self) -> dict[str, Any]:
        """Return the counts as plain JSON data; `confusion_from_json` is the way back."""
        return {"kind": "classwise", "classes": {n: counts.to_json() for n, counts in self.by_class.items()}}

    def _update_piece(self, truth_bits: NDArray[np.uint32], predicted_bits: NDArray[np.uint32]) -> None:
        labelled = truth_bits & 1
        covered = labelled & predicted_bits
        # Multiplying by 0 or 1 clears all bits of a voxel that is unlabelled or not predicted.
        truth, predicted = truth_bits * labelled, predicted_bits * covered
        both, uncovered = truth & predicted, truth * (labelled ^ covered)
        voxels, gaps = _count(labelled), _count(labelled ^ covered)
        for k, counts in enumerate(self.by_class.values(), start=1):
            bit = np.uint32(1 << k)
            counts.count(
                voxels=voxels,
                truth=_count(truth & bit),
                predicted=_count(predicted & bit),
                both=_count(both & bit),
                not_predicted=gaps - _count(uncovered & bit),
            )


Confusion = ConfusionMatrix | ClasswiseConfusion


def confusion_from_json(data: Mapping[str, Any]) -> Confusion:
    """Return the `ConfusionMatrix` or `ClasswiseConfusion` whose `to_json` is `data`.

    Raises DataError when it is neither.
    """
    try:
        if data["kind"] == "exclusive":
            return ConfusionMatrix(data["classes"], np.array(data["counts"], np.int64))
        if data["kind"] == "classwise":
            return ClasswiseConfusion({name: BinaryConfusion(**c) for name, c in data["classes"].items()})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"these are not the counts of a confusion matrix ({error}); score again") from error
    raise DataError(f"these are not the counts of a confusion matrix (kind {data['kind']!r}); score again")


def pair_codes(truth: Ids, predicted: Ids, base: int) -> NDArray[np.unsignedinteger[Any]]:
    """Return truth * base + predicted in the smallest type that holds it; ids < `base` <= 256."""
    dtype = np.dtype(np.uint8 if base * base <= 1 << 8 else np.uint16)
    codes: NDArray[np.unsignedinteger[Any]] = truth.astype(dtype)
    codes *= dtype.type(base)
    codes += predicted.astype(dtype, copy=False)
    return codes


def encoding_base(n_classes: int) -> int:
    """Return what the class of the truth is multiplied by in a confusion volume of `n_classes` classes."""
    if not 1 <= n_classes <= MAX_EXCLUSIVE_CLASSES:
        raise InputError(f"confusion volume of {n_classes} classes: there can be 1 to {MAX_EXCLUSIVE_CLASSES}")
    return 100 if n_classes < 100 else 256


def confusion_block(truth_ids: Ids, predicted_ids: Ids, n_classes: int) -> NDArray[np.uint16]:
    """Return the confusion volume of a block: uint16 of the same shape as the two id arrays.

    Raises InputError when the shapes differ or an id is above `n_classes`.
    """
    base = encoding_base(n_classes)
    check_ids(truth_ids, predicted_ids, n_classes)
    truth = truth_ids.astype(np.uint16)
    return (truth * np.uint16(base) + predicted_ids.astype(np.uint16)) * (truth > 0)


def decode(values: NDArray[np.uint16], n_classes: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the ids of truth and prediction of a confusion volume; both are 0 where nobody labelled."""
    base = np.uint16(encoding_base(n_classes))
    return (values // base).astype(np.uint8), (values % base).astype(np.uint8)


def one_vs_rest_ids(bits: NDArray[np.uint32], class_id: int) -> NDArray[np.uint8]:
    """Return one overlapping class as exclusive ids: 1 the class, 2 the rest, 0 where bit 0 is not set."""
    is_class = (bits >> np.uint32(class_id) & 1).astype(np.uint8)
    return (2 - is_class) * (bits & 1).astype(np.uint8)


def check_ids(truth_ids: Ids, predicted_ids: Ids, n_classes: int) -> None:
    """Raise InputError unless both arrays have one shape, an integer type, and ids from 0 to `n_classes`."""
    _check_same_shape(truth_ids.shape, predicted_ids.shape)
    for what, ids in (("truth", truth_ids), ("prediction", predicted_ids)):
        if not np.issubdtype(ids.dtype, np.integer):
            raise InputError(f"the {what} is of type {ids.dtype}; give class ids of an integer type")
        if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) <= n_classes:
            raise InputError(
                f"the {what} holds class id {_offender(ids, n_classes)}, but ids go from 0 to {n_classes}: "
                "it was made with other classes than these"
            )


def check_bits(truth_bits: NDArray[np.uint32], predicted_bits: NDArray[np.uint32], n_classes: int) -> None:
    """Raise InputError unless both are uint32 arrays of one shape with no bit above `n_classes`."""
    _check_same_shape(truth_bits.shape, predicted_bits.shape)
    for what, bits in (("truth", truth_bits), ("prediction", predicted_bits)):
        if bits.dtype != np.uint32:
            raise InputError(f"the {what} is of type {bits.dtype}; overlapping classes are uint32 bit masks")
        if bits.size and int(bits.max()) >> (n_classes + 1):
            raise InputError(
                f"the {what} has bit {int(bits.max()).bit_length() - 1} set, but bits go up to {n_classes}: "
                "it was made with other classes than these"
            )


def _count(values: NDArray[Any]) -> int:
    return int(np.count_nonzero(values))


def _offender(ids: Ids, n_classes: int) -> int:
    lowest = int(ids.min())
    return lowest if lowest < 0 else int(ids.max())


def _check_same_shape(truth: tuple[int, ...], predicted: tuple[int, ...]) -> None:
    if truth != predicted:
        raise InputError(f"truth of shape {truth} and prediction of {predicted}: give the same block of both")


def _checked_names(class_names: Sequence[str], most: int) -> tuple[str, ...]:
    names = tuple(class_names)
    if not 1 <= len(names) <= most or len(set(names)) < len(names):
        raise InputError(f"class names {', '.join(names)}: give 1 to {most} different names")
    return names


def _check_same_names(ours: tuple[str, ...], theirs: tuple[str, ...]) -> None:
    if ours != theirs:
        raise InputError(
            f"counts of the classes {', '.join(ours)} cannot be added to those of {', '.join(theirs)}; "
            "score both with one configuration"
        )


def _pieces(truth: NDArray[Any], predicted: NDArray[Any]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    truth, predicted = truth.ravel(), predicted.ravel()
    for start in range(0, truth.size, _PIECE_VOXELS):
        piece = slice(start, start + _PIECE_VOXELS)
        yield truth[piece], predicted[piece]
