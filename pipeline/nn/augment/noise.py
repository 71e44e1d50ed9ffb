"""Standard normal noise at a tenth of the cost of drawing it anew."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

OFFSETS = 2**18
"""How many windows each bank has, less one."""

Mixture = tuple[tuple[torch.Tensor, float], ...]
"""Noise as a weighted sum of tensors: adding them one by one saves writing the sum first."""


@dataclass(frozen=True)
class NoiseWindows:
    """Which noise a sample gets: one window of each of two banks, and the angle at which the two are mixed."""

    offsets: tuple[int, int]
    angle: float


class NoiseBanks:
    """Two long rows of normal numbers, drawn once; a sample's noise is a mixture of a window of each.

    cos(a) u + sin(a) v is standard normal when u and v are, and white, since within a sample no number of a bank is
    used twice. Two samples share a stretch of noise only by the same pair of windows at the same angle, of which
    there are 2**36 times a continuum. Drawing normal numbers would be a third of the whole augmentation.
    """

    def __init__(self, numbers: int, device: torch.device) -> None:
        """numbers: how many a sample needs. They are the same on every device."""
        generator = np.random.Generator(np.random.Philox(key=0))
        drawn = generator.standard_normal((2, numbers + OFFSETS), dtype=np.float32)
        self._first, self._second = torch.from_numpy(drawn).to(device)

    def mixture(self, windows: NoiseWindows, shape: torch.Size) -> Mixture:
        """The two windows as views of `shape`, which holds as many numbers as were asked for, with their weights."""
        first = self._first[windows.offsets[0] :][: shape.numel()]
        second = self._second[windows.offsets[1] :][: shape.numel()]
        return (first.view(shape), math.cos(windows.angle)), (second.view(shape), math.sin(windows.angle))
