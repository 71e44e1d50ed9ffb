"""The downscaling kernel of a capture whose blur is unknown, from its slices alone.

Downscaled by the right kernel, an image looks like itself: its small patches recur across scales (T. Michaeli,
M. Irani, "Nonparametric Blind Super-Resolution", ICCV 2013), and the right kernel keeps their distribution
(S. Bell-Kligler, A. Shocher, M. Irani, "Blind Super-Resolution Kernel Estimation using an Internal-GAN", NeurIPS 2019).
Both learn it from single patches. Here it is that distribution's second moments that are kept, its power spectrum: they
are well known even where few patches recur, as in tissue, and take a second instead of minutes.

- An image without blur has a spectrum that halving its size scales but does not bend (D. L. Ruderman, W. Bialek,
  "Statistics of natural images: scaling in the woods", Phys. Rev. Lett. 73, 1994).
- A capture blurred by a Gaussian of covariance B, in its own pixels, is blurred by B / 4 when halved by subsampling;
  3 B more, before that, make it B again. So B is where the halved capture's spectrum is the capture's, up to a gain.
- The fine image is to be as sharp as its pixels. Then the capture's blur is the kernel: B times the factor squared.

What this cannot see: the part of a kernel that is not Gaussian, and a shift (the kernel is centred). Noise reads as
sharp detail: frequencies count as far as they stand out of it, but the kernel of a very noisy capture comes out narrow,
as does that of a capture which was interpolated to a finer grid.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from pipeline.errors import InputError
from pipeline.nn.zssr.kernel import Kernel

_TILE_PX = 64
_LEAST_SIDE_PX = 16
_LARGEST_SIGMA_PX = 2.5
"""A capture blurred more than this holds so little detail a pixel that its blur cannot be told from its content."""
_LEAKAGE = 1e-8
"""The share of the strongest frequency's power that the window of a tile spreads over all others."""
_LEAST_DETAIL = 0.1
"""Of all power, frequency by frequency, the mean share that must not be noise."""


def estimate_kernel(slices_NYX: NDArray[np.floating], factor: float) -> Kernel:
    """The Gaussian, of any widths and direction, that links a capture to a finer image ``factor`` times its size.

    Args:
        slices_NYX: slices or crops from everywhere in the capture, in any unit of intensity; a million pixels suffice.
        factor: fine pixels a pixel of the capture, above 1.

    Returns:
        The kernel in fine pixels; never narrower than what a pixel of the capture covers.

    Raises:
        InputError: a factor that is not above 1; slices too small, not finite, constant, noise only or too blurred.
    """
    if not factor > 1:
        raise InputError(f"the factor is {factor}; give fine pixels a pixel of the capture, above 1")
    blur_yx = _capture_blur(_spectrum(slices_NYX))
    variances, axes = np.linalg.eigh(blur_yx)
    if variances[-1] > _LARGEST_SIGMA_PX**2:
        raise InputError(
            f"the capture seems blurred over {variances[-1] ** 0.5:.1f} pixels (standard deviation); "
            f"above {_LARGEST_SIGMA_PX:g} its kernel cannot be estimated: give the kernel, or merge pixels first"
        )
    # A box of one pixel has a variance of 1 / 12; the fine image's own box is part of it.
    widened = np.maximum(variances, (1 - factor**-2) / 12)
    return Kernel.of_covariance((axes * widened) @ axes.T * factor**2)


def _spectrum(slices_NYX: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean power of the slices at frequencies of whole steps of 1 / side cycles a pixel; (side, side), zero first.

    P. D. Welch, "The use of fast Fourier transform for the estimation of power spectra", IEEE Trans. Audio
    Electroacoust. 15, 1967: windowed tiles that overlap by half. They are padded to twice their length with zeros, so
    that each frequency of a tile has its half in the spectrum too.
    """
    tile = _tile_side(slices_NYX)
    profile = np.hanning(tile + 2)[1:-1]
    window = np.outer(profile, profile)
    power, tiles = np.zeros((2 * tile, 2 * tile)), 0
    for image in slices_NYX:
        views = np.lib.stride_tricks.sliding_window_view(image, (tile, tile))[:: tile // 2, :: tile // 2]
        for row in views.astype(np.float64):
            centred = row - np.average(row, axis=(1, 2), weights=np.broadcast_to(window, row.shape))[:, None, None]
            power += (np.abs(np.fft.fft2(centred * window, power.shape)) ** 2).sum(axis=0)
            tiles += len(row)
    return power / tiles


def _tile_side(slices_NYX: NDArray[np.floating]) -> int:
    """Raises InputError where the slices have no spectrum."""
    if slices_NYX.ndim != 3 or slices_NYX.size == 0 or min(slices_NYX.shape[1:]) < _LEAST_SIDE_PX:
        raise InputError(
            f"slices of the shape {slices_NYX.shape} (n, y, x) are too small to estimate a kernel from; "
            f"give at least {_LEAST_SIDE_PX} x {_LEAST_SIDE_PX} pixels, or the kernel"
        )
    if not np.isfinite(slices_NYX).all():
        raise InputError("the slices hold values that are not finite; no kernel can be estimated from them")
    if slices_NYX.max() == slices_NYX.min():
        raise InputError(f"the slices are constant ({slices_NYX.flat[0]:g}); give others, or the kernel")
    side: int = min(_TILE_PX, *slices_NYX.shape[1:])
    return side // 2 * 2


def _capture_blur(spectrum: NDArray[np.float64]) -> NDArray[np.float64]:
    """The covariance B (y, x) in the capture's pixels squared, for which halving keeps the spectrum's shape.

    Raises InputError for a capture of little but noise.
    """
    own, halved, frequencies = _scales(spectrum)
    detail = np.clip(1 - _noise_power(spectrum) / own, 0, None)
    if detail.mean() < _LEAST_DETAIL:
        raise InputError(
            "the slices show next to no detail of a pixel's size, or only noise: no kernel can be estimated from them; "
            "give the kernel, or merge pixels first"
        )

    def bend(lower: NDArray[np.float64]) -> NDArray[np.float64]:
        spread = frequencies @ _triangle(lower)
        gaussian = np.exp(-3 * (2 * np.pi) ** 2 * (spread**2).sum(axis=-1))
        ratio = np.log(own) - np.log((halved * gaussian).sum(axis=0))
        weighted: NDArray[np.float64] = detail * (ratio - np.average(ratio, weights=detail))
        return weighted

    # Single frequencies may hold a pattern of the scene's; beyond a ratio of 1.2 they count less.
    lower = _triangle(least_squares(bend, (0.6, 0.0, 0.6), loss="soft_l1", f_scale=0.2).x)
    return lower @ lower.T


def _noise_power(spectrum: NDArray[np.float64]) -> float:
    """The power in the spectrum's corners, beyond 0.6 cycles a pixel, where a scene leaves least; or the leakage."""
    frequency = np.fft.fftfreq(len(spectrum))
    corners = float(spectrum[np.hypot(frequency[:, None], frequency) > 0.6].mean())
    return max(corners, _LEAKAGE * float(spectrum.max()))


def _triangle(lower: NDArray[np.float64]) -> NDArray[np.float64]:
    """The Cholesky factor of B: whatever its numbers, B is a covariance."""
    return np.array([[lower[0], 0.0], [lower[1], lower[2]]])


def _scales(spectrum: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The capture's power at F frequencies, and the four powers (4, F) that fall on each of them when it is halved.

    Those lie at half the frequency and, by aliasing, half a cycle a pixel from there along y, x or both; the third
    array (4, F, 2) says where, in cycles a pixel of the capture (y, x).
    """
    side = len(spectrum)
    tile = side // 2
    wave = np.indices((tile, tile)).reshape(2, -1).T - tile // 2
    radius = np.hypot(*wave.T) / tile
    # Below 4 / tile the window smears the steep spectrum of the halved image. Of each pair f and -f, one is enough.
    kept = (radius >= 4 / tile) & (radius <= 0.5) & ((wave[:, 0] > 0) | ((wave[:, 0] == 0) & (wave[:, 1] > 0)))
    wave = wave[kept]
    landing = np.array([wave + np.array(shift) * tile for shift in product((0, 1), repeat=2)]) % side
    floor = np.finfo(np.float64).eps * spectrum.max()
    own = spectrum[tuple((2 * wave % side).T)] + floor
    halved = spectrum[landing[..., 0], landing[..., 1]] + floor
    return own, halved, np.fft.fftfreq(side)[landing]
