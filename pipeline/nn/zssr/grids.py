"""A fine grid of pixels and a coarse one, how they lie over each other, parts of them, and their eight orientations.

Without torch, so that steps can work out what they need before they load it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

ORIENTATIONS = range(8)
"""The flips and quarter turns of an image."""


@dataclass(frozen=True)
class Span:
    """Pixels ``start`` to ``stop`` (excluded) of an axis that has ``length`` of them."""

    start: int
    stop: int
    length: int

    @classmethod
    def whole(cls, length: int) -> Span:
        """All of an axis."""
        return cls(0, length, length)

    def grown(self, by: int) -> Span:
        """With so many pixels more at each end, as far as there are any."""
        return Span(max(0, self.start - by), min(self.length, self.stop + by), self.length)

    def __len__(self) -> int:
        return self.stop - self.start


Window = tuple[Span, Span]
"""A part of an image: y, x."""


@dataclass(frozen=True)
class Scaling:
    """How a fine and a coarse grid lie over each other.

    Args:
        factor: fine pixels a coarse pixel, along y and x alike; above 1.
        phase: fine position of the first coarse pixel's centre; None centres it on the fine pixels that it covers.
    """

    factor: float
    phase: float

    @classmethod
    def centred(cls, factor: float) -> Scaling:
        """Both grids cover the same area."""
        return cls(factor, (factor - 1) / 2)

    def coarse_length(self, fine_length: int) -> int:
        """Coarse pixels that lie wholly over an axis of fine ones (at least one)."""
        return max(1, math.floor(fine_length / self.factor + 1e-6))

    def fine_length(self, coarse_length: int) -> int:
        """Fine pixels over which an axis of coarse ones lies."""
        return round(coarse_length * self.factor)

    def fine_positions(self, coarse: Span) -> NDArray[np.float64]:
        """Where coarse pixels lie on the fine grid."""
        return self.phase + self.factor * np.arange(coarse.start, coarse.stop, dtype=np.float64)

    def coarse_positions(self, fine: Span) -> NDArray[np.float64]:
        """Where fine pixels lie on the coarse grid."""
        return (np.arange(fine.start, fine.stop, dtype=np.float64) - self.phase) / self.factor

    def coarse_under(self, fine: Span, coarse_length: int, reach: float) -> Span:
        """Coarse pixels within ``reach`` (in coarse pixels) of a span of fine ones."""
        first, *_, last = self.coarse_positions(fine)[[0, -1]]
        return _clipped(first - reach, last + reach, coarse_length)

    def fine_under(self, coarse: Span, fine_length: int, reach: float) -> Span:
        """Fine pixels within ``reach`` (in fine pixels) of a span of coarse ones."""
        first, *_, last = self.fine_positions(coarse)[[0, -1]]
        return _clipped(first - reach, last + reach, fine_length)


def _clipped(first: float, last: float, length: int) -> Span:
    """The pixels between two positions; for what lies beyond an edge of the axis, those whose mirror image it is."""
    low, high = math.floor(first), math.ceil(last)
    return Span(max(0, min(low, 2 * length - 1 - high)), min(length, max(high + 1, -low)), length)


def turned(images: Tensor, orientation: int) -> Tensor:
    """A view of images (..., Y, X) in one of the eight orientations; 0 is as it is."""
    if orientation & 1:
        images = images.transpose(-1, -2)
    if orientation & 2:
        images = images.flip(-1)
    return images.flip(-2) if orientation & 4 else images


def turned_back(images: Tensor, orientation: int) -> Tensor:
    """The inverse of `turned`."""
    if orientation & 4:
        images = images.flip(-2)
    if orientation & 2:
        images = images.flip(-1)
    return images.transpose(-1, -2) if orientation & 1 else images
