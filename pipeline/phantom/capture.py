"""The phantom as a whole: checks the request, then grows, stains and images a piece of cortex.

The image is what a focused-ion-beam microscope makes of the stained specimen: detector counts, uneven and noisy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pipeline.errors import InputError
from pipeline.phantom.noise import Field, SmoothNoise
from pipeline.phantom.organelles import draw_microtubules, draw_mitochondria, draw_reticulum, draw_vesicles
from pipeline.phantom.partition import partition
from pipeline.phantom.specimen import TARGET_SHARES, Specimen
from pipeline.phantom.surfaces import draw_surfaces
from pipeline.phantom.tissue import Kind, grow_tissue
from pipeline.volume.geometry import Zyx, ZyxNm

_SYNAPSE_NM3 = 1.6e6  # a disc of about 250 nm diameter with the densities on both its sides
_LEAST_SYNAPSES = 5  # spread along x, so that a split across x leaves some in every part
_LEAST_IN_PLANE = 64
_RESOLVED_NM = (50.0, 10.0, 10.0)  # beyond this a vesicle, 40 nm across, cannot be drawn
_LEAST_VOXEL_NM = 2.5

_BRIGHT, _DEPTH = 202.0, 150.0  # grey value of bare resin; how much darker the densest stain is
_SPOT_NM = (7.0, 5.0, 5.0)  # standard deviation of the point spread: milling depth, then the beam
_ELECTRONS_PER_GREY = 1.8
_READOUT_GREY = 4.0

# Mean stain of the cytosol by kind of cell: dendrites look empty, boutons crowded.
_CYTOSOL = {
    Kind.AXON: 0.25,
    Kind.DENDRITE: 0.20,
    Kind.BOUTON: 0.27,
    Kind.SPINE: 0.24,
    Kind.FIBRE: 0.20,
}


@dataclass(frozen=True)
class Phantom:
    """A synthetic capture: `raw` and `labels` are (z, y, x) uint8, `voxel_size_nm` is (z, y, x).

    A label is the place of the class in `PHANTOM_CLASSES`, counted from 1; every voxel has one. `objects` are the
    numbers of mitochondria and vesicles, by class, (z, y, x) uint32 from 1, 0 elsewhere.
    """

    raw: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    voxel_size_nm: ZyxNm
    objects: Mapping[str, npt.NDArray[np.uint32]]


def make_phantom(
    shape_zyx: Zyx = (25, 700, 700),
    seed: int = 0,
    *,
    voxel_size_nm: ZyxNm = (10.0, 5.0, 5.0),
    touching: bool = False,
) -> Phantom:
    """Make a labelled capture that looks like cortical neuropil in a focused-ion-beam microscope.

    The default is a slab of 25 slices, 3.5 µm wide: 5 nm in the plane, as fine as such microscopes image, and
    10 nm of milling a slice. The share of every class is that of `TARGET_SHARES` to within a fifth of it. The
    same arguments give the same bytes on the same machine.

    With `touching`, mitochondria and vesicles may lie against others of their kind.

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
    objects = {
        "mitochondria": draw_mitochondria(specimen, organelle_rng, touching=touching),
        "vesicles": draw_vesicles(specimen, tissue, organelle_rng, touching=touching),
    }
    draw_microtubules(specimen, organelle_rng)
    draw_reticulum(specimen, organelle_rng)
    _stain_cytosol(specimen, image_rng)
    return Phantom(_image(specimen, voxel_size_nm, image_rng), specimen.labels, voxel_size_nm, objects)


def _check(shape_zyx: Zyx, seed: int, voxel_size_nm: ZyxNm) -> None:
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


def _stain_cytosol(specimen: Specimen, rng: np.random.Generator) -> None:
    """Give each cell a tone of its own, with fine grain and scattered dark granules, beneath all that is drawn."""
    tone = np.array([_CYTOSOL[Kind(kind)] for kind in specimen.frame.cells.kind], dtype=np.float32)
    tone += rng.normal(0.0, 0.024, tone.shape).astype(np.float32)
    cytosol = tone[specimen.frame.owner]
    cytosol += np.float32(0.075) * specimen.noise(rng, 9.0)
    cytosol += np.float32(0.03) * specimen.noise(rng, 45.0)
    granules = np.clip(specimen.noise(rng, 12.0) - np.float32(1.5), 0, 1)
    cytosol += np.float32(0.5) * granules
    np.maximum(specimen.stain, cytosol, out=specimen.stain, where=specimen.free())


def _image(specimen: Specimen, voxel_size_nm: ZyxNm, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """The raw capture, (z, y, x) uint8."""
    spot = [sigma / size for sigma, size in zip(_SPOT_NM, voxel_size_nm, strict=True)]
    grey = _BRIGHT - _DEPTH * ndimage.gaussian_filter(specimen.stain, spot, mode="nearest")
    grey = _uneven(grey, specimen, rng)
    counts = rng.poisson(np.maximum(grey, 0) * np.float32(_ELECTRONS_PER_GREY)).astype(np.float32)
    counts /= np.float32(_ELECTRONS_PER_GREY)
    counts += np.float32(_READOUT_GREY) * rng.standard_normal(counts.shape, dtype=np.float32)
    return np.clip(np.rint(counts), 0, 255).astype(np.uint8)


def _uneven(grey: Field, specimen: Specimen, rng: np.random.Generator) -> Field:
    """Contrast and illumination that drift over the view, curtains from the ion beam, and jitter between slices."""
    axes = specimen.frame.axes_nm
    slow = 0.5 * max(float(axes[1][-1]), float(axes[2][-1]))
    mean = np.float32(grey.mean())
    result = mean + (grey - mean) * (1 + np.float32(0.07) * specimen.noise(rng, slow))
    result += np.float32(6.0) * specimen.noise(rng, slow)
    curtains = SmoothNoise(rng, np.zeros(3), np.array([axis[-1] for axis in axes]), 24.0)
    result += np.float32(1.4) * curtains.sample((axes[0], axes[1][:1], axes[2]))
    gain = rng.normal(1.0, 0.012, (len(axes[0]), 1, 1)).astype(np.float32)
    offset = rng.normal(0.0, 1.5, (len(axes[0]), 1, 1)).astype(np.float32)
    return result * gain + offset
