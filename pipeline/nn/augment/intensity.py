"""Changes of grey values: blur, gamma, contrast, noise, lost slices.

All work on one sample (C, z, y, x), so that its result cannot depend on its batch.

Mean 0 and variance 1 are the data set's, not the patch's: nothing here estimates them anew.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.nn.augment.draws import FloatArray, SampleStream
from pipeline.nn.augment.planning import AugmentationPlan, ControlGrids, upsample

OFFSETS = 2**18
"""How many windows of noise there are to draw from in each bank, less one."""
Mixture = tuple[tuple[torch.Tensor, float], ...]
"""Noise as a weighted sum of tensors: adding them one by one saves writing the sum first."""
# Below this width a Gaussian gives its neighbours less than 0.0005 % of the weight.
_NARROWEST_SIGMA = 0.2


@dataclass(frozen=True)
class MissingSection:
    """Slice z of the image is lost: replaced by slice `copied_z`, or blank with the level between darkest (0) and
    brightest (1) voxel."""

    z: int
    copied_z: int | None
    level: float


@dataclass(frozen=True)
class NoiseWindows:
    """Which noise a sample gets: one window of each of two banks, and the angle at which the two are mixed."""

    offsets: tuple[int, int]
    angle: float


@dataclass(frozen=True)
class IntensityDraw:
    """What happens to the grey values of one sample; None, 0, or 1 for a factor or an exponent: nothing."""

    blur_sigma_voxels: float
    gamma: float
    contrast: float
    brightness: float
    unevenness: FloatArray | None
    """(1, kz, ky, kx): control values of the local change of contrast, as a fraction."""
    gaussian_noise: float
    shot_noise: float
    noise: NoiseWindows
    missing: tuple[MissingSection, ...]


def draw_intensity(plan: AugmentationPlan, stream: SampleStream) -> IntensityDraw:
    """What happens to the grey values."""
    settings = plan.settings
    return IntensityDraw(
        blur_sigma_voxels=stream.value_or(0.0, settings.blur_probability, *settings.blur_sigma_voxels),
        gamma=stream.factor(settings.gamma_probability, *settings.gamma_range),
        contrast=stream.factor(settings.contrast_probability, *settings.contrast_range),
        brightness=stream.value_or(
            0.0, settings.brightness_probability, -settings.brightness_max, settings.brightness_max
        ),
        unevenness=_draw_unevenness(plan, stream),
        gaussian_noise=stream.value_or(0.0, settings.gaussian_noise_probability, 0, settings.gaussian_noise_max),
        shot_noise=stream.value_or(0.0, settings.shot_noise_probability, 0, settings.shot_noise_max),
        noise=_draw_noise(stream),
        missing=_draw_missing(plan, stream),
    )


def _draw_unevenness(plan: AugmentationPlan, stream: SampleStream) -> FloatArray | None:
    settings = plan.settings
    happens = stream.happens(settings.unevenness_probability)
    amplitude = stream.uniform(0, settings.unevenness_max)
    controls = stream.field((1, *plan.control_shape(settings.unevenness_spacing_voxels, (0, 1, 2))))
    return amplitude * controls if happens else None


def _draw_noise(stream: SampleStream) -> NoiseWindows:
    offsets = (stream.integer(0, OFFSETS), stream.integer(0, OFFSETS))
    return NoiseWindows(offsets, stream.uniform(0, 2 * math.pi))


def _draw_missing(plan: AugmentationPlan, stream: SampleStream) -> tuple[MissingSection, ...]:
    settings, slices = plan.settings, plan.patch_zyx[0]
    happens = stream.happens(settings.missing_slice_probability)
    # A patch of one or two slices would hold nothing, or too little, from which to tell what is missing.
    count = min(stream.integer(1, settings.missing_slices_max), slices // 3)
    lost = stream.distinct(count, slices)
    kept = [z for z in range(slices) if z not in lost]
    sections = []
    for z in lost:
        nearest = min(kept, key=lambda other: abs(other - z))
        sections.append(MissingSection(z, nearest if stream.happens(0.5) else None, stream.uniform(0, 1)))
    return tuple(sections) if happens else ()


class Grader:
    """Changes the grey values of samples."""

    def __init__(self, plan: AugmentationPlan, grids: ControlGrids) -> None:
        self._plan, self._grids = plan, grids
        self._banks: dict[tuple[torch.device, int], NoiseBanks] = {}

    def __call__(self, image_CZYX: torch.Tensor, draw: IntensityDraw) -> torch.Tensor:
        """Blurs, then works in place: by now the sample is a copy."""
        image, axes = image_CZYX, self._plan.resampled_axes
        if draw.blur_sigma_voxels > 0:
            sigma = [self._plan.in_axis_voxels(draw.blur_sigma_voxels, axis) * (axis in axes) for axis in range(3)]
            image = blur(image, sigma)
        if draw.gamma != 1:
            apply_gamma(image, draw.gamma)
        adjust(image, draw.contrast, draw.brightness, self._unevenness(draw, image.device))
        if draw.gaussian_noise > 0 or draw.shot_noise > 0:
            noise = self._noise_banks(image).mixture(draw.noise, image.shape)
            add_noise(image, noise, draw.gaussian_noise, draw.shot_noise)
        lose_sections(image, draw.missing)
        return image

    def _unevenness(self, draw: IntensityDraw, device: torch.device) -> torch.Tensor | None:
        if draw.unevenness is None:
            return None
        controls = torch.as_tensor(draw.unevenness, dtype=torch.float32, device=device)
        return upsample(controls, self._grids.weights(self._plan.settings.unevenness_spacing_voxels, device))

    def _noise_banks(self, image: torch.Tensor) -> NoiseBanks:
        """Made when first needed, since many settings have no noise."""
        key = (image.device, image.numel())
        if key not in self._banks:
            self._banks[key] = NoiseBanks(image.numel(), image.device)
        return self._banks[key]


def blur(image: torch.Tensor, sigma_zyx: Sequence[float]) -> torch.Tensor:
    """Gaussian blur, sigma in voxels of each axis; the edge voxel continues beyond the edge."""
    for axis, sigma in enumerate(sigma_zyx, start=1):
        if sigma >= _NARROWEST_SIGMA and image.shape[axis] > 1:
            image = _blur_axis(image, axis, sigma)
    return image


def _blur_axis(image: torch.Tensor, axis: int, sigma: float) -> torch.Tensor:
    """A sum of shifted images: for kernels this short faster than any convolution of one channel."""
    radius, size = min(max(1, round(3 * sigma)), image.shape[axis] - 1), image.shape[axis]
    weights = [math.exp(-0.5 * (offset / sigma) ** 2) for offset in range(radius + 1)]
    total = weights[0] + 2 * sum(weights[1:])
    first, last = image.narrow(axis, 0, 1), image.narrow(axis, size - 1, 1)
    blurred = image * (weights[0] / total)
    for offset in range(1, radius + 1):
        weight, rest = weights[offset] / total, size - offset
        blurred.narrow(axis, offset, rest).add_(image.narrow(axis, 0, rest), alpha=weight)
        blurred.narrow(axis, 0, rest).add_(image.narrow(axis, offset, rest), alpha=weight)
        blurred.narrow(axis, 0, offset).add_(first, alpha=weight)
        blurred.narrow(axis, rest, offset).add_(last, alpha=weight)
    return blurred


def apply_gamma(image: torch.Tensor, exponent: float) -> None:
    """Raises to `exponent`, in place, on a scale from the darkest voxel (0) to the brightest (1)."""
    darkest, span = _range(image)
    # span * ((image - darkest) / span) ** exponent as a power of two: half the time of pow, in half the passes.
    image.sub_(darkest).log2_()
    torch.add(span.log2() * (1 - exponent), image, alpha=exponent, out=image)
    image.exp2_().add_(darkest)


def adjust(image: torch.Tensor, contrast: float, brightness: float, unevenness: torch.Tensor | None) -> None:
    """image * contrast * (1 + unevenness) + brightness, in place; unevenness: (1, z, y, x)."""
    if unevenness is not None:
        image.mul_(unevenness.add(1).mul_(contrast)).add_(brightness)
    elif contrast != 1 or brightness != 0:
        image.mul_(contrast).add_(brightness)


def add_noise(image: torch.Tensor, noise: Mixture, gaussian: float, shot: float) -> None:
    """Adds Gaussian and shot noise, in place.

    The sum of both is one Gaussian whose variances add, so that one normal number a voxel is enough.

    Args:
        noise: standard normal numbers of the image's shape.
        gaussian: standard deviation everywhere.
        shot: standard deviation at the brightest voxel, falling with the root of the signal to 0 at the darkest.
    """
    if shot == 0:
        for numbers, weight in noise:
            image.add_(numbers, alpha=weight * gaussian)
        return
    darkest, span = _range(image)
    deviation = (image - darkest).mul_(shot**2 / span).add_(gaussian**2).sqrt_()
    for numbers, weight in noise:
        image.addcmul_(numbers, deviation, value=weight)


def _range(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Darkest value, and the distance to the brightest (above 0 even for a constant image); no transfer to the host."""
    darkest, brightest = image.aminmax()
    return darkest, (brightest - darkest).clamp_(min=torch.finfo(image.dtype).tiny)


class NoiseBanks:
    """Two long rows of normal numbers, drawn once; a sample's noise is a mixture of a window of each.

    cos(a) u + sin(a) v is standard normal when u and v are, and white, since within a sample no number of a bank is
    used twice. Two samples share a stretch of noise only by the same pair of windows at the same angle, of which
    there are 2**36 times a continuum. Drawing normal numbers would be a third of the whole augmentation.
    """

    def __init__(self, numbers: int, device: torch.device) -> None:
        """numbers: how many a sample needs. They are the same on every device."""
        generator = np.random.Generator(np.random.Philox(key=0))
        drawn = generator.standard_normal((2, numbers + OFFSETS), dtype=np.float32)
        self._first, self._second = torch.from_numpy(drawn).to(device)

    def mixture(self, windows: NoiseWindows, shape: torch.Size) -> Mixture:
        """The two windows as views of `shape`, which holds as many numbers as were asked for, with their weights."""
        first = self._first[windows.offsets[0] :][: shape.numel()]
        second = self._second[windows.offsets[1] :][: shape.numel()]
        return (first.view(shape), math.cos(windows.angle)), (second.view(shape), math.sin(windows.angle))


def lose_sections(image_CZYX: torch.Tensor, missing: Sequence[MissingSection]) -> None:
    """Blanks slices or overwrites them with others, in place. The labels stay: what was there is still asked."""
    if not missing:
        return
    darkest, brightest = image_CZYX.aminmax()
    for section in missing:
        if section.copied_z is None:
            image_CZYX[:, section.z] = torch.lerp(darkest, brightest, section.level)
        else:
            image_CZYX[:, section.z] = image_CZYX[:, section.copied_z]
