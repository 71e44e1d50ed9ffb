"""The surface of objects from how often lines enter and leave them (Crofton), which adds up over any tiling.

A plane with the unit normal n is crossed by the lines of direction u, each of which stands for an area a of the plane
across it, |n·u| / a times an area. A mean over all directions is 1/2 for every n; hence the surface is twice the mean
over directions of crossings × a (Ohser and Mücklich, "Statistical Analysis of Microstructures in Materials Science",
2000, chapter 4). Lines here run through voxel centres in 13 directions, those of the 26 neighbours. Where voxels are
longer in one axis, steps along the other axes are several voxels long, so that the directions stay spread: with
neighbours alone, nine of 13 directions would lie within 13° of the axis in voxels of 50 × 8 × 8 nm.

The weights of the directions are those that come nearest, in squares, to the same area for planes of every orientation;
their sum is 1, which makes spheres right on average.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from pipeline.volume.geometry import Zyx, ZyxNm

SIGNS = tuple(signs for signs in product((0, 1, -1), repeat=3) if signs > (0, 0, 0) and next(filter(None, signs)) > 0)
"""The 13 pairs of opposite neighbours, one of each."""
_LATITUDES = 64


@dataclass(frozen=True)
class Lines:
    """Directions of lines through a volume of one voxel size, and what a crossing of each is worth."""

    voxel_size_nm: ZyxNm

    @cached_property
    def steps_zyx(self) -> tuple[Zyx, ...]:
        """From a voxel to the next on its line, in voxels."""
        return tuple(self._step(signs) for signs in SIGNS)

    def _step(self, signs: tuple[int, ...]) -> Zyx:
        longest = max(size for size, sign in zip(self.voxel_size_nm, signs, strict=True) if sign)
        z, y, x = (sign * max(1, round(longest / size)) for size, sign in zip(self.voxel_size_nm, signs, strict=True))
        return z, y, x

    @cached_property
    def margin_zyx(self) -> Zyx:
        """How far the steps lead along each axis."""
        z, y, x = np.abs(self.steps_zyx).max(axis=0).tolist()
        return z, y, x

    @cached_property
    def crossing_nm2(self) -> NDArray[np.float64]:
        """Surface that one crossing of each direction stands for, shape (13,)."""
        vectors_nm = np.array(self.steps_zyx) * self.voxel_size_nm
        lengths_nm = np.linalg.norm(vectors_nm, axis=1)
        weights = _weights(tuple(map(tuple, (vectors_nm / lengths_nm[:, None]).tolist())))
        surfaces: NDArray[np.float64] = 2 * weights * prod(self.voxel_size_nm) / lengths_nm
        return surfaces


@lru_cache
def _weights(directions: tuple[tuple[float, ...], ...]) -> NDArray[np.float64]:
    normals, shares = _normals()
    crossings = 2 * np.abs(normals @ np.array(directions).T)
    found, _ = nnls(crossings * shares[:, None], shares)
    weights: NDArray[np.float64] = found / found.sum()
    return weights


def _normals() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors over the half sphere, and the square root of the area that each stands for."""
    latitudes = (np.arange(_LATITUDES) + 0.5) / _LATITUDES * np.pi / 2
    turns = (np.arange(4 * _LATITUDES) + 0.5) / (4 * _LATITUDES) * 2 * np.pi
    up, around = (grid.ravel() for grid in np.meshgrid(latitudes, turns, indexing="ij"))
    normals = np.stack([np.sin(up), np.cos(up) * np.sin(around), np.cos(up) * np.cos(around)], axis=1)
    return normals, np.sqrt(np.cos(up))
