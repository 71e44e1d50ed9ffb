"""What a downscaling kernel promises.

- Whatever numbers it is made of, its weights add up to 1 and keep their proportions; what is no kernel is refused.
- A Gaussian has the moments that its name says, judged by the weights themselves.
- A kernel comes out of .npy and .mat (old and 7.3) files as it went in, the right way round; every file that holds no
  kernel, or several, is refused by name.
Left out on purpose: what a kernel does to an image (the tests of resampling).
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.io import savemat

from pipeline.errors import DataError, InputError
from pipeline.nn.zssr.kernel import Kernel
from pipeline.nn.zssr.kernel_file import read_kernel

SET5_KERNEL = Path(__file__).parents[2].parent / "shared/data/sr/set5_g20_kernel.mat"
LOPSIDED = np.array([[1.0, 2.0, 3.0], [0.0, 5.0, -1.0]])

matrices = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=7),
    elements=st.floats(0, 1e6, allow_subnormal=False),
).filter(lambda array: array.sum() > 1e-3)


@given(matrices)
def test_weights_add_up_to_one_in_the_given_proportions(array):
    weights = Kernel(array).weights
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(weights * array.sum(), array, rtol=1e-9, atol=1e-9)


@given(matrices)
def test_the_callers_array_is_neither_changed_nor_kept(array):
    before = array.copy()
    kernel = Kernel(array[::-1, ::-1])
    kept = kernel.weights.copy()
    np.testing.assert_array_equal(array, before)
    array += 1
    np.testing.assert_array_equal(kernel.weights, kept)


@pytest.mark.parametrize(
    "array",
    [
        np.ones(3),
        np.ones((1, 3, 3)),
        np.ones((0, 3)),
        np.zeros((3, 3)),
        -np.ones((3, 3)),
        np.array([[1.0, -1.0]]),
        np.array([[0.1, 0.2, -0.3]]),
        np.array([[1.0, np.nan]]),
        np.array([[1.0, np.inf]]),
        np.array([[1 + 1j]]),
        np.array([["1"]]),
    ],
)
def test_what_is_no_kernel_is_refused(array):
    with pytest.raises(InputError):
        Kernel(array)


@given(st.floats(0.7, 6))
def test_a_gaussian_has_the_sigma_of_its_name(sigma):
    kernel = Kernel.gaussian(sigma)
    np.testing.assert_allclose(kernel.covariance_yx, np.eye(2) * sigma**2, rtol=0.01, atol=1e-9)
    assert all(side % 2 for side in kernel.weights.shape)


@given(st.floats(0.8, 3), st.floats(0.8, 3), st.floats(-0.7, 0.7))
def test_a_gaussian_has_the_covariance_it_is_made_of(sigma_y, sigma_x, correlation):
    off_axis = correlation * sigma_y * sigma_x
    covariance_yx = np.array([[sigma_y**2, off_axis], [off_axis, sigma_x**2]])
    np.testing.assert_allclose(Kernel.of_covariance(covariance_yx).covariance_yx, covariance_yx, rtol=0.02, atol=0.01)


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf")])
def test_a_gaussian_needs_a_width(sigma):
    with pytest.raises(InputError):
        Kernel.gaussian(sigma)


def test_a_kernel_larger_than_the_slice_is_refused():
    kernel = Kernel(np.ones((5, 3)))
    kernel.check_fits((5, 3))
    for slice_yx in ((4, 100), (100, 2)):
        with pytest.raises(InputError, match=r"5 x 3.*{} x {}".format(*slice_yx)):
            kernel.check_fits(slice_yx)


def write_npy(path: Path) -> str:
    np.save(path / "k.npy", LOPSIDED)
    return str(path / "k.npy")


def write_mat(path: Path) -> str:
    savemat(path / "k.mat", {"kernel": LOPSIDED, "scale": 2.0, "note": "by hand"})
    return str(path / "k.mat")


def write_named_mat(path: Path) -> str:
    savemat(path / "two.mat", {"wide": np.ones((9, 9)), "kernel": LOPSIDED})
    return f"{path / 'two.mat'}:/kernel"


def write_hdf5_mat(path: Path) -> str:
    """As MATLAB 7.3 does: 512 bytes of its own before HDF5, matrices columns first."""
    with h5py.File(path / "new.mat", "w", userblock_size=512) as file:
        file["kernel"] = LOPSIDED.T
    with (path / "new.mat").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    return str(path / "new.mat")


@pytest.mark.parametrize("write", [write_npy, write_mat, write_named_mat, write_hdf5_mat])
def test_a_kernel_comes_out_of_a_file_as_it_went_in(write, tmp_path):
    np.testing.assert_allclose(read_kernel(write(tmp_path)).weights, LOPSIDED / LOPSIDED.sum())


@pytest.mark.parametrize("name", ["absent.npy", "absent.mat", "k.png", "k", ".", "k.npy:/kernel"])
def test_a_file_that_is_none_of_ours_is_refused(name, tmp_path):
    write_npy(tmp_path)
    with pytest.raises(DataError, match=name):
        read_kernel(str(tmp_path / name))


@pytest.mark.parametrize("suffix", ["npy", "mat"])
@pytest.mark.parametrize("content", [b"", b"not a kernel at all", b"\x93NUMPY\x01\x00", b"\x00" * 200])
def test_a_damaged_file_is_refused(suffix, content, tmp_path):
    path = tmp_path / f"k.{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=path.name):
        read_kernel(str(path))


def test_a_file_of_python_objects_is_refused(tmp_path):
    np.save(tmp_path / "k.npy", np.array([[object()]], dtype=object))
    with pytest.raises(DataError, match=r"k\.npy"):
        read_kernel(str(tmp_path / "k.npy"))


def test_a_file_that_holds_no_kernel_is_refused_with_its_name(tmp_path):
    np.save(tmp_path / "k.npy", np.zeros((3, 3)))
    with pytest.raises(DataError, match=r"k\.npy.*add up to 0"):
        read_kernel(str(tmp_path / "k.npy"))


def test_of_several_matrices_one_must_be_named(tmp_path):
    savemat(tmp_path / "k.mat", {"first": np.ones((3, 3)), "second": np.ones((5, 4)), "cells": np.array([[{}]])})
    for location in (str(tmp_path / "k.mat"), f"{tmp_path / 'k.mat'}:/third", f"{tmp_path / 'k.mat'}:/cells"):
        with pytest.raises(DataError, match="first 3x3, second 5x4"):
            read_kernel(location)


@pytest.mark.skipif(not SET5_KERNEL.is_file(), reason="needs the Set5 benchmark's kernel")
def test_the_kernel_of_the_set5_benchmark():
    kernel = read_kernel(str(SET5_KERNEL))
    assert kernel.weights.shape == (21, 21)
    np.testing.assert_allclose(kernel.covariance_yx, 2 * np.eye(2), atol=1e-6)
