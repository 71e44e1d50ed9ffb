"""What charts show, worked out once: `charts` draws it as files, `report` on its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.formats import percent_part
from pipeline.scoring.confusion import ConfusionMatrix

History = Sequence[Mapping[str, Any]]
"""Records of a training: "step", and any of "loss" and "validation_macro_f1"."""
Points = NDArray[np.float64]
"""Steps and values, (n, 2)."""

_MOST_CURVE_POINTS = 100


@dataclass(frozen=True)
class MatrixCell:
    """Voxels of one class that were taken for another."""

    voxels: int
    share: float
    """Of the class in the truth."""
    text: str
    """The same in per cent; "" for none."""
    is_right: bool


@dataclass(frozen=True)
class MatrixRow:
    """What became of the voxels of one class."""

    name: str
    support: int
    cells: tuple[MatrixCell, ...]


@dataclass(frozen=True)
class Matrix:
    """Rows are the truth, columns the prediction; "not predicted" is the first, where such voxels are."""

    columns: tuple[str, ...]
    rows: tuple[MatrixRow, ...]


@dataclass(frozen=True)
class Curve:
    """How the training of a target went."""

    target: str
    loss: Points
    f1: Points
    """Macro F1 on the validation part."""

    @property
    def smooth_loss(self) -> Points:
        """Means over stretches of equal length, where there are many records: the noise of batches hides the course."""
        if len(self.loss) <= _MOST_CURVE_POINTS:
            return self.loss
        return np.array([part.mean(axis=0) for part in np.array_split(self.loss, _MOST_CURVE_POINTS)])

    @property
    def best(self) -> tuple[float, float] | None:
        """Step and F1 of the best validation; None before the first."""
        if not len(self.f1):
            return None
        step, value = self.f1[self.f1[:, 1].argmax()].tolist()
        return step, value


def matrix(counts: ConfusionMatrix) -> Matrix:
    """Return the matrix to show; the column of what was not predicted is there only if such voxels are."""
    first = 0 if counts.counts[:, 0].any() else 1
    rows = [
        MatrixRow(name, int(line.sum()), tuple(_cells(line, own, first)))
        for own, (name, line) in enumerate(zip(counts.class_names, counts.counts, strict=True), start=1)
    ]
    return Matrix(("not predicted", *counts.class_names)[first:], tuple(rows))


def curve(target: str, history: History) -> Curve:
    """Return what a history holds: of each measure the steps and values of the records with a finite one."""
    return Curve(target, _series(history, "loss"), _series(history, "validation_macro_f1"))


def _cells(line: NDArray[np.int64], own: int, first: int) -> list[MatrixCell]:
    support = int(line.sum())
    return [
        MatrixCell(voxels, voxels / max(support, 1), percent_part(voxels, support), column == own)
        for column, voxels in enumerate(line.tolist())
        if column >= first
    ]


def _series(history: History, key: str) -> Points:
    pairs = [(record["step"], value) for record in history if (value := record.get(key)) is not None]
    points = np.array(pairs, np.float64).reshape(-1, 2)
    return points[np.isfinite(points[:, 1])]
