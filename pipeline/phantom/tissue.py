"""The tissue: cells of many calibres packed into the view until no room is left between them.

A cell is a tube along a line segment, with a radius that may swell, and its distance field. Cells are straight in
*warped space*; the warp, a smooth random displacement, bends them in the tissue.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from pipeline.phantom.noise import Axes, Field, SmoothNoise

Vector = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int32]

# Myelin is stiff: its axons follow only a small part of the warp and yield little to neighbours, so they stay round.
_FIBRE_COMPLIANCE = 0.15
_FIBRE_STEEPNESS = 4.0

_MARGIN_NM = 200.0  # cells that lie just outside the view still press on those inside
_PACKING_STEP_NM = 40.0
_WARPS = ((230.0, 85.0), (85.0, 22.0), (42.0, 6.0))  # (lattice node distance, amplitude) of the displacement, nm
_WIDEST_GAP_NM = 62.0  # about the calibre of the thinnest axons: they grow until they fill it
_FIBRE_NM = 300.0  # outer radius of a myelinated fibre where there is room for it
_THIN_FIBRE_NM = 110.0  # a whole fibre thinner than this would not be myelinated
_SHEATH_SHARE = 0.44  # of a fibre's cross-section: a g-ratio (inner over outer diameter) of 0.75


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


class Warp:
    """The displacement from tissue to warped space, smooth and the same for every cell."""

    def __init__(self, rng: np.random.Generator, start_nm: Vector, stop_nm: Vector) -> None:
        self._parts = [
            [(np.float32(amplitude), SmoothNoise(rng, start_nm, stop_nm, node)) for node, amplitude in _WARPS]
            for _axis in range(3)
        ]

    def displacement_nm(self, axes_nm: Axes) -> list[Field]:
        """Its z, y and x component on the grid spanned by three axes, each (Z, Y, X) float32."""
        components = []
        for parts in self._parts:
            first, *rest = (amplitude * noise.sample(axes_nm) for amplitude, noise in parts)
            for octave in rest:
                first += octave
            components.append(first)
        return components

    def at(self, position_nm: Vector) -> Vector:
        """The warped position of one point of the tissue."""
        z, y, x = position_nm.astype(np.float32)[:, None]
        moved = [component.item() for component in self.displacement_nm((z, y, x))]
        warped: Vector = position_nm + np.array(moved)
        return warped


@dataclass(frozen=True)
class SynapseSite:
    """Where a bouton and a spine touch: the bouton's number and the planned place in tissue space (z, y, x, nm)."""

    bouton: int
    center_nm: Vector


@dataclass(frozen=True)
class Tissue:
    """The packed cells of one capture, in nm from the centre of its first voxel."""

    extent_nm: Vector
    warp: Warp
    cells: list[Cell] = field(default_factory=list)
    synapses: list[SynapseSite] = field(default_factory=list)


def grow_tissue(extent_nm: Vector, rng: np.random.Generator, *, synapses: int, sheath_area_nm2: float) -> Tissue:
    """Pack a box of `extent_nm` (z, y, x) with cells.

    `synapses` is how many boutons meet a spine; `sheath_area_nm2` is the area of myelin that a cross-section
    in y and x should show, from which the number and calibre of the myelinated fibres follow.
    """
    tissue = Tissue(extent_nm, Warp(rng, np.full(3, -_MARGIN_NM), extent_nm + _MARGIN_NM))
    packing = _Packing(tissue, rng)
    for cell in _fibres(tissue, sheath_area_nm2, rng):
        packing.add(cell)
    for number in range(synapses):
        # Neighbours along x stand in different halves of y, out of each other's way.
        half = 0.5 * (number % 2)
        packing.add_synapse(rng.uniform(0.15, 0.35) + half, (number + 0.5) / synapses)
    packing.fill()
    return tissue


def _fibres(tissue: Tissue, sheath_area_nm2: float, rng: np.random.Generator) -> list[Cell]:
    """Myelinated axons along z: one on a corner of the view at either end of x, the others evenly between.

    Those between are whole where the wanted area allows a plausible calibre. In a smaller view they too are cut
    by a face, so that what little myelin there may be still has the curvature of a sheath.
    """
    extent = tissue.extent_nm
    sections_nm2 = sheath_area_nm2 / (_SHEATH_SHARE * math.pi)
    inner = max(1, round(sections_nm2 / _FIBRE_NM**2 - 0.5))
    # Two fibres show a quarter of their section; those between them show all of it, or half.
    radius = math.sqrt(sections_nm2 / (inner + 0.5))
    whole = radius > _THIN_FIBRE_NM
    if not whole:
        radius = math.sqrt(sections_nm2 / (0.5 * inner + 0.5))
    # Through a deep stack a steeper fibre would leave the view.
    tilt = min(0.08, 0.5 * radius / max(float(extent[0]), radius))
    side = bool(rng.random() < 0.5)
    cells = []
    for number in range(inner + 2):
        edge = extent[1] * float(side ^ (number % 2 == 1))
        inside = extent[1] * rng.uniform(0.3, 0.7)
        y = inside if whole and 0 < number <= inner else edge
        center = np.array([extent[0] / 2, y, extent[2] * number / (inner + 1)])
        direction = _unit(np.array([1.0, *rng.uniform(-tilt, tilt, 2)]))
        cell = Cell(Kind.FIBRE, center, direction, radius, half_length_nm=extent[0] + 2 * _MARGIN_NM)
        point = center + cell.compliance * (tissue.warp.at(center) - center)
        cells.append(replace(cell, point_nm=point))
    return cells


class _Packing:
    """Adds cells one by one, keeping the room that is left on a coarse grid."""

    def __init__(self, tissue: Tissue, rng: np.random.Generator) -> None:
        self._tissue, self._rng = tissue, rng
        margin = 0.7 * _MARGIN_NM
        z, y, x = (np.arange(-margin, size + margin, _PACKING_STEP_NM, dtype=np.float32) for size in tissue.extent_nm)
        self._axes: Axes = (z, y, x)
        self._grid = np.meshgrid(z, y, x, indexing="ij")
        self._moved = tissue.warp.displacement_nm(self._axes)
        # How far a place lies from the nearest cell; negative inside.
        self._gap: Field = np.full(self._grid[0].shape, np.inf, dtype=np.float32)

    def add(self, cell: Cell) -> int:
        """Put the cell in, take its room from the grid, and return its number."""
        box = self._box(cell)
        excess = CellTable([cell]).excess_nm(0, [g[box] for g in self._grid], [m[box] for m in self._moved])
        np.minimum(self._gap[box], excess, out=self._gap[box])
        self._tissue.cells.append(cell)
        return len(self._tissue.cells) - 1

    def _box(self, cell: Cell) -> tuple[slice, ...]:
        """The part of the grid that the cell, or the room right beside it, can reach."""
        reach = cell.reach_nm + 3 * _MARGIN_NM
        return tuple(
            slice(*np.searchsorted(axis, (center - reach, center + reach)))
            for axis, center in zip(self._axes, cell.point_nm, strict=True)
        )

    def add_synapse(self, y_fraction: float, x_fraction: float) -> None:
        """A bouton on a thin axon and the head of a spine, touching at one point of the view."""
        rng, extent = self._rng, self._tissue.extent_nm
        center = extent * np.array([rng.uniform(0.3, 0.7), y_fraction, x_fraction])
        azimuth = rng.uniform(0, 2 * math.pi)
        # The contact stands upright in the view, so that a section shows it in profile.
        normal = _unit(np.array([rng.uniform(-0.35, 0.35), math.sin(azimuth), math.cos(azimuth)]))
        tangent = _unit(np.cross(normal, _unit(rng.standard_normal(3))))
        scale = min(1.0, float(extent[1:].min()) / 1800.0)
        bouton, head = rng.uniform(170, 240) * scale, rng.uniform(120, 190) * scale
        axon, neck, neck_length = 50.0 * scale, 40.0 * scale, 180.0 * scale
        warp = self._tissue.warp
        number = self.add(
            Cell(
                Kind.BOUTON,
                warp.at(center - normal * bouton),
                tangent,
                axon,
                swelling_nm=bouton - axon,
                swelling_length_nm=1.3 * bouton,
            )
        )
        self.add(
            Cell(
                Kind.SPINE,
                warp.at(center + normal * (head + neck_length)),
                normal,
                neck,
                half_length_nm=neck_length,
                swelling_nm=head - neck,
                swelling_at_nm=-neck_length,
                swelling_length_nm=1.1 * head,
            )
        )
        self._tissue.synapses.append(SynapseSite(number, center))

    def fill(self) -> None:
        """Dendrites first, then axons into whatever gap is left."""
        rng, extent = self._rng, self._tissue.extent_nm
        largest = 0.24 * float(extent[1:].min())
        area_um2 = float(extent[1] * extent[2]) * 1e-6
        for _ in range(max(1, round(0.55 * area_um2 * max(1.0, extent[0] / 2500.0)))):
            self._add_tube(Kind.DENDRITE, min(rng.uniform(160, 420), largest))
        while float(self._gap.max()) > _WIDEST_GAP_NM:
            self._add_tube(Kind.AXON, float(np.clip(rng.lognormal(math.log(78.0), 0.45), 40.0, 190.0)))

    def _add_tube(self, kind: Kind, radius_nm: float) -> None:
        """A tube through a free place, in the one of several directions that crosses the fewest others."""
        rng = self._rng
        free = np.flatnonzero(self._gap >= min(radius_nm, 0.9 * float(self._gap.max())))
        index = np.unravel_index(int(rng.choice(free)), self._gap.shape)
        here = np.array([float(axis[i]) for axis, i in zip(self._axes, index, strict=True)])
        directions = [_unit(rng.standard_normal(3)) for _ in range(8)]
        varicose = kind is Kind.AXON and rng.random() < 0.4
        self.add(
            Cell(
                kind,
                here + [float(m[index]) for m in self._moved],
                max(directions, key=lambda direction: self._clearance(here, direction, radius_nm)),
                radius_nm,
                swelling_nm=radius_nm * rng.uniform(0.4, 1.1) if varicose else 0.0,
                swelling_at_nm=rng.uniform(-600, 600),
                swelling_length_nm=rng.uniform(120, 260),
            )
        )

    def _clearance(self, here_nm: Vector, direction: Vector, radius_nm: float) -> float:
        """Mean room, capped at the radius, along a line through `here_nm`."""
        places = here_nm + np.arange(-900.0, 901.0, 60.0)[:, None] * direction
        index = np.rint((places - [float(a[0]) for a in self._axes]) / _PACKING_STEP_NM).astype(np.intp)
        inside = np.all((index >= 0) & (index < self._gap.shape), axis=1)
        return float(np.minimum(self._gap[tuple(index[inside].T)], radius_nm).mean())


def _unit(vector: Vector) -> Vector:
    return vector / float(np.linalg.norm(vector))
