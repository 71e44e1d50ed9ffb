"""The specimen under the beam: which class each voxel is, and how much stain it took up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.phantom.noise import Field, SmoothNoise
from pipeline.phantom.partition import Partition
from pipeline.phantom.tissue import Kind

Mask = npt.NDArray[np.bool_]

PHANTOM_CLASSES: tuple[str, ...] = (
    "cytosol",
    "synapses",
    "mitochondria",
    "membrane",
    "vesicles",
    "endoplasmic_reticulum",
    "microtubules",
    "myelin",
)

# Shares of the voxels in the mouse-cortex capture that the phantom stands in for.
TARGET_SHARES: dict[str, float] = {
    "cytosol": 0.735,
    "synapses": 0.0029,
    "mitochondria": 0.0578,
    "membrane": 0.145,
    "vesicles": 0.0121,
    "endoplasmic_reticulum": 0.0325,
    "microtubules": 0.0065,
    "myelin": 0.0073,
}

_STRIP_NM = 1200.0
_CYTOSOL = PHANTOM_CLASSES.index("cytosol") + 1


@dataclass
class Specimen:
    """Labels and stain while they are being drawn; all arrays have the shape (z, y, x) of the frame.

    `labels` starts as cytosol alone, and each class claims voxels of it. `stain` is the density of heavy metal:
    0 is bare resin, 1 the darkest myelin. `room_nm` is how far a voxel lies from the nearest membrane or sheath
    of its own cell, and is known once those are drawn.
    """

    frame: Partition
    labels: npt.NDArray[np.uint8]
    stain: Field
    room_nm: Field

    @classmethod
    def of(cls, frame: Partition) -> Specimen:
        """A specimen that is nothing but unstained cytosol."""
        labels = np.full(frame.owner.shape, _CYTOSOL, dtype=np.uint8)
        return cls(frame, labels, np.zeros(frame.owner.shape, dtype=np.float32), frame.depth_nm)

    def wanted(self, name: str) -> int:
        """How many voxels the class should have."""
        return round(TARGET_SHARES[name] * self.labels.size)

    def free(self, box: tuple[slice, ...] = ()) -> Mask:
        """Voxels, of the whole or of a box, that no class has claimed yet."""
        unclaimed: Mask = self.labels[box] == _CYTOSOL
        return unclaimed

    def of_kind(self, *kinds: Kind) -> Mask:
        """Voxels that belong to cells of one of these kinds."""
        chosen: Mask = np.isin(self.frame.cells.kind, kinds)[self.frame.owner]
        return chosen

    def claim(self, name: str, level: Field, eligible: Mask) -> float:
        """Give the class its share: the free, eligible voxels with the lowest level. Returns the level reached."""
        candidates = np.flatnonzero(eligible & self.free() & np.isfinite(level))
        if not len(candidates):
            return 0.0
        values = level.ravel()[candidates]
        last = min(self.wanted(name), len(values)) - 1
        reached = np.partition(values, last)[last]
        self.labels.ravel()[candidates[values <= reached]] = class_id(name)
        return float(reached)

    def is_class(self, name: str) -> Mask:
        """Voxels of the class."""
        chosen: Mask = self.labels == class_id(name)
        return chosen

    def noise(self, rng: np.random.Generator, node_nm: float) -> Field:
        """Smooth noise of unit variance on the voxels, with a lattice node each `node_nm`."""
        axes = self.frame.axes_nm
        return SmoothNoise(rng, np.zeros(3), np.array([axis[-1] for axis in axes]), node_nm).sample(axes)

    def strips(self) -> int:
        """Into how many strips along x to divide the view so that a class which comes in few pieces is in each."""
        return max(3, round(float(self.frame.axes_nm[2][-1]) / _STRIP_NM))

    def position_nm(self, voxel: Sequence[int]) -> list[float]:
        """Where a voxel is: z, y, x in nm."""
        return [float(axis[i]) for axis, i in zip(self.frame.axes_nm, voxel, strict=True)]

    def box(self, center_nm: Sequence[float], reach_nm: float) -> tuple[slice, ...]:
        """The voxels at most `reach_nm` from a place along each axis."""
        return tuple(
            slice(*np.searchsorted(axis, (center - reach_nm, center + reach_nm)))
            for axis, center in zip(self.frame.axes_nm, center_nm, strict=True)
        )

    def distance_nm(self, box: tuple[slice, ...], center_nm: Sequence[float]) -> Field:
        """How far the voxels of a box lie from a place."""
        z, y, x = (
            axis[part] - np.float32(center)
            for axis, part, center in zip(self.frame.axes_nm, box, center_nm, strict=True)
        )
        distance: Field = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)
        return distance


def class_id(name: str) -> int:
    """The number under which the class is stored: its place in the order of classes, from 1."""
    return PHANTOM_CLASSES.index(name) + 1
