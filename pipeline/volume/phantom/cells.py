"""A cell of the phantom: a tube along a line segment, with a radius that may swell, and its distance field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from pipeline.volume.phantom.noise import Field

Vector = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int32]

# Myelin is stiff: its axons follow only a small part of the warp and yield little to neighbours, so they stay round.
_FIBRE_COMPLIANCE = 0.15
_FIBRE_STEEPNESS = 4.0


class Kind(IntEnum):
    """What a cell is; it decides which organelles it may hold and how bright its cytosol is."""

    AXON = 0
    DENDRITE = 1
    BOUTON = 2
    SPINE = 3
    FIBRE = 4


@dataclass(frozen=True)
class Cell:
    """One tube: `direction` is a unit vector; positions and lengths are in warped space, (z, y, x), in nm."""

    kind: Kind
    point_nm: Vector
    direction: Vector
    radius_nm: float
    half_length_nm: float = 2200.0
    swelling_nm: float = 0.0
    swelling_at_nm: float = 0.0
    swelling_length_nm: float = 150.0

    @property
    def compliance(self) -> float:
        """The part of the warp that this cell follows."""
        return _FIBRE_COMPLIANCE if self.kind is Kind.FIBRE else 1.0

    @property
    def steepness(self) -> float:
        """How fast the cell's level rises away from its surface; a steep cell keeps its own outline."""
        return _FIBRE_STEEPNESS if self.kind is Kind.FIBRE else 1.0

    @property
    def reach_nm(self) -> float:
        """Radius of a ball about `point_nm` that holds the cell."""
        return self.half_length_nm + self.radius_nm + self.swelling_nm


class CellTable:
    """Many cells as columns, so that one number or an array of numbers looks up their shape."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        direction = np.array([c.direction for c in cells])
        # Any vector that is not parallel to the axis will do to start the frame.
        helper = np.where(np.abs(direction[:, :1]) < 0.9, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
        right = np.cross(direction, helper)
        right /= np.linalg.norm(right, axis=1, keepdims=True)
        self.kind = np.array([c.kind for c in cells], dtype=np.int8)
        self.point_nm = _column([c.point_nm for c in cells])
        self.direction, self.right, self.up = (_column(v) for v in (direction, right, np.cross(direction, right)))
        self.radius_nm = _column([c.radius_nm for c in cells])
        self.half_length_nm = _column([c.half_length_nm for c in cells])
        self.swelling_nm = _column([c.swelling_nm for c in cells])
        self.swelling_at_nm = _column([c.swelling_at_nm for c in cells])
        self.swelling_length_nm = _column([c.swelling_length_nm for c in cells])
        self.compliance = _column([c.compliance for c in cells])
        self.steepness = _column([c.steepness for c in cells])

    def __len__(self) -> int:
        return len(self.kind)

    def offset_nm(self, cell: int | slice | Ids, place_nm: Sequence[Field], moved_nm: Sequence[Field]) -> list[Field]:
        """Where tissue places lie from the cell's own point, in the cell's warped space: z, y and x component.

        `moved_nm` is the displacement that the warp makes at `place_nm`.
        """
        compliance = self.compliance[cell]
        return [
            place + compliance * moved - self.point_nm[cell, axis]
            for axis, (place, moved) in enumerate(zip(place_nm, moved_nm, strict=True))
        ]

    def excess_nm(self, cell: int | slice, place_nm: Sequence[Field], moved_nm: Sequence[Field]) -> Field:
        """The level of a cell at tissue places: how far they lie outside its surface (inside: negative)."""
        offset = self.offset_nm(cell, place_nm, moved_nm)
        along = dot(offset, self.direction[cell])
        beyond = np.maximum(np.abs(along) - self.half_length_nm[cell], np.float32(0))
        across2 = squared_length(offset) - along * along + beyond * beyond
        excess: Field = np.sqrt(np.maximum(across2, np.float32(0))) - self.radius_nm[cell]
        if np.any(self.swelling_nm[cell]):
            bump = (along - self.swelling_at_nm[cell]) / self.swelling_length_nm[cell]
            excess -= self.swelling_nm[cell] * np.exp(-bump * bump)
        excess *= self.steepness[cell]
        return excess


def dot(vector: Sequence[Field], column: Field) -> Field:
    """Scalar product of vectors given as z, y, x components with rows of a table column (..., 3)."""
    z, y, x = vector
    product: Field = z * column[..., 0] + y * column[..., 1] + x * column[..., 2]
    return product


def squared_length(vector: Sequence[Field]) -> Field:
    """Squared length of vectors given as z, y, x components."""
    z, y, x = vector
    squared: Field = z * z + y * y + x * x
    return squared


def _column(values: Sequence[float] | Sequence[Vector] | Vector) -> Field:
    return np.asarray(values, dtype=np.float32)
