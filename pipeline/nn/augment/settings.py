"""What may happen to a sample, and how often."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from pipeline.errors import SettingError


@dataclass(frozen=True)
class AugmentationSettings:
    """Probabilities and ranges of every transform; a probability of 0 switches a transform off.

    Lengths in voxels are voxels of the finest axis: along a coarser axis the same physical length is fewer voxels.
    Intensities are in standard deviations of the normalised image (mean 0, variance 1).
    """

    flip_probability_zyx: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Probability of a mirror image along each axis; exact, nothing is interpolated."""
    quarter_turn_probability: float = 0.75
    """Probability of an exact in-plane turn by 90, 180 or 270 degrees; needs y and x of the same voxel size."""

    rotation_probability: float = 0.5
    """Probability of an in-plane rotation by any angle."""
    rotation_degrees: float = 180.0
    """Largest in-plane rotation, either way, in degrees (180: the full circle)."""
    tilt_probability: float = 0.3
    """Probability of a rotation out of the plane; only where the voxels are nearly cubes."""
    tilt_degrees: float = 10.0
    """Largest tilt about the x and about the y axis, either way, in degrees."""
    scale_probability: float = 0.3
    """Probability of a magnification by the same factor along all axes that are resampled."""
    scale_range: tuple[float, float] = (0.85, 1.2)
    """Smallest and largest magnification; above 1 makes objects larger."""
    stretch_probability: float = 0.2
    """Probability of a magnification of its own for each axis that is resampled."""
    stretch_max: float = 1.1
    """Largest stretch of one axis; the smallest is its inverse."""
    elastic_probability: float = 0.3
    """Probability of an elastic deformation."""
    elastic_amplitude_voxels: float = 4.0
    """Largest displacement by the elastic deformation; each sample draws its own amplitude up to this."""
    elastic_spacing_voxels: float = 32.0
    """Distance between the control points of the elastic deformation: at least 6 amplitudes, or tissue would fold."""
    volumetric_max_anisotropy: float = 1.5
    """Largest ratio of voxel edges up to which a sample is tilted, scaled, bent and blurred along z as well.
    Above it, resampling stays within the slices, because there is too little between two slices to interpolate."""

    blur_probability: float = 0.2
    """Probability of a Gaussian blur."""
    blur_sigma_voxels: tuple[float, float] = (0.4, 1.2)
    """Smallest and largest standard deviation of the blur."""
    gamma_probability: float = 0.3
    """Probability of a gamma curve between the darkest and the brightest voxel of the sample."""
    gamma_range: tuple[float, float] = (0.7, 1.5)
    """Smallest and largest exponent."""
    contrast_probability: float = 0.3
    """Probability of a change of contrast about the mean intensity of the data set."""
    contrast_range: tuple[float, float] = (0.75, 1.33)
    """Smallest and largest factor."""
    brightness_probability: float = 0.3
    """Probability of a change of brightness."""
    brightness_max: float = 0.3
    """Largest change of brightness, either way, in standard deviations."""
    unevenness_probability: float = 0.2
    """Probability of a contrast that drifts smoothly through the patch."""
    unevenness_max: float = 0.3
    """Largest local change of contrast, as a fraction."""
    unevenness_spacing_voxels: float = 64.0
    """Distance over which the contrast drifts."""
    gaussian_noise_probability: float = 0.2
    """Probability of noise that is equally strong everywhere."""
    gaussian_noise_max: float = 0.3
    """Largest standard deviation of that noise."""
    shot_noise_probability: float = 0.2
    """Probability of noise whose variance grows with the signal, as counting electrons gives."""
    shot_noise_max: float = 0.3
    """Largest standard deviation of that noise at the brightest voxel of the sample."""

    missing_slice_probability: float = 0.1
    """Probability that slices of the image are lost: blank, or a copy of the nearest that is left. Labels stay."""
    missing_slices_max: int = 2
    """Most slices that one sample can lose; never more than one in three."""
    shifted_slice_probability: float = 0.1
    """Probability that one slice, or all slices from one on, sit out of place; labels move along."""
    slice_shift_max_voxels: int = 6
    """Largest shift along y and along x, either way."""

    def __post_init__(self) -> None:
        self._check_probabilities()
        for name in ("scale_range", "blur_sigma_voxels", "gamma_range", "contrast_range"):
            self._check_range(name)
        for name in ("stretch_max", "volumetric_max_anisotropy"):
            self._require(name, getattr(self, name) >= 1, "must be 1 or more")
        self._require("rotation_degrees", 0 <= self.rotation_degrees <= 180, "must lie between 0 and 180")
        self._require("tilt_degrees", 0 <= self.tilt_degrees <= 90, "must lie between 0 and 90")
        self._require("unevenness_max", 0 <= self.unevenness_max < 1, "must be at least 0 and below 1")
        for name in ("brightness_max", "gaussian_noise_max", "shot_noise_max", "elastic_amplitude_voxels"):
            self._require(name, 0 <= getattr(self, name) < math.inf, "must be 0 or more")
        for name in ("missing_slices_max", "slice_shift_max_voxels"):
            self._require(
                name, getattr(self, name) >= 1, "must be 1 or more; set its probability to 0 to switch it off"
            )
        for name in ("elastic_spacing_voxels", "unevenness_spacing_voxels"):
            self._require(name, 1 <= getattr(self, name) < math.inf, "must be 1 or more")
        # The gradient of a cubic B-spline is at most 2 amplitudes per spacing; below 1/3 along each of three
        # axes, the deformation has a positive Jacobian determinant everywhere.
        self._require(
            "elastic_spacing_voxels",
            self.elastic_spacing_voxels >= 6 * self.elastic_amplitude_voxels,
            f"must be at least 6 times elastic_amplitude_voxels ({self.elastic_amplitude_voxels})",
        )

    @classmethod
    def off(cls) -> AugmentationSettings:
        """Settings under which every sample stays as it is."""
        never: dict[str, Any] = {f.name: 0.0 for f in fields(cls) if f.name.endswith("_probability")}
        return cls(flip_probability_zyx=(0.0, 0.0, 0.0), **never)

    def _check_probabilities(self) -> None:
        for field in fields(self):
            if "_probability" in field.name:
                value = getattr(self, field.name)
                values = value if isinstance(value, tuple) else (value,)
                self._require(field.name, all(0 <= p <= 1 for p in values), "must lie between 0 and 1")

    def _check_range(self, name: str) -> None:
        low, high = getattr(self, name)
        self._require(name, 0 < low <= high < math.inf, "must be (smallest, largest), both above 0")

    def _require(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise SettingError(name, f"{getattr(self, name)} {rule}")
