"""Smooth fields from coarse control grids, by uniform cubic B-splines.

A B-spline is a convex combination of its control values, so that a field never leaves their range, and it is
separable, so that a field of full size costs one small matrix product per axis.
Basis: M. Unser, "Splines: a perfect fit for signal and image processing", IEEE Signal Processing Magazine 16 (1999).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch


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

    controls: (fields, k_1, ..., k_D); weights: D matrices (n_d, k_d). Returns (fields, n_1, ..., n_D).
    """
    field = controls
    for axis, matrix in enumerate(weights, start=1):
        field = torch.movedim(field, axis, -1) @ matrix.T
        field = torch.movedim(field, -1, axis)
    return field.contiguous()
