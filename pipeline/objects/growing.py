"""Each voxel of a class to the nearest core, inside the class and within a reach: exact whatever the block.

Distances are counted in whole steps from voxel to voxel over faces; a step along an axis is as long as its voxels are
in units of the shortest, rounded. Of cores that are equally near, the one with the least number wins. What is decided
for a voxel depends on nothing beyond the reach: a block that is read with that halo is decided as the whole volume is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.volume.geometry import Zyx, ZyxNm, zyx


@dataclass(frozen=True)
class Reach:
    """How far cores grow."""

    steps_zyx: Zyx
    """Length of a step along each axis."""
    longest: int
    """Of a way from a core's voxel, in the same unit."""

    @classmethod
    def of(cls, reach_nm: float, voxel_size_nm: ZyxNm) -> Reach:
        """At most so many nanometres through voxels of this size (z, y, x)."""
        unit_nm = min(voxel_size_nm)
        return cls(zyx([round(size / unit_nm) for size in voxel_size_nm], "steps"), int(reach_nm / unit_nm))

    @property
    def halo_zyx(self) -> Zyx:
        """Voxels to each side that what becomes of a voxel can depend on."""
        return zyx([self.longest // step for step in self.steps_zyx], "halo")


def grow(cores: NDArray[Any], classes: NDArray[np.uint8], reach: Reach) -> NDArray[Any]:
    """The number of the core that each voxel goes to; 0 where none reaches.

    Args:
        cores: numbers of cores, shape (z, y, x); 0 where there is none.
        classes: of each voxel, same shape; 0 where it is of none. A core lies in its class.
        reach: how far they grow.
    """
    # A rim of nothing, so that no step leaves an axis for the next row.
    of_class = np.pad(classes, 1).ravel()
    grown_ZYX = np.pad(cores, 1)
    grown, shape = grown_ZYX.ravel(), grown_ZYX.shape
    strides = (shape[1] * shape[2], shape[2], 1)
    layers = {0: np.flatnonzero(grown)}
    for length in range(1, reach.longest + 1):
        places, numbers = [], []
        for stride, step in zip(strides, reach.steps_zyx, strict=True):
            source = layers.get(length - step)
            if source is None:
                continue
            for target in (source - stride, source + stride):
                new = (grown[target] == 0) & (of_class[target] == of_class[source])
                places.append(target[new])
                numbers.append(grown[source[new]])
        layers.pop(length - max(reach.steps_zyx), None)
        if places:
            layers[length] = _least(np.concatenate(places), np.concatenate(numbers), grown)
        if not any(len(layer) for layer in layers.values()):
            break
    return grown_ZYX[1:-1, 1:-1, 1:-1]


def _least(places: NDArray[np.intp], numbers: NDArray[Any], grown: NDArray[Any]) -> NDArray[np.intp]:
    """Give each place the least of its numbers; returns the places, each once."""
    order = np.lexsort((numbers, places))
    places, numbers = places[order], numbers[order]
    new = np.ones(len(places), bool)
    new[1:] = places[1:] != places[:-1]
    grown[places[new]] = numbers[new]
    return places[new]
