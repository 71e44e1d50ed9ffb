"""Adding up by key: what makes tables of objects mergeable, in any order and grouping, without rounding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
Column = NDArray[Any]


class Addable(Protocol):
    """What parts of a volume that share no voxel add up to."""

    def __add__(self, other: Self, /) -> Self: ...


Sum = TypeVar("Sum", bound=Addable)


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


def total(nothing: Sum, parts: Iterable[Sum]) -> Sum:
    """The sum of many parts, added like the digits of a binary number: no row is moved more than log2(parts) times."""
    sums: list[Sum] = []
    for count, part in enumerate(parts, start=1):
        sums.append(part)
        while count % 2 == 0:
            count //= 2
            last = sums.pop()
            sums[-1] += last
    for each in reversed(sums):
        nothing += each
    return nothing
