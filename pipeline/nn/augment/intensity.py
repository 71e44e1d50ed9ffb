"""Changes of grey values. All work on one sample (C, z, y, x), so that its result cannot depend on its batch.

Mean 0 and variance 1 are the data set's, not the patch's: nothing here estimates them anew.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from pipeline.nn.augment.noise import Mixture

# Below this width a Gaussian gives its neighbours less than 0.0005 % of the weight.
_NARROWEST_SIGMA = 0.2


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
    """Adds Gaussian and shot noise, in place; noise: standard normal numbers of the image's shape.

    gaussian: standard deviation everywhere; shot: at the brightest voxel, falling with the root of the signal to 0
    at the darkest. The sum of both is one Gaussian whose variances add, so that one normal number a voxel is enough.
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
