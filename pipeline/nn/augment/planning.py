"""What is fixed once settings, patch and voxel size are known: the source patch and the control grids.

Smooth fields come from coarse control grids by uniform cubic B-splines. A B-spline is a convex combination of its
control values, so that a field never leaves their range, and it is separable, so that a field of full size costs one
small matrix product per axis.
Basis: M. Unser, "Splines: a perfect fit for signal and image processing", IEEE Signal Processing Magazine 16 (1999).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.errors import InputError
from pipeline.nn.augment.settings import AugmentationSettings
from pipeline.volume.geometry import Zyx, ZyxNm


@dataclass(frozen=True)
class AugmentationPlan:
    """Sizes in voxels, z, y, x. Made by `plan_augmentation`."""

    settings: AugmentationSettings
    patch_zyx: Zyx
    """The patch that comes out."""
    source_patch_zyx: Zyx
    """The patch that goes in: large enough that no transform within the settings ever reaches beyond it."""
    margin_zyx: Zyx
    """Offset of the patch within the source patch."""
    voxel_size_nm: ZyxNm
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


def plan_augmentation(settings: AugmentationSettings, patch_zyx: Zyx, voxel_size_nm: ZyxNm) -> AugmentationPlan:
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


def _margin(settings: AugmentationSettings, patch_zyx: Zyx, voxel_size_nm: ZyxNm, volumetric: bool) -> list[int]:
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


def control_points(size: int, spacing: float) -> int:
    """How many control points, `spacing` voxels apart, an axis of `size` voxels needs."""
    return math.ceil((size - 1) / spacing) + 3


def spline_weights(size: int, spacing: float) -> torch.Tensor:
    """Weights (size, control points), float32: row i gives voxel i's share of each control value and sums to 1."""
    knots = control_points(size, spacing)
    # The control points lie symmetrically about the axis, so that a mirrored field is as likely as the field.
    overhang = ((knots - 3) * spacing - (size - 1)) / 2
    position = (torch.arange(size, dtype=torch.float64) + overhang) / spacing + 1
    distance = (position[:, None] - torch.arange(knots, dtype=torch.float64)).abs()
    near = 2 / 3 - distance**2 * (1 - distance / 2)
    far = (2 - distance).clamp(min=0) ** 3 / 6
    return torch.where(distance < 1, near, far).float()


def upsample(controls: torch.Tensor, weights: Sequence[torch.Tensor]) -> torch.Tensor:
    """A smooth field of full size.

    Args:
        controls: (fields, k_1, ..., k_D).
        weights: D matrices (n_d, k_d).

    Returns:
        (fields, n_1, ..., n_D).
    """
    field = controls
    for axis, matrix in enumerate(weights, start=1):
        field = torch.movedim(field, axis, -1) @ matrix.T
        field = torch.movedim(field, -1, axis)
    return field.contiguous()


class ControlGrids:
    """The weights of the control grids of a plan; kept, since they are the same for every sample."""

    def __init__(self, plan: AugmentationPlan) -> None:
        self._plan = plan
        self._weights: dict[tuple[torch.device, float], list[torch.Tensor]] = {}

    def weights(self, spacing_voxels: float, device: torch.device) -> list[torch.Tensor]:
        """One matrix for each of z, y, x."""
        key = (device, spacing_voxels)
        if key not in self._weights:
            self._weights[key] = [
                spline_weights(size, self._plan.control_spacing(spacing_voxels, axis)).to(device)
                for axis, size in enumerate(self._plan.patch_zyx)
            ]
        return self._weights[key]
