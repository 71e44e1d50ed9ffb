"""Kernels between the text of a configuration, the plan, and the networks' layer."""

from __future__ import annotations

from pathlib import Path
from typing import cast, get_args

import numpy as np

from pipeline.nn.zssr.kernel import Averaging, Kernel

Matrix = tuple[tuple[float, ...], ...]
Blur = Averaging | Matrix
"""As the plan keeps it: a name, or the weights of the fine pixels (y, x)."""
_GAUSSIAN = "gaussian:"


def planned_blur(text: str, base: Path) -> Blur:
    """What a configuration calls area, bicubic, gaussian:SIGMA or a file; a relative path starts at ``base``.

    Raises DataError for a file that holds no kernel.
    """
    from pipeline.nn.zssr.kernel_file import read_kernel

    if text in get_args(Averaging):
        return cast("Averaging", text)
    if text.startswith(_GAUSSIAN):
        return weights_of(Kernel.gaussian(float(text.removeprefix(_GAUSSIAN))))
    return weights_of(read_kernel(str(base / Path(text).expanduser())))


def weights_of(kernel: Kernel) -> Matrix:
    """A kernel as plain data."""
    return tuple(tuple(row) for row in kernel.weights.tolist())


def as_kernel(blur: Blur) -> Averaging | Kernel:
    """What the networks' layer takes."""
    return blur if isinstance(blur, str) else Kernel(np.array(blur))
