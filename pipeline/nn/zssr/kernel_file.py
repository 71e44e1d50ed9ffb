"""Kernels from the text of a configuration, NumPy ``.npy`` files and MATLAB ``.mat`` files (versions 4 to 7.3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast, get_args

import h5py
import numpy as np
from scipy.io import loadmat

from pipeline.errors import DataError, InputError
from pipeline.nn.zssr.kernel import Averaging, Blur, Kernel, weights_of

_GAUSSIAN = "gaussian:"


def blur_from_text(text: str, base: Path) -> Blur:
    """What a configuration calls area, bicubic, gaussian:SIGMA or a file; a relative path starts at ``base``.

    Raises DataError for a file that holds no kernel.
    """
    if text in get_args(Averaging):
        return cast("Averaging", text)
    if text.startswith(_GAUSSIAN):
        return weights_of(Kernel.gaussian(float(text.removeprefix(_GAUSSIAN))))
    return weights_of(read_kernel(str(base / Path(text).expanduser())))


def read_kernel(location: str) -> Kernel:
    """The kernel at ``file.npy``, ``file.mat`` or, where the file holds several matrices (y, x), ``file.mat:/name``.

    Raises DataError naming the location: no such file, another format, damaged, not one matrix, not a kernel.
    """
    path, name = _parsed(location)
    if not path.is_file():
        raise DataError(f"{location}: no such file; check the kernel's location")
    try:
        return Kernel(_read_npy(path) if path.suffix.lower() == ".npy" else _read_mat(path, name))
    except DataError:
        raise
    except InputError as error:
        raise DataError(f"{location}: {error}") from error
    except Exception as error:  # the readers raise whatever they like on damaged files
        raise DataError(f"{location}: cannot be read ({error}); write the kernel again") from error


def _parsed(location: str) -> tuple[Path, str | None]:
    """The file, and the matrix in it after ``:/``, if any."""
    file, separator, name = location.partition(":/")
    path = Path(file).expanduser()
    suffix = path.suffix.lower()
    if suffix not in (".npy", ".mat") or (separator and suffix == ".npy"):
        raise DataError(f"{location}: not a kernel's file; give file.npy, file.mat or file.mat:/name")
    return path, name or None


def _read_npy(path: Path) -> Any:
    return np.load(path, allow_pickle=False)


def _read_mat(path: Path, name: str | None) -> Any:
    try:
        arrays = {key: value for key, value in loadmat(path).items() if not key.startswith("__")}
    except NotImplementedError:  # the reader's word for 7.3, which is HDF5
        arrays = _read_hdf5(path)
    matrices = [key for key, value in arrays.items() if value.dtype.kind in "buif" and value.ndim == 2]
    # MATLAB has no plain numbers: a scale factor kept beside the kernel is a matrix too, of 1 x 1.
    larger = [key for key in matrices if arrays[key].size > 1] or matrices
    if name is not None and name in matrices:
        return arrays[name]
    if name is None and len(larger) == 1:
        return arrays[larger[0]]
    held = ", ".join(f"{key} {'x'.join(map(str, arrays[key].shape))}" for key in matrices) or "none"
    problem = "name one matrix" if name is None else f"no matrix {name}"
    raise DataError(f"{path}: {problem}, as in {path}:/kernel; matrices in the file: {held}")


def _read_hdf5(path: Path) -> dict[str, Any]:
    """MATLAB stores columns first, so that axes come out reversed."""
    with h5py.File(path, "r") as file:
        return {key: node[()].T for key, node in file.items() if isinstance(node, h5py.Dataset)}
