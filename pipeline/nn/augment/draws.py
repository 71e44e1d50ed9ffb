"""What happens to one sample, drawn from (seed, sample index) and nothing else.

Every number is drawn in a fixed order, whether its transform happens or not, from a counter-based generator whose
key is the pair: Philox4x64, J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. No sample
knows of any other, so that batch size, order and device count cannot matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.nn.augment.noise import OFFSETS, NoiseWindows
from pipeline.nn.augment.planning import AugmentationPlan

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Deformation:
    """Where each voxel of the patch is read, along the resampled axes (D: 2 or 3)."""

    matrix: FloatArray
    """(D, D): from an offset from the patch's centre to one from the source's centre, both in voxels.
    Mirrors and quarter turns within the plane are part of it."""
    displacement: FloatArray | None
    """(D, k_1, ..., k_D): control values that are added to the offset in the source, in voxels."""


@dataclass(frozen=True)
class SectionShift:
    """Slices z_start to z_stop (excluded) of the patch show what lies `offset_yx` voxels further on in the source."""

    z_start: int
    z_stop: int
    offset_yx: tuple[int, int]


@dataclass(frozen=True)
class MissingSection:
    """Slice z of the image is lost: replaced by slice `copied_z`, or blank with the level between darkest (0) and
    brightest (1) voxel."""

    z: int
    copied_z: int | None
    level: float


@dataclass(frozen=True)
class SampleDraw:
    """What happens to one sample; None, 0, or 1 for a factor or an exponent: nothing."""

    flips_zyx: tuple[bool, bool, bool]
    quarter_turns: int
    """From y towards x, after the flips."""
    shift: SectionShift | None
    deformation: Deformation | None
    """None: no voxel is interpolated, flips and quarter turns only move it."""
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


class _SampleStream:
    """The random numbers of one sample."""

    def __init__(self, seed: int, sample_index: int) -> None:
        for name, value in (("seed", seed), ("sample index", sample_index)):
            if not 0 <= value < 2**64:
                raise InputError(f"augmentation {name}: {value} must be at least 0 and below 2**64")
        key = np.array([seed, sample_index], dtype=np.uint64)
        self._generator = np.random.Generator(np.random.Philox(key=key))
        self._numbers = self._in_bulk()

    def _in_bulk(self) -> Iterator[float]:
        """Uniform in [0, 1); drawn by the dozen, which is ten times faster than one by one."""
        while True:
            yield from self._generator.random(64).tolist()

    def happens(self, probability: float) -> bool:
        return next(self._numbers) < probability

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * next(self._numbers)

    def log_uniform(self, low: float, high: float) -> float:
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def integer(self, low: int, high: int) -> int:
        """Both ends are included."""
        return low + int(next(self._numbers) * (high - low + 1))

    def field(self, shape: tuple[int, ...]) -> FloatArray:
        """Uniform in [-1, 1)."""
        return 2 * self._generator.random(shape) - 1

    def distinct(self, count: int, size: int) -> list[int]:
        """`count` different numbers below `size`, in rising order."""
        return sorted(int(i) for i in np.argsort(self._generator.random(size))[:count])


def draw_sample(plan: AugmentationPlan, seed: int, sample_index: int) -> SampleDraw:
    """What happens to sample `sample_index` under `seed`; InputError unless both are in [0, 2**64)."""
    settings = plan.settings
    stream = _SampleStream(seed, sample_index)
    flip_z, flip_y, flip_x = (stream.happens(p) for p in settings.flip_probability_zyx)
    turns = _draw_quarter_turns(plan, stream)
    return SampleDraw(
        flips_zyx=(flip_z, flip_y, flip_x),
        quarter_turns=turns,
        shift=_draw_shift(plan, stream),
        deformation=_draw_deformation(plan, _symmetry(flip_y, flip_x, turns), stream),
        blur_sigma_voxels=_draw_or(0.0, settings.blur_probability, *settings.blur_sigma_voxels, stream),
        gamma=_draw_factor(settings.gamma_probability, *settings.gamma_range, stream),
        contrast=_draw_factor(settings.contrast_probability, *settings.contrast_range, stream),
        brightness=_draw_or(
            0.0, settings.brightness_probability, -settings.brightness_max, settings.brightness_max, stream
        ),
        unevenness=_draw_unevenness(plan, stream),
        gaussian_noise=_draw_or(0.0, settings.gaussian_noise_probability, 0, settings.gaussian_noise_max, stream),
        shot_noise=_draw_or(0.0, settings.shot_noise_probability, 0, settings.shot_noise_max, stream),
        noise=_draw_noise(stream),
        missing=_draw_missing(plan, stream),
    )


def _draw_or(otherwise: float, probability: float, low: float, high: float, stream: _SampleStream) -> float:
    happens, value = stream.happens(probability), stream.uniform(low, high)
    return value if happens else otherwise


def _draw_factor(probability: float, low: float, high: float, stream: _SampleStream) -> float:
    happens, value = stream.happens(probability), stream.log_uniform(low, high)
    return value if happens else 1.0


def _draw_quarter_turns(plan: AugmentationPlan, stream: _SampleStream) -> int:
    happens, turns = stream.happens(plan.settings.quarter_turn_probability), stream.integer(1, 3)
    return turns if happens and plan.quarter_turns else 0


def _draw_shift(plan: AugmentationPlan, stream: _SampleStream) -> SectionShift | None:
    """One slice of the patch, or it and all that follow: a section that slipped, or a misaligned rest of the stack."""
    happens = stream.happens(plan.settings.shifted_slice_probability)
    z = stream.integer(0, plan.patch_zyx[0] - 1)
    z_stop = plan.patch_zyx[0] if stream.happens(0.5) else z + 1
    largest = plan.settings.slice_shift_max_voxels
    offset_yx = (stream.integer(-largest, largest), stream.integer(-largest, largest))
    return SectionShift(z, z_stop, offset_yx) if happens else None


def _symmetry(flip_y: bool, flip_x: bool, quarter_turns: int) -> FloatArray:
    """(3, 3): flips and quarter turns as a map from offsets in the patch to offsets in the source."""
    turn = np.linalg.matrix_power(np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]), quarter_turns)
    flips = np.diag([1.0, -1.0 if flip_y else 1.0, -1.0 if flip_x else 1.0])
    symmetry: FloatArray = flips @ turn
    return symmetry


def _draw_deformation(plan: AugmentationPlan, symmetry: FloatArray, stream: _SampleStream) -> Deformation | None:
    affine_nm = _draw_affine(plan, stream)
    displacement = _draw_displacement(plan, stream)
    if affine_nm is None and displacement is None:
        return None
    axes = list(plan.resampled_axes)
    voxel_nm = np.array(plan.voxel_size_nm)
    matrix = np.eye(3) if affine_nm is None else affine_nm * voxel_nm[None, :] / voxel_nm[:, None]
    return Deformation((symmetry @ matrix)[np.ix_(axes, axes)], displacement)


def _draw_affine(plan: AugmentationPlan, stream: _SampleStream) -> FloatArray | None:
    """(3, 3): from an offset in the patch to an offset in the source, in nm; None: the identity.

    Stretch and scale act on the patch first, then the tilt, then the in-plane rotation.
    """
    settings = plan.settings
    rotation = _draw_or(0.0, settings.rotation_probability, -1, 1, stream) * math.radians(settings.rotation_degrees)
    tilted = stream.happens(settings.tilt_probability) and plan.volumetric
    tilts = stream.field((2,)) * math.radians(settings.tilt_degrees) * tilted
    scale = _draw_factor(settings.scale_probability, *settings.scale_range, stream)
    stretched = stream.happens(settings.stretch_probability)
    stretch = settings.stretch_max ** (stream.field((3,)) * stretched)
    if rotation == 0 and not tilted and scale == 1 and not stretched:
        return None
    tilt = _turn(0, 2, tilts[1]) @ _turn(0, 1, tilts[0])
    return _turn(1, 2, rotation) @ tilt @ np.diag(1 / (scale * stretch))


def _turn(from_axis: int, to_axis: int, angle: float) -> FloatArray:
    """Rotation by `angle` (radians) in the plane of two axes."""
    matrix = np.eye(3)
    matrix[from_axis, from_axis] = matrix[to_axis, to_axis] = math.cos(angle)
    matrix[to_axis, from_axis] = math.sin(angle)
    matrix[from_axis, to_axis] = -math.sin(angle)
    return matrix


def _draw_displacement(plan: AugmentationPlan, stream: _SampleStream) -> FloatArray | None:
    settings, axes = plan.settings, plan.resampled_axes
    happens = stream.happens(settings.elastic_probability)
    amplitude_voxels = stream.uniform(0, settings.elastic_amplitude_voxels)
    controls = stream.field((len(axes), *plan.control_shape(settings.elastic_spacing_voxels, axes)))
    if not happens:
        return None
    amplitude = np.array([plan.in_axis_voxels(amplitude_voxels, axis) for axis in axes])
    scaled: FloatArray = controls * amplitude.reshape(-1, *[1] * len(axes))
    return scaled


def _draw_unevenness(plan: AugmentationPlan, stream: _SampleStream) -> FloatArray | None:
    settings = plan.settings
    happens = stream.happens(settings.unevenness_probability)
    amplitude = stream.uniform(0, settings.unevenness_max)
    controls = stream.field((1, *plan.control_shape(settings.unevenness_spacing_voxels, (0, 1, 2))))
    return amplitude * controls if happens else None


def _draw_noise(stream: _SampleStream) -> NoiseWindows:
    offsets = (stream.integer(0, OFFSETS), stream.integer(0, OFFSETS))
    return NoiseWindows(offsets, stream.uniform(0, 2 * math.pi))


def _draw_missing(plan: AugmentationPlan, stream: _SampleStream) -> tuple[MissingSection, ...]:
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
