"""How close boosted slices come to the native ones: PSNR, SSIM, contrast, spectrum and flicker.

All is measured slice by slice by a `QualityMeter`, which holds sums and the last slice, never a volume:

==================  ==================================================================================
measure             definition, N the native and B the boosted slice in units of the data range
==================  ==================================================================================
PSNR                10 log10(1 / mean (B - N)²), dB; mean over the slices
SSIM                Wang et al. 2004, Gaussian window of 11 × 11, sigma 1.5; mean over the slices
contrast            RMS contrast, the standard deviation of the grey values; Peli 1990
high frequencies    power above half of Nyquist in any direction, mean over overlapping windows; Welch 1967
detail correlation  cross-spectrum of N and B over the root of the product of their powers, in that band
flicker             mean |B' - B| - mean |N' - N|, a prime for the next slice in z
==================  ==================================================================================

Power is not yet detail: noise has power too. The detail correlation tells them apart; it is 1 where the high
frequencies are the native ones but for one factor, and 0 where they have nothing to do with them. It is the Fourier
ring correlation (Saxton and Baumeister 1982) of one wide ring.

Flicker as defined above can be below zero, since blur also lessens the differences between neighbours, and a stack
that is blurred can flicker unseen. Two more measures do not have this weakness: `error_flicker`, mean
|(B' - N') - (B - N)|, which is never below |flicker|, and `sharpness_flicker`, by how much the share of the high
frequencies that is kept changes from slice to slice: what shows when each slice has a network of its own.

Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image quality assessment: from error visibility to structural
similarity", IEEE Transactions on Image Processing 13 (2004). E. Peli, "Contrast in complex images", Journal of the
Optical Society of America A 7 (1990). P. Welch, "The use of fast Fourier transform for the estimation of power
spectra", IEEE Transactions on Audio and Electroacoustics 15 (1967).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import lru_cache
from math import ceil, inf, log10, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft2
from scipy.signal.windows import hann
from skimage.metrics import structural_similarity

from pipeline.errors import InputError

SSIM_WINDOW_PIXELS = 11
SPECTRUM_WINDOW_PIXELS = 128
HIGH_FREQUENCY = 0.25
"""Half of Nyquist, in cycles per pixel."""

# Rounding leaves a constant slice with a contrast of about 1e-16 and a power of about 1e-30; one grey level of 16 bits
# has more than a million times this.
_NEGLIGIBLE = 1e-12
# Rows that SSIM takes at a time: it holds a dozen arrays of its input's size.
_BAND_ROWS = 512

Image = NDArray[np.float64]


@dataclass(frozen=True)
class Quality:
    """What was measured over a stack; None where there was nothing to measure it on."""

    slices: int
    psnr_db: float | None
    """Infinite when a slice equals the native one."""
    ssim: float | None
    contrast_kept: float | None
    """Boosted over native; above 1 when the boosted slices have more. None when the native ones are constant."""
    high_frequency_kept: float | None
    """Power of the boosted over that of the native slices; None when the native ones have none."""
    detail_correlation: float | None
    """In [-1, 1]; None when either has no power in the band."""
    slice_pairs: int
    """Neighbouring slices, on which the flicker rests."""
    flicker: float | None
    """In units of the data range, as is the next."""
    error_flicker: float | None
    sharpness_flicker: float | None
    """Mean change of `high_frequency_kept` between neighbours."""


@dataclass
class _Sums:
    slices: int = 0
    psnr_db: float = 0.0
    ssim: float = 0.0
    native_contrast: float = 0.0
    boosted_contrast: float = 0.0
    native_power: float = 0.0
    boosted_power: float = 0.0
    cross_power: float = 0.0
    pairs: int = 0
    native_difference: float = 0.0
    boosted_difference: float = 0.0
    error_difference: float = 0.0
    sharpness_pairs: int = 0
    sharpness_difference: float = 0.0

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True)
class _Slice:
    z: int
    native: Image
    boosted: Image
    sharpness: float | None


@dataclass
class QualityMeter:
    """Measures boosted slices against native ones as they come; meters of several regions are merged with `+`.

    `data_range` is the largest minus the smallest value that the data may take: 255 for uint8. So many
    `border_pixels` are cut off on each side of a slice first, as benchmarks of super-resolution do.
    Raises InputError when the range is not positive or the border is negative.
    """

    data_range: float
    border_pixels: int = 0
    _sums: _Sums = field(default_factory=_Sums, repr=False)
    _last: _Slice | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_settings(self.data_range, self.border_pixels)

    def update(self, native_YX: NDArray[Any], boosted_YX: NDArray[Any], z: int = 0) -> None:
        """Measure slice `z` of a region; it is compared with the slice before when that was given just before.

        Raises InputError when the two differ in shape or are too small for the window of SSIM.
        """
        native, boosted = _prepared(native_YX, boosted_YX, self.data_range, self.border_pixels)
        sums = self._sums
        sums.slices += 1
        sums.psnr_db += _psnr_db(native, boosted)
        sums.ssim += _ssim(native, boosted)
        sums.native_contrast += float(native.std())
        sums.boosted_contrast += float(boosted.std())
        native_power, boosted_power, cross_power = _high_frequency_powers(native, boosted)
        sums.native_power += native_power
        sums.boosted_power += boosted_power
        sums.cross_power += cross_power
        here = _Slice(z, native, boosted, _quotient(boosted_power, native_power))
        if self._last is not None and self._last.z + 1 == z and self._last.native.shape == native.shape:
            _add_pair(sums, self._last, here)
        self._last = here

    def quality(self) -> Quality:
        """Return what was measured so far."""
        sums = self._sums
        return Quality(
            slices=sums.slices,
            psnr_db=_quotient(sums.psnr_db, sums.slices),
            ssim=_quotient(sums.ssim, sums.slices),
            contrast_kept=_quotient(sums.boosted_contrast, sums.native_contrast),
            high_frequency_kept=_quotient(sums.boosted_power, sums.native_power),
            detail_correlation=_quotient(sums.cross_power, sqrt(sums.native_power * sums.boosted_power)),
            slice_pairs=sums.pairs,
            flicker=_quotient(sums.boosted_difference - sums.native_difference, sums.pairs),
            error_flicker=_quotient(sums.error_difference, sums.pairs),
            sharpness_flicker=_quotient(sums.sharpness_difference, sums.sharpness_pairs),
        )

    def __add__(self, other: QualityMeter) -> QualityMeter:
        """Return what both measured; slices of different meters are no neighbours.

        Raises InputError when their settings differ.
        """
        if (self.data_range, self.border_pixels) != (other.data_range, other.border_pixels):
            raise InputError(
                f"quality measured with data range {self.data_range:g} and border {self.border_pixels} cannot be added "
                f"to that with {other.data_range:g} and {other.border_pixels}; measure both with the same"
            )
        return QualityMeter(self.data_range, self.border_pixels, self._sums + other._sums)


def psnr_db(native_YX: NDArray[Any], boosted_YX: NDArray[Any], *, data_range: float, border_pixels: int = 0) -> float:
    """Return the peak signal-to-noise ratio of one slice in dB; infinite when the slices are equal.

    Raises InputError when the shapes differ or nothing is left within the border.
    """
    _check_settings(data_range, border_pixels)
    return _psnr_db(*_prepared(native_YX, boosted_YX, data_range, border_pixels, smallest=1))


def ssim(native_YX: NDArray[Any], boosted_YX: NDArray[Any], *, data_range: float, border_pixels: int = 0) -> float:
    """Return the structural similarity of one slice, averaged over the windows that lie within it.

    Raises InputError when the shapes differ or no window of 11 × 11 is left within the border.
    """
    _check_settings(data_range, border_pixels)
    return _ssim(*_prepared(native_YX, boosted_YX, data_range, border_pixels))


def _check_settings(data_range: float, border_pixels: int) -> None:
    if not 0 < data_range < inf or border_pixels < 0:
        raise InputError(
            f"data range {data_range:g} and border of {border_pixels} pixels: give a range above 0 and a border from 0"
        )


def _prepared(
    native: NDArray[Any], boosted: NDArray[Any], data_range: float, border: int, smallest: int = SSIM_WINDOW_PIXELS
) -> tuple[Image, Image]:
    """Both slices within the border, in units of the data range."""
    if native.ndim != 2 or native.shape != boosted.shape:
        raise InputError(
            f"native of shape {native.shape} and boosted of {boosted.shape}: give one (y, x) slice of both"
        )
    if min(native.shape) - 2 * border < smallest:
        raise InputError(
            f"a slice of {native.shape[0]} × {native.shape[1]} pixels less {border} on each side cannot be compared; "
            f"{smallest} × {smallest} must be left"
        )
    inside = np.s_[border : native.shape[0] - border, border : native.shape[1] - border]
    return native[inside].astype(np.float64) / data_range, boosted[inside].astype(np.float64) / data_range


def _psnr_db(native: Image, boosted: Image) -> float:
    mean_square = float(np.mean((boosted - native) ** 2))
    return -10 * log10(mean_square) if mean_square else inf


def _ssim(native: Image, boosted: Image) -> float:
    """The mean over all windows, worked out in bands of rows, each with the margin that its windows reach into."""
    margin = SSIM_WINDOW_PIXELS - 1
    windows = native.shape[0] - margin
    total = 0.0
    for start in range(0, windows, _BAND_ROWS):
        rows = min(_BAND_ROWS, windows - start)
        band = slice(start, start + rows + margin)
        total += rows * structural_similarity(  # type: ignore[no-untyped-call]
            native[band],
            boosted[band],
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    return float(total / windows)


def _high_frequency_powers(native: Image, boosted: Image) -> tuple[float, float, float]:
    """Power of both and their cross-spectrum above `HIGH_FREQUENCY`, summed over all windows."""
    total = np.zeros(3)
    for windows in _windows(native, boosted):
        taper, band = _taper_and_band(*windows.shape[-2:])
        centred = windows - windows.mean(axis=(-2, -1), keepdims=True)
        ours, theirs = rfft2(centred * taper) * band
        total += [_inner(ours, ours), _inner(theirs, theirs), _inner(ours, theirs)]
    native_power, boosted_power, cross_power = total.tolist()
    return native_power, boosted_power, cross_power


def _inner(first: NDArray[np.complex128], second: NDArray[np.complex128]) -> float:
    return float(np.vdot(first, second).real)


def _windows(native: Image, boosted: Image) -> Iterator[Image]:
    """Windows of both slices as (slice, window, y, x), those of one row of windows at a time."""
    sides = [min(SPECTRUM_WINDOW_PIXELS, length) for length in native.shape]
    starts_y, starts_x = (_starts(length, side) for length, side in zip(native.shape, sides, strict=True))
    for y in starts_y:
        row = np.stack([native[y : y + sides[0]], boosted[y : y + sides[0]]])
        yield np.stack([row[:, :, x : x + sides[1]] for x in starts_x], axis=1)


def _starts(length: int, side: int) -> list[int]:
    """First pixels of windows that overlap by at least half and cover the whole length."""
    count = 1 + ceil((length - side) / (side / 2))
    return [round(start) for start in np.linspace(0, length - side, count).tolist()]


@lru_cache(maxsize=8)
def _taper_and_band(rows: int, columns: int) -> tuple[Image, Image]:
    """Hann's window, and the weights of the frequencies of `rfft2`: 0 below the band.

    A frequency and its conjugate, which `rfft2` leaves out, count twice; the weights are applied to amplitudes.
    """
    taper = np.outer(hann(rows, sym=False), hann(columns, sym=False))
    frequency_x = np.fft.rfftfreq(columns)
    radius = np.hypot(np.fft.fftfreq(rows)[:, None], frequency_x)
    twice = np.where((frequency_x == 0) | (frequency_x == 0.5), 1.0, sqrt(2.0))
    return taper, np.where(radius >= HIGH_FREQUENCY, twice, 0.0)


def _add_pair(sums: _Sums, before: _Slice, here: _Slice) -> None:
    native, boosted = here.native - before.native, here.boosted - before.boosted
    sums.pairs += 1
    sums.native_difference += float(np.abs(native).mean())
    sums.boosted_difference += float(np.abs(boosted).mean())
    sums.error_difference += float(np.abs(boosted - native).mean())
    if before.sharpness is not None and here.sharpness is not None:
        sums.sharpness_pairs += 1
        sums.sharpness_difference += abs(here.sharpness - before.sharpness)


def _quotient(part: float, whole: float) -> float | None:
    return part / whole if whole > _NEGLIGIBLE else None
