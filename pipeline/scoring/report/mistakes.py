"""What a class is mostly mistaken for, and what is mostly mistaken for it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.scoring.confusion import ConfusionMatrix

NOTHING = ""
"""In place of a class, of voxels that were not predicted."""


class Mistake(NamedTuple):
    """The other class and how many voxels of it, or as it, there are."""

    other: str
    voxels: int


def taken_for(counts: ConfusionMatrix, name: str) -> Mistake | None:
    """What most of the missed voxels of a class were taken for; None when none was missed."""
    row = counts.class_names.index(name)
    missed = counts.counts[row].copy()
    missed[row + 1] = 0
    return _most(missed, (NOTHING, *counts.class_names))


def invented_from(counts: ConfusionMatrix, name: str) -> Mistake | None:
    """What most of the voxels are that were wrongly taken for a class; None when none was."""
    row = counts.class_names.index(name)
    invented = counts.counts[:, row + 1].copy()
    invented[row] = 0
    return _most(invented, counts.class_names)


def in_words(counts: ConfusionMatrix, name: str) -> str:
    """Return both in a sentence, as in "Mostly taken for cytosol; what is invented is mostly membrane."; or ""."""
    missed, invented = taken_for(counts, name), invented_from(counts, name)
    parts = []
    if missed:
        parts.append(f"most of what is missed was {f'taken for {missed.other}' if missed.other else 'not predicted'}")
    if invented:
        parts.append(f"most of what is invented is {invented.other}")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _most(voxels: NDArray[np.int64], names: tuple[str, ...]) -> Mistake | None:
    worst = int(voxels.argmax())
    return Mistake(names[worst], int(voxels[worst])) if voxels[worst] else None
