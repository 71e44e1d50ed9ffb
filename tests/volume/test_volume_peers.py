"""What other libraries of the field write is read voxel by voxel as they wrote it: ITK and ome-zarr-py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
import zarr
from ome_zarr.format import Format, FormatV04, FormatV05
from ome_zarr.writer import write_image, write_labels

from pipeline.volume.sources import TRUSTED, open_source

SHAPE_ZYX = (5, 12, 17)
INTEGERS = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8")
ITK_WRITES = [
    *((suffix, dtype) for suffix in ("nrrd", "nhdr", "nii", "nii.gz", "h5") for dtype in (*INTEGERS, "f4", "f8")),
    *(("tif", dtype) for dtype in ("u1", "i1", "u2", "i2", "u4", "i4", "f4")),
    *(("mrc", dtype) for dtype in ("u1", "u2", "i2", "f4")),
]


def voxels(dtype: str, shape: tuple[int, ...] = SHAPE_ZYX) -> np.ndarray:
    """Noise over all of the type's range."""
    random = np.random.default_rng(1)
    if dtype[0] == "f":
        return random.normal(size=shape).astype(dtype)
    range_of = np.iinfo(dtype)
    return random.integers(range_of.min, range_of.max, shape, dtype, endpoint=True)


def read(path: Path, **options: Any) -> tuple[np.ndarray, tuple[float, ...] | None]:
    with open_source(str(path), path.parent, TRUSTED, **options) as source:
        return source.read(0, source.shape_zyx[0]), source.voxel_size_nm


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize(("suffix", "dtype"), ITK_WRITES)
def test_what_itk_writes(suffix: str, dtype: str, compressed: bool, tmp_path: Path) -> None:
    data = voxels(dtype)
    image = SimpleITK.GetImageFromArray(data)
    image.SetSpacing((4e-6, 5e-6, 30e-6))  # x, y, z in mm, as ITK means them
    SimpleITK.WriteImage(image, tmp_path / f"stack.{suffix}", useCompression=compressed)
    found, voxel_size_nm = read(tmp_path / f"stack.{suffix}")
    np.testing.assert_array_equal(found, data)
    assert found.dtype == data.dtype
    if suffix.startswith("nii"):  # the others have no unit
        assert voxel_size_nm == pytest.approx((30, 5, 4))
    else:
        assert voxel_size_nm is None


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4", "u8"])
@pytest.mark.parametrize("version", [FormatV04(), FormatV05()], ids=["0.4", "0.5"])
def test_what_ome_zarr_py_writes(version: Format, dtype: str, tmp_path: Path) -> None:
    data = voxels(dtype, (1, *SHAPE_ZYX))
    ids = voxels("u4")
    group = zarr.open_group(str(tmp_path / "image.zarr"), mode="w", zarr_format=version.zarr_format)
    units = dict.fromkeys("zyx", "nanometer")
    scale = {"z": 30.0, "y": 5.0, "x": 4.0}
    write_image(data, group, scale_factors=[2], fmt=version, axes="czyx", axes_units=units, scale={"c": 1.0, **scale})
    write_labels(
        ids, group, "cells", scaler=None, scale_factors=[2], fmt=version, axes="zyx", axes_units=units, scale=scale
    )

    found, voxel_size_nm = read(tmp_path / "image.zarr")
    np.testing.assert_array_equal(found, data[0])
    assert voxel_size_nm == (30, 5, 4)
    found, voxel_size_nm = read(tmp_path / "image.zarr/labels/cells", labels=True)
    np.testing.assert_array_equal(found, ids)
    assert voxel_size_nm == (30, 5, 4)
