"""Resampling in the plane between a fine grid and a coarse one, each output pixel a weighted sum of input pixels.

Coarse pixel i lies over fine position ``phase + factor * i`` (both axes). With the phase (factor - 1) / 2 the two grids
cover the same area, as pixels of a coarser microscope do; with 0 every factor-th fine pixel is kept. Beyond the edges
of an image its mirror image goes on (half-sample symmetric), as MATLAB's ``imresize`` has it.

Every operator works on any window of an image and is local: outputs whose inputs lie within the window are those of the
whole image. Images are (N, Y, X), float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline.nn.zssr.grids import Scaling, Span, Window
from pipeline.nn.zssr.kernel import Averaging, Kernel

Interpolation = Literal["bilinear", "bicubic"]
_REACH = {"bilinear": 1.0, "bicubic": 2.0}


@dataclass(frozen=True)
class Upsampling:
    """Coarse to fine by interpolation; an upscaler (see `pipeline.nn.zssr.upscalers`)."""

    scaling: Scaling
    method: Interpolation = "bicubic"

    @property
    def reach(self) -> float:
        """Coarse pixels from which a fine one takes its value, to each side."""
        return _REACH[self.method]

    def coarse_window(self, fine: Window, coarse_yx: tuple[int, int]) -> Window:
        """The part of a coarse image of this shape that a window of the fine one depends on."""
        rows, columns = (
            self.scaling.coarse_under(span, length, self.reach) for span, length in zip(fine, coarse_yx, strict=True)
        )
        return rows, columns

    def __call__(self, coarse_NYX: Tensor, coarse: Window, fine: Window) -> Tensor:
        """The ``fine`` window of the upsampled image, from the ``coarse`` window of it."""
        rows, columns = (
            _weights(self.method, 1.0, tuple(self.scaling.coarse_positions(out)), given)
            for out, given in zip(fine, coarse, strict=True)
        )
        return _separable(coarse_NYX, rows, columns)


@dataclass(frozen=True)
class Downsampling:
    """Fine to coarse: blurred by a kernel, then sampled.

    ``area`` averages what a coarse pixel covers, ``bicubic`` is the antialiased cubic of MATLAB's ``imresize``, a
    `Kernel` is taken as it is.
    """

    scaling: Scaling
    kernel: Averaging | Kernel = "bicubic"

    @property
    def reach(self) -> float:
        """Fine pixels from which a coarse one takes its value, to each side."""
        if isinstance(self.kernel, Kernel):
            return float(max(self.kernel.weights.shape)) / 2 + _REACH["bicubic"]
        return self.scaling.factor * (0.5 if self.kernel == "area" else _REACH["bicubic"]) + 1

    def __call__(self, fine_NYX: Tensor, fine: Window, coarse: Window) -> Tensor:
        """The ``coarse`` window of the downsampled image, from the ``fine`` window of it."""
        if isinstance(self.kernel, Kernel):
            return self._sampled(self._blurred(fine_NYX, self.kernel), fine, coarse, self.kernel)
        rows, columns = (
            _weights(self.kernel, self.scaling.factor, tuple(self.scaling.fine_positions(out)), given)
            for out, given in zip(coarse, fine, strict=True)
        )
        return _separable(fine_NYX, rows, columns)

    def _blurred(self, fine_NYX: Tensor, kernel: Kernel) -> Tensor:
        """Correlated with the kernel; pixel j of the result lies at fine position j - 0.5 where the kernel is even."""
        height, width = kernel.weights.shape
        continued = mirrored(fine_NYX, (height // 2, width // 2))
        weights_OIYX = torch.from_numpy(kernel.weights).to(fine_NYX)[None, None]
        return functional.conv2d(continued[:, None], weights_OIYX)[:, 0]

    def _sampled(self, blurred_NYX: Tensor, fine: Window, coarse: Window, kernel: Kernel) -> Tensor:
        """Sampled at the coarse pixels; between two pixels of the blurred image by cubic interpolation."""
        matrices = []
        for out, given, size in zip(coarse, fine, kernel.weights.shape, strict=True):
            even = size % 2 == 0
            positions = self.scaling.fine_positions(out) + (0.5 if even else 0.0)
            span = Span(given.start, given.stop + even, given.length + even)
            matrices.append(_weights("bicubic", 1.0, tuple(positions), span))
        return _separable(blurred_NYX, *matrices)


def mirrored(images_NYX: Tensor, by_yx: tuple[int, int]) -> Tensor:
    """Continued by its own mirror image, edge pixels repeated; by no more than it is long."""
    rows, columns = (_reflected(np.arange(-by, n + by), n) for by, n in zip(by_yx, images_NYX.shape[1:], strict=True))
    return images_NYX[:, torch.from_numpy(rows)][:, :, torch.from_numpy(columns)]


def _reflected(indices: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    folded = np.mod(indices, 2 * length)
    inside: NDArray[np.int64] = np.where(folded < length, folded, 2 * length - 1 - folded)
    return inside


def _separable(images_NYX: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return rows.to(images_NYX) @ images_NYX @ columns.to(images_NYX).T


@lru_cache(maxsize=64)
def _weights(shape: Interpolation | Averaging, width: float, positions: tuple[float, ...], given: Span) -> Tensor:
    """A row an output: the weights of the ``given`` input pixels for an output at ``positions`` (in input pixels).

    ``width`` stretches the shape, so that it averages what a coarser output covers. What lies outside of ``given`` is
    left out: those outputs are wrong, and their readers know it.
    """
    function, reach = _SHAPES[shape]
    centres = np.asarray(positions)
    offsets = np.arange(-math.ceil(reach * width) - 1, math.ceil(reach * width) + 2)
    inputs = np.floor(centres).astype(np.int64)[:, None] + offsets
    values = function(inputs - centres[:, None], width)
    values /= values.sum(axis=1, keepdims=True)
    matrix = np.zeros((len(centres), len(given)))
    columns = _reflected(inputs, given.length) - given.start
    inside = (columns >= 0) & (columns < len(given))
    np.add.at(matrix, (np.nonzero(inside)[0], columns[inside]), values[inside])
    return torch.from_numpy(matrix.astype(np.float32))


def _linear(distance: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    return np.clip(1 - np.abs(distance) / width, 0, None)


def _cubic(distance: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Keys: Cubic convolution interpolation for digital image processing, IEEE Trans. ASSP 29, 1981; a = -1/2."""
    x = np.abs(distance) / width
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    cubic: NDArray[np.float64] = np.where(x <= 1, near, np.where(x < 2, far, 0.0))
    return cubic


def _covered(distance: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """How much of an input pixel an output of this width covers."""
    overlap: NDArray[np.float64] = np.clip(
        np.minimum(distance + 0.5, width / 2) - np.maximum(distance - 0.5, -width / 2), 0, None
    )
    return overlap


_SHAPES: dict[str, tuple[Callable[[NDArray[np.float64], float], NDArray[np.float64]], float]] = {
    "bilinear": (_linear, 1.0),
    "bicubic": (_cubic, 2.0),
    "area": (_covered, 0.5),
}
