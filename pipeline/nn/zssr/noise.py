"""How much of the noise of slices is lost when they are made coarser.

A network learns from coarsened slices and is used on the slices themselves. Coarsening averages noise: what is used is
noisier than what was learnt from, and the network, which has never met so much of it, sharpens it as if it were detail.
So the noise that coarsening takes away is to be put back on what the network learns from.

The noise of an image is the least variance that its patches have in any direction, taken over the flattest of them: a
direction that holds no structure holds noise alone (S. Pyatykh, J. Hesser, L. Zheng, "Image noise level estimation by
principal component analysis", IEEE Trans. Image Process. 22, 2013). Fine texture leaves no such direction and would
pass for noise, but is not white: where half of the directions have more than twice the least variance, it is no noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dct
from torch import Tensor

from pipeline.nn.zssr.grids import Span
from pipeline.nn.zssr.resampling import Downsampling

_SIDE_PX = 5
_FLATTEST = 0.1
"""The share of patches, those of least variance, that are looked at."""
_MOST_PATCHES = 200_000
_LEAST_PATCHES = 100
"""Of the flattest; with fewer nothing can be said."""
_WHITE, _COLOURED = 1.5, 2.5
"""Median over least variance: up to the first all of the least is noise, from the second on nothing is."""
_SLOW = 2
"""Half waves in a patch, along y and x together."""
_UNIT_NOISE_SIDE_PX = 128


def lost_noise(images: Sequence[Tensor], downsampling: Downsampling) -> float:
    """The standard deviation of the noise that coarsening takes away, in the unit of the images.

    Args:
        images: (Y, X) each.
        downsampling: how they are made coarser.

    Returns:
        0 where there is no noise, and where the images are too small to say.
    """
    return math.sqrt(noise_variance(images) * max(0.0, 1 - _kept(downsampling)))


def noise_variance(images: Sequence[Tensor]) -> float:
    """The variance of the white noise on images (Y, X); 0 if they are too small to say."""
    patches = _patches([image.numpy() for image in images])
    smooth, fine = (patches.reshape(-1, _SIDE_PX**2) @ basis for basis in _bases())
    # Flat in the slow waves: were they chosen by the fast ones, those would be taken that happen to have little noise.
    roughness = (smooth**2).sum(axis=1)
    flattest = fine[roughness <= np.quantile(roughness, _FLATTEST)] if len(fine) else fine
    if len(flattest) < _LEAST_PATCHES:
        return 0.0
    variances = np.linalg.eigvalsh(np.cov(flattest.T))
    least, median = max(0.0, float(variances[0])), float(np.median(variances))
    return least * float(np.interp(median, (_WHITE * least, _COLOURED * least), (1.0, 0.0))) if least else 0.0


def _bases() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slow and fast waves (pixels, waves) of a patch, orthonormal; the mean is in neither."""
    waves = dct(np.eye(_SIDE_PX), norm="ortho", axis=0)
    both = np.einsum("iy,jx->yxij", waves, waves).reshape(_SIDE_PX**2, _SIDE_PX**2)
    order = np.add.outer(np.arange(_SIDE_PX), np.arange(_SIDE_PX)).ravel()
    return both[:, (order > 0) & (order <= _SLOW)], both[:, order > _SLOW]


def _kept(downsampling: Downsampling) -> float:
    """The share of white noise's variance that is left after coarsening."""
    noise = torch.randn((_UNIT_NOISE_SIDE_PX, _UNIT_NOISE_SIDE_PX), generator=torch.Generator().manual_seed(0))
    fine, coarse = Span.whole(len(noise)), Span.whole(downsampling.scaling.coarse_length(len(noise)))
    return float(downsampling(noise[None], (fine, fine), (coarse, coarse)).var() / noise.var())


def _patches(images: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Patches (n, pixels) from everywhere in the images, but for padding: what is of one value throughout."""
    step = max(1, math.isqrt(sum(image.size for image in images) // _MOST_PATCHES))
    views = [
        np.lib.stride_tricks.sliding_window_view(image, (_SIDE_PX, _SIDE_PX))[::step, ::step]
        for image in images
        if min(image.shape) >= _SIDE_PX
    ]
    patches = np.concatenate([np.empty((0, _SIDE_PX**2)), *(view.reshape(-1, _SIDE_PX**2) for view in views)])
    tissue: NDArray[np.float64] = patches[(patches != patches[:, :1]).any(axis=1)]
    return tissue
