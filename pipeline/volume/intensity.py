"""Intensity statistics of a capture in one pass: what images are normalised with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.volume.geometry import parts

LOW_QUANTILE, HIGH_QUANTILE = 0.005, 0.995
PADDING_SHARE, GREY_PADDING_SHARE = 0.01, 0.1
_FEW_VALUES = 8

# Bins of float32 images: one for each value of the highest bits (sign, exponent, 11 of the mantissa), so that no
# range has to be known beforehand and quantiles are right within 2^-12 of their value.
_FLOAT_BITS = 20


@dataclass(frozen=True)
class Intensity:
    """minimum, maximum, mean and standard deviation; low and high are the 0.5 % and 99.5 % quantiles."""

    minimum: float
    maximum: float
    low: float
    high: float
    mean: float
    std: float


class IntensityHistogram:
    """Collects statistics of uint8, uint16 or float32 voxels, block by block.

    Quantiles are the smallest value that at least that share of the voxels does not exceed: exact for integers.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._is_float = dtype.kind == "f"
        bits = _FLOAT_BITS if self._is_float else dtype.itemsize * 8
        self._counts = np.zeros(2**bits, np.int64)
        self._voxels = 0
        self._sum = 0.0
        self._sum_of_squares = 0.0
        self._minimum, self._maximum = np.inf, -np.inf

    def add(self, data: np.ndarray) -> None:
        """Count the voxels of a block of any shape; all are finite."""
        flat = data.reshape(-1)
        for part in parts(flat):
            self._add(flat[part])

    def _add(self, data: np.ndarray) -> None:
        keys = _float_keys(data) if self._is_float else data
        self._counts += np.bincount(keys, minlength=self._counts.size)
        exact = data.astype(np.float64)
        self._voxels += data.size
        self._sum += float(exact.sum())
        self._sum_of_squares += float(exact @ exact)
        self._minimum = min(self._minimum, float(data.min()))
        self._maximum = max(self._maximum, float(data.max()))

    def summary(self) -> Intensity:
        """The statistics of all voxels so far; at least one must have been added."""
        mean = self._sum / self._voxels
        variance = max(self._sum_of_squares / self._voxels - mean**2, 0.0)
        low, high = self._quantile(LOW_QUANTILE), self._quantile(HIGH_QUANTILE)
        return Intensity(self._minimum, self._maximum, low, high, mean, variance**0.5)

    def quantiles_without_padding(self, shares: Sequence[float]) -> tuple[list[float], float]:
        """Quantiles of what is no padding, and the share of voxels that is.

        Padding, of a margin or a mask, is the lowest or the highest value where it is a spike: more than
        `PADDING_SHARE` of the voxels, and four times as many as have the value next to it; or any value that more than
        `GREY_PADDING_SHARE` have. An image of a few values has none.
        """
        counts, values = self._counts.copy(), np.flatnonzero(self._counts)
        found = np.pad(self._counts[values], 1)
        beside = np.maximum(found[:-2], found[2:])
        ends = np.isin(np.arange(values.size), (0, values.size - 1))
        least = np.where(ends, PADDING_SHARE, GREY_PADDING_SHARE) * self._voxels
        counts[values[(found[1:-1] > np.maximum(least, 4 * beside)) & (beside > 0)]] = 0
        if np.count_nonzero(counts) < _FEW_VALUES:
            counts = self._counts
        padding = 1.0 - float(counts.sum()) / self._voxels
        return [self._quantile(share, counts) for share in shares], padding

    def _quantile(self, share: float, counts: np.ndarray | None = None) -> float:
        cumulative = np.cumsum(self._counts if counts is None else counts)
        key = int(np.searchsorted(cumulative, share * cumulative[-1]))
        value = _bin_centre(key) if self._is_float else float(key)
        return min(max(value, self._minimum), self._maximum)


def _float_keys(data: np.ndarray) -> np.ndarray:
    """The highest bits of each float32, as integers in the order of the values."""
    # Floats of one sign are ordered as their bits are; negative ones come first, and in reverse.
    bits = np.ascontiguousarray(data, np.float32).view(np.uint32)
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return ordered >> (32 - _FLOAT_BITS)


def _bin_centre(key: int) -> float:
    ordered = (key << (32 - _FLOAT_BITS)) | (1 << (31 - _FLOAT_BITS))
    bits = ordered & 0x7FFFFFFF if ordered >> 31 else ~ordered & 0xFFFFFFFF
    return float(np.uint32(bits).view(np.float32))
