"""Confusion volumes: for each voxel, what it is and what it was taken for, in one number.

The value is ``base * truth + prediction``. Up to 99 classes the base is 100, so that the number under a
viewer's cursor can be read as it is: 305 is class 3 taken for class 5, 303 is class 3 found, 300 is class 3
not predicted, and 0 is a voxel that nobody labelled. More classes use base 256, which still fits two bytes.

For overlapping classes there is one volume a class, of two classes (its name, "rest"): see `one_vs_rest_ids`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.scoring.confusion import MAX_EXCLUSIVE_CLASSES, Ids, check_ids

_NOT_PREDICTED_COLOR = "#ffffff"
_BLACK = "#000000"


class ConfusionLabel(NamedTuple):
    """One value of a confusion volume, as OME-Zarr's image-label properties and colours show it."""

    value: int
    name: str
    color: str
    """#rrggbb: dim where the class was found, bright where it was taken for another."""


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
    """Return the ids of truth and prediction; both are 0 where nobody labelled."""
    base = np.uint16(encoding_base(n_classes))
    return (values // base).astype(np.uint8), (values % base).astype(np.uint8)


def confusion_labels(class_names: Sequence[str], colors: Sequence[str]) -> list[ConfusionLabel]:
    """Return every value of a confusion volume but 0, with its name and colour.

    `colors` are the classes' own, as #rrggbb. A voxel that was found keeps its class's colour, darkened; a
    wrong one has the colour of what it was taken for, tinted by what it is; one that was not predicted is
    white.
    """
    base = encoding_base(len(class_names))
    names, hues = ["", *class_names], ["", *colors]
    pairs = ((t, p) for t in range(1, len(names)) for p in range(len(names)))
    return [ConfusionLabel(base * t + p, _pair_name(names, t, p), _pair_color(hues, t, p)) for t, p in pairs]


def _pair_name(names: Sequence[str], truth: int, predicted: int) -> str:
    if predicted == 0:
        return f"{names[truth]} not predicted"
    return f"{names[truth]} found" if truth == predicted else f"{names[truth]} taken for {names[predicted]}"


def _pair_color(colors: Sequence[str], truth: int, predicted: int) -> str:
    if predicted == 0:
        return _NOT_PREDICTED_COLOR
    if truth == predicted:
        return mix(colors[truth], _BLACK, 0.65)
    return mix(colors[predicted], colors[truth], 0.2)


def mix(color: str, other: str, share: float) -> str:
    """Return the colour #rrggbb with `share` (0 to 1) of `other` in it."""
    pairs = zip(bytes.fromhex(color[1:]), bytes.fromhex(other[1:]), strict=True)
    return "#" + bytes(round(a + share * (b - a)) for a, b in pairs).hex()
