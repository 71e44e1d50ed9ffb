"""What is fixed once settings, patch and voxel size are known: the source patch and the control grids."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pipeline.errors import InputError
from pipeline.nn.augment.settings import AugmentationSettings
from pipeline.nn.augment.splines import control_points

Triple = tuple[float, float, float]
Size3 = tuple[int, int, int]


@dataclass(frozen=True)
class AugmentationPlan:
    """Sizes in voxels, z, y, x. Made by `plan_augmentation`."""

    settings: AugmentationSettings
    patch_zyx: Size3
    """The patch that comes out."""
    source_patch_zyx: Size3
    """The patch that goes in: large enough that no transform within the settings ever reaches beyond it."""
    margin_zyx: Size3
    """Offset of the patch within the source patch."""
    voxel_size_nm: Triple
    volumetric: bool
    """True: resampled along z, y and x. False: resampled within the slices."""
    quarter_turns: bool
    """Whether exact quarter turns map voxels onto voxels."""

    @property
    def resampled_axes(self) -> tuple[int, ...]:
        return (0, 1, 2) if self.volumetric else (1, 2)

    def in_axis_voxels(self, length_voxels: float, axis: int) -> float:
        """A length in voxels of the finest axis, in voxels of `axis`."""
        return length_voxels * min(self.voxel_size_nm) / self.voxel_size_nm[axis]

    def control_spacing(self, spacing_voxels: float, axis: int) -> float:
        """Distance of control points along `axis`, in its voxels; never closer than the voxels themselves."""
        return max(1.0, self.in_axis_voxels(spacing_voxels, axis))

    def control_shape(self, spacing_voxels: float, axes: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(control_points(self.patch_zyx[axis], self.control_spacing(spacing_voxels, axis)) for axis in axes)


def plan_augmentation(settings: AugmentationSettings, patch_zyx: Size3, voxel_size_nm: Triple) -> AugmentationPlan:
    """Works out what one sample needs. InputError for a patch or voxel size that is not three positive numbers."""
    _require_three_positive("patch_zyx", patch_zyx)
    _require_three_positive("voxel_size_nm", voxel_size_nm)
    volumetric = patch_zyx[0] > 1 and max(voxel_size_nm) <= settings.volumetric_max_anisotropy * min(voxel_size_nm)
    quarter_turns = settings.quarter_turn_probability > 0 and voxel_size_nm[1] == voxel_size_nm[2]
    margin = _margin(settings, patch_zyx, voxel_size_nm, volumetric)
    source = [patch + 2 * extra for patch, extra in zip(patch_zyx, margin, strict=True)]
    if quarter_turns:
        # One voxel more where an even and an odd edge change places, so that the margin holds on either side.
        source[1] = source[2] = max(source[1:]) + (patch_zyx[1] - patch_zyx[2]) % 2
    return AugmentationPlan(
        settings=settings,
        patch_zyx=patch_zyx,
        source_patch_zyx=(source[0], source[1], source[2]),
        margin_zyx=(
            (source[0] - patch_zyx[0]) // 2,
            (source[1] - patch_zyx[1]) // 2,
            (source[2] - patch_zyx[2]) // 2,
        ),
        voxel_size_nm=voxel_size_nm,
        volumetric=volumetric,
        quarter_turns=quarter_turns,
    )


def _require_three_positive(name: str, values: tuple[float, ...]) -> None:
    if len(values) != 3 or not all(0 < value < math.inf for value in values):
        raise InputError(f"{name}: {values} must be three positive numbers, for z, y and x")


def _margin(settings: AugmentationSettings, patch_zyx: Size3, voxel_size_nm: Triple, volumetric: bool) -> list[int]:
    """Voxels needed beyond each face of the patch, z, y, x."""
    voxel = np.array(voxel_size_nm)
    half = (np.array(patch_zyx) - 1) / 2
    reach = _affine_reach(settings, half * voxel, volumetric) / voxel
    if settings.elastic_probability > 0:
        reach += settings.elastic_amplitude_voxels * voxel.min() / voxel
    margin = np.ceil(reach - half - 1e-9).astype(int)
    if settings.shifted_slice_probability > 0:
        margin[1:] += settings.slice_shift_max_voxels
    if not volumetric:
        margin[0] = 0
    return [int(extra) for extra in margin]


def _affine_reach(settings: AugmentationSettings, half_nm: np.ndarray, volumetric: bool) -> np.ndarray:
    """The farthest that rotation, tilt, scale and stretch take a corner of the patch from its centre, per axis, nm."""
    reach = half_nm.copy()
    if settings.scale_probability > 0:
        reach *= max(1.0, 1 / settings.scale_range[0])
    if settings.stretch_probability > 0:
        reach *= settings.stretch_max
    if volumetric and settings.tilt_probability > 0:
        z, y, x = reach
        tilt = math.radians(settings.tilt_degrees)
        y = _rotated_reach(y, z, tilt)
        z = _rotated_reach(z, reach[1], tilt)
        reach = np.array([_rotated_reach(z, x, tilt), y, _rotated_reach(x, z, tilt)])
    if settings.rotation_probability > 0:
        z, y, x = reach
        angle = math.radians(settings.rotation_degrees)
        reach = np.array([z, _rotated_reach(y, x, angle), _rotated_reach(x, y, angle)])
    return reach


def _rotated_reach(along: float, across: float, largest_angle: float) -> float:
    """Largest of `along` |cos a| + `across` |sin a| over all angles up to the largest."""
    angle = min(largest_angle, math.atan2(across, along))
    return along * math.cos(angle) + across * math.sin(angle)
