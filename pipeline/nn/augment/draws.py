"""The random numbers of one sample, drawn from (seed, sample index) and nothing else.

Every number is drawn in a fixed order, whether its transform happens or not, from a counter-based generator whose
key is the pair: Philox4x64, J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. No sample
knows of any other, so that batch size, order and device count cannot matter. The draws of a new transform come after
all others, so that these stay what they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError

FloatArray = NDArray[np.float64]


class SampleStream:
    """The random numbers of one sample."""

    def __init__(self, seed: int, sample_index: int) -> None:
        for name, value in (("seed", seed), ("sample index", sample_index)):
            if not 0 <= value < 2**64:
                raise InputError(f"augmentation {name}: {value} must be at least 0 and below 2**64")
        key = np.array([seed, sample_index], dtype=np.uint64)
        self._generator = np.random.Generator(np.random.Philox(key=key))
        self._numbers = self._in_bulk()

    def _in_bulk(self) -> Iterator[float]:
        """Uniform in [0, 1); drawn by the dozen, which is ten times faster than one by one."""
        while True:
            yield from self._generator.random(64).tolist()

    def happens(self, probability: float) -> bool:
        """Of an event with this probability: whether it does."""
        return next(self._numbers) < probability

    def uniform(self, low: float, high: float) -> float:
        """In [low, high)."""
        return low + (high - low) * next(self._numbers)

    def log_uniform(self, low: float, high: float) -> float:
        """In [low, high), factors alike."""
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def integer(self, low: int, high: int) -> int:
        """Both ends are included."""
        return low + int(next(self._numbers) * (high - low + 1))

    def field(self, shape: tuple[int, ...]) -> FloatArray:
        """Uniform in [-1, 1)."""
        return 2 * self._generator.random(shape) - 1

    def distinct(self, count: int, size: int) -> list[int]:
        """`count` different numbers below `size`, in rising order."""
        return sorted(int(i) for i in np.argsort(self._generator.random(size))[:count])

    def value_or(self, otherwise: float, probability: float, low: float, high: float) -> float:
        """Uniform between two values, or none of them where it does not happen."""
        happens, value = self.happens(probability), self.uniform(low, high)
        return value if happens else otherwise

    def factor(self, probability: float, low: float, high: float) -> float:
        """Log-uniform between two factors, or 1 where it does not happen."""
        happens, value = self.happens(probability), self.log_uniform(low, high)
        return value if happens else 1.0
