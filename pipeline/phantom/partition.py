"""Which cell owns each voxel, how deep in the cell it lies and where along it: the frame for all organelles.

A voxel belongs to the cell whose level is lowest there: an additively weighted Voronoi diagram of tubes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pipeline.phantom.noise import Axes, Field
from pipeline.phantom.tissue import CellTable, Ids, Tissue, Warp, dot, squared_length
from pipeline.volume.geometry import ZyxNm

_TILE = (32, 32, 32)
_STRETCH = 1.6  # how much longer a way may be in warped space than in the tissue
_AT_MEMBRANE_NM = np.float32(4.0)
_OFF_MEMBRANE_NM = np.float32(11.5)
_LEAST_SLOPE = np.float32(0.25)  # flatter than this the distance cannot be told from the levels


@dataclass(frozen=True)
class Partition:
    """Arrays of one shape (z, y, x); distances in nm.

    `owner` and `neighbour` number the cell of a voxel and the one across the nearest membrane; `depth_nm` is
    the distance to that membrane; `along_nm`, `right_nm` and `up_nm` are coordinates in the owner's own frame.
    """

    axes_nm: Axes
    cells: CellTable
    owner: Ids
    neighbour: Ids
    depth_nm: Field
    along_nm: Field
    right_nm: Field
    up_nm: Field


def partition(tissue: Tissue, axes_nm: Axes, voxel_size_nm: ZyxNm) -> Partition:
    """Share out the grid spanned by `axes_nm` (z, y, x) between the cells of the tissue, a tile at a time."""
    shape = tuple(len(axis) for axis in axes_nm)
    owner, neighbour = np.empty(shape, np.int32), np.empty(shape, np.int32)
    depth, along, right, up = (np.empty(shape, np.float32) for _ in range(4))
    result = Partition(axes_nm, CellTable(tissue.cells), owner, neighbour, depth, along, right, up)
    for corner in itertools.product(*(range(0, size, tile) for size, tile in zip(shape, _TILE, strict=True))):
        _fill_tile(result, tissue.warp, tuple(slice(c, c + t) for c, t in zip(corner, _TILE, strict=True)))
    _mend_depth(result, voxel_size_nm)
    return result


def _mend_depth(result: Partition, voxel_size_nm: ZyxNm) -> None:
    """Correct depths that the first-order estimate got wrong, by looking where two cells really meet.

    Where they meet and both depths came out too long, one side is put at the membrane, so that no gap opens;
    further from any border than a membrane is thick, a depth too short is made longer.
    """
    depth = result.depth_nm
    border = np.zeros(depth.shape, dtype=np.bool_)
    for axis in range(3):
        before = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        after = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        meet = result.owner[before] != result.owner[after]
        border[before] |= meet
        border[after] |= meet
        depth[before][meet & (depth[before] > _AT_MEMBRANE_NM) & (depth[after] > _AT_MEMBRANE_NM)] = _AT_MEMBRANE_NM
    far = ~ndimage.binary_dilation(border, _ball(float(_OFF_MEMBRANE_NM), voxel_size_nm))
    np.maximum(depth, _OFF_MEMBRANE_NM, out=depth, where=far)


def _ball(radius_nm: float, voxel_size_nm: ZyxNm) -> npt.NDArray[np.bool_]:
    """The voxels at most `radius_nm` from the middle one."""
    reach = [int(radius_nm // size) for size in voxel_size_nm]
    z, y, x = np.ogrid[tuple(slice(-r, r + 1) for r in reach)]
    inside: npt.NDArray[np.bool_] = (z * voxel_size_nm[0]) ** 2 + (y * voxel_size_nm[1]) ** 2 + (
        x * voxel_size_nm[2]
    ) ** 2 <= radius_nm**2
    return inside


def _fill_tile(result: Partition, warp: Warp, box: tuple[slice, ...]) -> None:
    cells = result.cells
    z, y, x = (axis[part] for axis, part in zip(result.axes_nm, box, strict=True))
    place, moved = list(np.meshgrid(z, y, x, indexing="ij")), warp.displacement_nm((z, y, x))
    first, second, owner, neighbour = _two_lowest(cells, place, moved)
    own = cells.offset_nm(owner, place, moved)
    other = cells.offset_nm(neighbour, place, moved)
    # To first order the membrane is as far away as the difference of both levels divided by its slope.
    slopes = [_slope(cells, number, offset) for number, offset in ((owner, own), (neighbour, other))]
    slope = np.sqrt(squared_length([a - b for a, b in zip(*slopes, strict=True)]))
    result.owner[box], result.neighbour[box] = owner, neighbour
    result.depth_nm[box] = (second - first) / np.maximum(slope, _LEAST_SLOPE)
    result.along_nm[box] = dot(own, cells.direction[owner])
    result.right_nm[box] = dot(own, cells.right[owner])
    result.up_nm[box] = dot(own, cells.up[owner])


def _two_lowest(cells: CellTable, place: Sequence[Field], moved: Sequence[Field]) -> tuple[Field, Field, Ids, Ids]:
    """The lowest and second lowest level at each place, and the numbers of the cells that have them."""
    first: Field = np.full(place[0].shape, np.inf, dtype=np.float32)
    second = first.copy()
    owner, neighbour = np.zeros(first.shape, np.int32), np.zeros(first.shape, np.int32)
    for number in _contenders(cells, place, moved):
        excess = cells.excess_nm(number, place, moved)
        wins, places = excess < first, excess < second
        neighbour[places] = number
        neighbour[wins] = owner[wins]
        owner[wins] = number
        np.minimum(second, np.maximum(first, excess), out=second)
        np.minimum(first, excess, out=first)
    return first, second, owner, neighbour


def _contenders(cells: CellTable, place: Sequence[Field], moved: Sequence[Field]) -> list[int]:
    """The cells that can be first or second anywhere in a tile, judged by their level at its middle."""
    middle = tuple(slice(size // 2, size // 2 + 1) for size in place[0].shape)
    center = [p[middle].ravel() for p in place]
    half = [float(np.abs(p - c).max()) for p, c in zip(place, center, strict=True)]
    levels = cells.excess_nm(slice(None), center, [m[middle].ravel() for m in moved])
    limit = np.partition(levels, 1)[1] + 2 * _STRETCH * float(np.linalg.norm(half))
    return [int(number) for number in np.flatnonzero(levels <= limit)]


def _slope(cells: CellTable, number: Ids, offset: Sequence[Field]) -> list[Field]:
    """Gradient of the level of each voxel's cell: away from its axis."""
    half = cells.half_length_nm[number]
    on_axis = np.clip(dot(offset, cells.direction[number]), -half, half)
    away = [o - on_axis * cells.direction[number, axis] for axis, o in enumerate(offset)]
    scale = cells.steepness[number] / (np.sqrt(squared_length(away)) + np.float32(1e-3))
    return [component * scale for component in away]
