"""The cores of labelled objects: what of an object lies deeper in it than its rim is wide.

A network that learns rim and core as two classes parts objects that touch, since between two cores lie two rims:
interior and boundary of Caicedo et al., Cytometry A 95, 2019; of Lin et al., PyTorch Connectomics, arXiv:2112.05754.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.volume.geometry import Zyx, ZyxNm, zyx

RIM_OF_DEPTH = 0.5
"""How wide a rim is at most, as a share of the depth of its object: thin objects have a core, too."""


def halo_zyx(rim_nm: float, voxel_size_nm: ZyxNm) -> Zyx:
    """Voxels around a block that what is core in it depends on."""
    return zyx([int(rim_nm // size) + 1 for size in voxel_size_nm], "halo")


def find_cores(
    objects: NDArray[Any], labelled: NDArray[np.bool_], rim_nm: float, voxel_size_nm: ZyxNm
) -> NDArray[np.bool_]:
    """Which voxels are of a core.

    A voxel is of a core when what is labelled as something else is farther than the rim is wide, and when no face of it
    touches another object. What is not labelled bounds nothing, nor do the faces of the volume.

    Args:
        objects: their ids, shape (z, y, x); 0 where there is none.
        labelled: where somebody labelled, same shape.
        rim_nm: width of the rim, from the centres of the voxels beside the object.
        voxel_size_nm: z, y, x.
    """
    _, numbers = np.unique(np.append(objects.ravel(), objects.dtype.type(0)), return_inverse=True)
    dense = numbers[:-1].reshape(objects.shape).astype(np.int32)
    cores = np.zeros(objects.shape, bool)
    margin = halo_zyx(rim_nm, voxel_size_nm)
    for number, found in enumerate(ndimage.find_objects(dense), start=1):
        box = tuple(
            slice(max(0, side.start - more), side.stop + more) for side, more in zip(found, margin, strict=True)
        )
        own = dense[box] == number
        depth_nm = _depth_nm(own, labelled[box], voxel_size_nm)
        cores[box] |= own & (depth_nm > min(rim_nm, RIM_OF_DEPTH * depth_nm[own].max()))
    return cores & ~_touching(dense)


def _depth_nm(own: NDArray[np.bool_], labelled: NDArray[np.bool_], voxel_size_nm: ZyxNm) -> NDArray[np.float64]:
    """How far from what is labelled as something else."""
    inside = own | ~labelled
    if inside.all():  # SciPy measures from somewhere outside the array then
        return np.full(own.shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(inside, sampling=voxel_size_nm))


def _touching(numbers: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Voxels with a face to another object."""
    touching = np.zeros(numbers.shape, bool)
    for axis in range(numbers.ndim):
        low, high = ((slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None)))
        meet = (numbers[low] != numbers[high]) & (numbers[low] > 0) & (numbers[high] > 0)
        touching[low] |= meet
        touching[high] |= meet
    return touching
