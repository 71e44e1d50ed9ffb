"""The confusion matrix as a table: each row in per cent of its class, in shades that suit a light and a dark page."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.scoring.confusion import BinaryConfusion, ClasswiseConfusion, ConfusionMatrix
from pipeline.scoring.report.colors import DARK_SCALE, LIGHT_SCALE, ink_on, shade
from pipeline.scoring.report.numbers import share


@dataclass(frozen=True)
class MatrixCell:
    """Voxels of one class that were taken for another; `text` is in per cent of the class, "" for none."""

    voxels: int
    text: str
    style: str
    """CSS custom properties: colours of the cell and its text, on a light and on a dark page."""
    is_right: bool


@dataclass(frozen=True)
class MatrixRow:
    """What became of the voxels of one class."""

    name: str
    support: int
    cells: tuple[MatrixCell, ...]


@dataclass(frozen=True)
class Matrix:
    """Rows are the truth, columns the prediction."""

    columns: tuple[str, ...]
    rows: tuple[MatrixRow, ...]


@dataclass(frozen=True)
class Tally:
    """A class that is predicted by itself, in per cent of its voxels in the truth."""

    name: str
    support: int
    found: str
    missed: str
    invented: str


def matrix(counts: ConfusionMatrix) -> Matrix:
    """Return the matrix; the column of what was not predicted is there only if such voxels are, and comes last."""
    has_gaps = bool(counts.counts[:, 0].any())
    order = [*range(1, counts.n_classes + 1), *([0] if has_gaps else [])]
    names = ("not predicted", *counts.class_names)
    rows = [
        MatrixRow(
            name,
            int(line.sum()),
            tuple(_cell(int(line[column]), int(line.sum()), is_right=column == row) for column in order),
        )
        for row, (name, line) in enumerate(zip(counts.class_names, counts.counts, strict=True), 1)
    ]
    return Matrix(tuple(names[column] for column in order), tuple(rows))


def tallies(counts: ClasswiseConfusion) -> list[Tally]:
    """Return what was found, missed and invented of each class: all that there is where each has its own network."""
    return [_tally(name, one) for name, one in counts.by_class.items()]


def _cell(voxels: int, support: int, *, is_right: bool) -> MatrixCell:
    part = voxels / support if support else 0.0
    light, dark = shade(part, LIGHT_SCALE), shade(part, DARK_SCALE)
    style = f"--light:{light};--light-ink:{ink_on(light)};--dark:{dark};--dark-ink:{ink_on(dark)}"
    return MatrixCell(voxels, share(voxels, support), style, is_right)


def _tally(name: str, counts: BinaryConfusion) -> Tally:
    support = counts.tp + counts.fn
    found, missed, invented = (share(voxels, support) for voxels in (counts.tp, counts.fn, counts.fp))
    return Tally(name, support, found, missed, invented)
