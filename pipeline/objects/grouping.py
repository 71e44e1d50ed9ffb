"""Adding up by key: what makes tables of objects mergeable, in any order and grouping, without rounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
Column = NDArray[Any]


def grouped(keys: Keys, columns: Sequence[tuple[np.ufunc, Column]]) -> tuple[Keys, list[Column]]:
    """One row for each key that occurs, in rising order.

    Args:
        keys: shape (rows, n): n numbers that make a key, the first counts most in the order.
        columns: what joins the rows of one key (`np.add`, `np.minimum`, ...), and values of shape (rows, ...). Integers
            are added modulo 2**64.

    Returns:
        The keys, shape (groups, n), and each column, shape (groups, ...), of its type.
    """
    if not len(keys):
        return keys, [values for _, values in columns]
    order = np.lexsort(keys.T[::-1])
    ordered = keys[order]
    first = np.flatnonzero(np.concatenate([[True], (ordered[1:] != ordered[:-1]).any(axis=1)]))
    return ordered[first], [join.reduceat(values[order], first, axis=0, dtype=values.dtype) for join, values in columns]
