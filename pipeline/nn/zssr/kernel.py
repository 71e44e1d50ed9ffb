"""The kernel by which a fine image is blurred before it is sampled on a coarse grid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.errors import InputError

Averaging = Literal["area", "bicubic"]
"""Kernels that go with any factor: the mean of what a coarse pixel covers, and MATLAB's antialiased cubic."""
Matrix = tuple[tuple[float, ...], ...]
Blur = Averaging | Matrix
"""A kernel as plain data: a name, or the weights of the fine pixels (y, x)."""
_REACH_IN_SIGMAS = 4.0
"""Beyond it lies 6e-5 of a Gaussian: less than a grey level of 8 bits."""


@dataclass(frozen=True, eq=False)
class Kernel:
    """Weights of the fine pixels around the centre of a coarse one.

    ``weights[j, i]`` belongs to the fine pixel ``(j, i) - (shape - 1) / 2`` away from that centre (y, x): images are
    correlated with it, not convolved, as with MATLAB's ``imfilter``. A side of even length has its centre between two
    pixels.

    Args:
        weights: (y, x), any numbers whose sum is above zero; kept as float64, divided by their sum.

    Raises:
        InputError: not a matrix, empty, not finite, or a sum that is not above zero.
    """

    weights: NDArray[np.float64]

    def __post_init__(self) -> None:
        weights = np.array(_checked(self.weights), dtype=np.float64, order="C")
        object.__setattr__(self, "weights", weights / weights.sum())

    @classmethod
    def gaussian(cls, sigma_px: float) -> Kernel:
        """The Gaussian of this standard deviation in fine pixels, sampled at their centres; its sides are odd.

        Raises InputError for a sigma that is not above zero.
        """
        if not (math.isfinite(sigma_px) and sigma_px > 0):
            raise InputError(f"the Gaussian kernel's sigma is {sigma_px}; give fine pixels, above zero")
        return cls.of_covariance(np.eye(2) * sigma_px**2)

    @classmethod
    def of_covariance(cls, covariance_yx: NDArray[np.float64]) -> Kernel:
        """The Gaussian of this covariance in fine pixels squared, positive definite: [[yy, yx], [xy, xx]]."""
        reach_y, reach_x = np.ceil(_REACH_IN_SIGMAS * np.sqrt(np.diag(covariance_yx))).astype(int)
        offsets = np.mgrid[-reach_y : reach_y + 1, -reach_x : reach_x + 1]
        distance = np.einsum("iyx,ij,jyx->yx", offsets, np.linalg.inv(covariance_yx), offsets)
        return cls(np.exp(-0.5 * distance))

    @property
    def covariance_yx(self) -> NDArray[np.float64]:
        """Second moments about the centre of mass, in fine pixels squared: [[yy, yx], [xy, xx]]."""
        offsets = np.indices(self.weights.shape).reshape(2, -1)
        flat = self.weights.ravel()
        centred = offsets - (offsets @ flat)[:, None]
        moments: NDArray[np.float64] = (centred * flat) @ centred.T
        return moments

    def check_fits(self, slice_yx: tuple[int, int]) -> None:
        """Raises InputError when a side is longer than that of the slices to be blurred with it."""
        if any(side > length for side, length in zip(self.weights.shape, slice_yx, strict=True)):
            kernel, image = ("{} x {}".format(*shape) for shape in (self.weights.shape, slice_yx))
            raise InputError(f"the kernel is {kernel} pixels, the slice {image}; crop it, or take larger slices")


def weights_of(kernel: Kernel) -> Matrix:
    """A kernel as plain data."""
    return tuple(tuple(row) for row in kernel.weights.tolist())


def as_kernel(blur: Blur) -> Averaging | Kernel:
    """The inverse of `weights_of`; names stay names."""
    return blur if isinstance(blur, str) else Kernel(np.array(blur))


def _checked(weights: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(weights)
    if array.dtype.kind not in "buif":
        raise InputError(f"the kernel holds {array.dtype} values; give an array of numbers")
    if array.ndim != 2 or array.size == 0:
        raise InputError(f"the kernel has the shape {array.shape}; give a matrix (y, x) that is not empty")
    if not np.isfinite(array).all():
        raise InputError("the kernel holds values that are not finite; write it again without them")
    total = float(array.sum(dtype=np.float64))
    if not total > 1e-9 * float(np.abs(array.astype(np.float64)).sum()):
        raise InputError(f"the kernel's weights add up to {total:g}; give weights whose sum is above zero")
    return array
