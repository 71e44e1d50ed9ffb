"""The phantom as a whole: checks the request, then grows, stains and images a piece of cortex."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.errors import InputError
from pipeline.volume.phantom.imaging import stain_cytosol, take_image
from pipeline.volume.phantom.microtubules import draw_microtubules
from pipeline.volume.phantom.mitochondria import draw_mitochondria
from pipeline.volume.phantom.partition import partition
from pipeline.volume.phantom.reticulum import draw_reticulum
from pipeline.volume.phantom.specimen import TARGET_SHARES, Specimen
from pipeline.volume.phantom.surfaces import draw_surfaces
from pipeline.volume.phantom.tissue import grow_tissue
from pipeline.volume.phantom.vesicles import draw_vesicles

_SYNAPSE_NM3 = 1.6e6  # a disc of about 250 nm diameter with the densities on both its sides
_LEAST_SYNAPSES = 5  # spread along x, so that a split across x leaves some in every part
_LEAST_IN_PLANE = 64
_RESOLVED_NM = (50.0, 10.0, 10.0)  # beyond this a vesicle, 40 nm across, cannot be drawn
_LEAST_VOXEL_NM = 2.5


@dataclass(frozen=True)
class Phantom:
    """A synthetic capture: `raw` and `labels` are (z, y, x) uint8, `voxel_size_nm` is (z, y, x).

    A label is the place of the class in `PHANTOM_CLASSES`, counted from 1; every voxel has one.
    """

    raw: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    voxel_size_nm: tuple[float, float, float]


def make_phantom(
    shape_zyx: tuple[int, int, int] = (25, 700, 700),
    seed: int = 0,
    *,
    voxel_size_nm: tuple[float, float, float] = (10.0, 5.0, 5.0),
) -> Phantom:
    """Make a labelled capture that looks like cortical neuropil in a focused-ion-beam microscope.

    The default is a slab of 25 slices, 3.5 µm wide: 5 nm in the plane, as fine as such microscopes image, and
    10 nm of milling a slice. The share of every class is that of `TARGET_SHARES` to within a fifth of it. The
    same arguments give the same bytes on the same machine.

    Everything is held in memory, about 90 bytes a voxel at the peak (1 GB and half a minute for the default).

    Raises InputError for a size or a voxel size with which this tissue cannot be drawn, or a negative seed.
    """
    _check(shape_zyx, seed, voxel_size_nm)
    z, y, x = (
        np.arange(count, dtype=np.float32) * np.float32(size)
        for count, size in zip(shape_zyx, voxel_size_nm, strict=True)
    )
    section_nm2 = math.prod(shape_zyx[1:]) * math.prod(voxel_size_nm[1:])
    volume_nm3 = section_nm2 * shape_zyx[0] * voxel_size_nm[0]
    tissue_rng, surface_rng, organelle_rng, image_rng = np.random.default_rng(seed).spawn(4)
    tissue = grow_tissue(
        np.array([z[-1], y[-1], x[-1]], dtype=np.float64),
        tissue_rng,
        synapses=max(_LEAST_SYNAPSES, round(TARGET_SHARES["synapses"] * volume_nm3 / _SYNAPSE_NM3)),
        sheath_area_nm2=TARGET_SHARES["myelin"] * section_nm2,
    )
    specimen = Specimen.of(partition(tissue, (z, y, x), voxel_size_nm))
    draw_surfaces(specimen, tissue, surface_rng)
    # The largest need the widest room: each organelle takes what those before it have left.
    draw_mitochondria(specimen, organelle_rng)
    draw_vesicles(specimen, tissue, organelle_rng)
    draw_microtubules(specimen, organelle_rng)
    draw_reticulum(specimen, organelle_rng)
    stain_cytosol(specimen, image_rng)
    return Phantom(take_image(specimen, voxel_size_nm, image_rng), specimen.labels, voxel_size_nm)


def _check(shape_zyx: tuple[int, int, int], seed: int, voxel_size_nm: tuple[float, float, float]) -> None:
    z, y, x = shape_zyx
    if z < 1 or min(y, x) < _LEAST_IN_PLANE:
        raise InputError(
            f"phantom shape {z} x {y} x {x} (z, y, x) is too small: all eight classes need at least "
            f"1 slice of {_LEAST_IN_PLANE} x {_LEAST_IN_PLANE} voxels; ask for a larger shape"
        )
    sizes = zip(voxel_size_nm, _RESOLVED_NM, strict=True)
    if not all(_LEAST_VOXEL_NM <= size <= largest for size, largest in sizes):
        raise InputError(
            f"phantom voxel size {voxel_size_nm} nm (z, y, x) cannot show this tissue: each must be at least "
            f"{_LEAST_VOXEL_NM} nm and at most {_RESOLVED_NM} nm; choose a size in this range"
        )
    if seed < 0:
        raise InputError(f"phantom seed {seed} is negative; choose 0 or a positive whole number")
