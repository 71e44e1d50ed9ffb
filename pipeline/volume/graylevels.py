"""Computed grey values in the type of a volume."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_stored(values: NDArray[np.floating[Any]], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values in the type of a volume: rounded and kept within its range where it holds whole numbers."""
    if dtype.kind not in "ui":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    rounded: NDArray[Any] = np.rint(values).clip(limits.min, limits.max).astype(dtype)
    return rounded
