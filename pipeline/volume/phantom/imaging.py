"""From stained specimen to detector counts: what a focused-ion-beam microscope makes of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pipeline.volume.phantom.cells import Kind
from pipeline.volume.phantom.noise import Field, SmoothNoise
from pipeline.volume.phantom.specimen import Specimen

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


def stain_cytosol(specimen: Specimen, rng: np.random.Generator) -> None:
    """Give each cell a tone of its own, with fine grain and scattered dark granules, beneath all that is drawn."""
    tone = np.array([_CYTOSOL[Kind(kind)] for kind in specimen.frame.cells.kind], dtype=np.float32)
    tone += rng.normal(0.0, 0.024, tone.shape).astype(np.float32)
    cytosol = tone[specimen.frame.owner]
    cytosol += np.float32(0.075) * specimen.noise(rng, 9.0)
    cytosol += np.float32(0.03) * specimen.noise(rng, 45.0)
    granules = np.clip(specimen.noise(rng, 12.0) - np.float32(1.5), 0, 1)
    cytosol += np.float32(0.5) * granules
    np.maximum(specimen.stain, cytosol, out=specimen.stain, where=specimen.free())


def take_image(
    specimen: Specimen, voxel_size_nm: tuple[float, float, float], rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
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
