"""Smooth random fields that can be sampled on any regular grid, tile by tile, without seams."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
Axes = tuple[Field, Field, Field]
Corner = npt.NDArray[np.floating]
Taps = tuple[Field, Field, Field, Field]

_HALF, _SIXTH = np.float32(1 / 2), np.float32(1 / 6)
_SUPPORT = 4  # a cubic B-spline touches four lattice nodes along each axis
_MEAN_SQUARED_WEIGHT = 151.0 / 315.0  # of the cubic B-spline, averaged over positions between two nodes


class SmoothNoise:
    """Zero-mean, unit-variance noise, twice continuously differentiable: cubic B-splines over white noise.

    Values depend on the position alone, so neighbouring tiles of a volume meet exactly.
    """

    def __init__(self, rng: np.random.Generator, start_nm: Corner, stop_nm: Corner, node_nm: float) -> None:
        """Draw the lattice that covers the box from `start_nm` to `stop_nm` (z, y, x), a node each `node_nm`.

        Detail has a wavelength of about three node distances.
        """
        shape = np.ceil((stop_nm - start_nm) / node_nm).astype(int) + _SUPPORT
        scale = _MEAN_SQUARED_WEIGHT**-1.5
        self._nodes: Field = rng.standard_normal(shape, dtype=np.float32) * np.float32(math.sqrt(scale))
        self._start_nm = start_nm.astype(np.float32)
        self._node_nm = np.float32(node_nm)

    def sample(self, axes_nm: Axes) -> Field:
        """The field on the grid spanned by three coordinate axes (z, y, x in nm): (Z, Y, X) float32."""
        return self._evaluate(axes_nm, (_weights, _weights, _weights))

    def slope(self, axes_nm: Axes, axis: int) -> Field:
        """The derivative of the field along one axis, per nm: (Z, Y, X) float32."""
        weights = [_weights, _weights, _weights]
        weights[axis] = _slopes
        return self._evaluate(axes_nm, weights) / self._node_nm

    def _evaluate(self, axes_nm: Axes, weights: Sequence[Callable[[Field], Taps]]) -> Field:
        field = self._nodes
        for axis, (positions_nm, weigh) in enumerate(zip(axes_nm, weights, strict=True)):
            field = _interpolate(field, axis, (positions_nm - self._start_nm[axis]) / self._node_nm, weigh)
        return field


def _interpolate(nodes: Field, axis: int, positions: Field, weigh: Callable[[Field], Taps]) -> Field:
    """Evaluate the spline along one axis at `positions`, counted in node distances."""
    first = np.clip(np.floor(positions).astype(np.intp), 0, nodes.shape[axis] - _SUPPORT)
    along = [1, 1, 1]
    along[axis] = len(positions)
    # Four products and no BLAS call: the order of the sum, hence every bit, is the same on each run.
    result = np.zeros((), dtype=np.float32)
    for tap, weight in enumerate(weigh((positions - first).astype(np.float32))):
        result = result + np.take(nodes, first + tap, axis=axis) * weight.reshape(along)
    return result


def _weights(offset: Field) -> Taps:
    """Weights of the four nodes around a position `offset` (0..1) behind the second of them."""
    rest = 1 - offset
    square, cube = offset * offset, offset * offset * offset
    return (
        rest * rest * rest * _SIXTH,
        (3 * cube - 6 * square + 4) * _SIXTH,
        (-3 * cube + 3 * square + 3 * offset + 1) * _SIXTH,
        cube * _SIXTH,
    )


def _slopes(offset: Field) -> Taps:
    """Derivatives of the four weights."""
    rest = 1 - offset
    square = offset * offset
    return (
        -rest * rest * _HALF,
        (3 * square - 4 * offset) * _HALF,
        (-3 * square + 2 * offset + 1) * _HALF,
        square * _HALF,
    )
