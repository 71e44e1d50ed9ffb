"""Exported files hold the voxels and the voxel size, and other programs' readers agree on both."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from volume_formats import VOXEL_SIZE_NM

from pipeline.errors import InputError
from pipeline.volume.export import export_image, export_labels
from pipeline.volume.geometry import Geometry, tile
from pipeline.volume.multiscale import Volume
from pipeline.volume.omezarr import create_image, create_labels
from pipeline.volume.sources import open_source
from pipeline.volume.stores import Store

GRID = {"chunk_zyx": (2, 16, 16), "shard_zyx": (4, 32, 16)}

EXPORT_WITH_LITTLE_ROOM = """
import resource, sys
from pathlib import Path
from pipeline.errors import StorageError
from pipeline.volume.export import export_image
from pipeline.volume.omezarr import open_image
from pipeline.volume.stores import Store

volume = open_image(Store.open(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
try:
    export_image(volume, Path(sys.argv[2]))
except StorageError:
    print("refused")
"""


def filled(volume: Volume, data: np.ndarray) -> Volume:
    for block in tile(volume.geometry.block, volume.shard_zyx):
        volume.write(block, data[(..., *block.slices)])
    return volume


def image(folder: Path, data: np.ndarray, channels: tuple[str, ...] | None = None) -> Volume:
    geometry = Geometry(data.shape[-3:], VOXEL_SIZE_NM)  # type: ignore[arg-type]
    store = Store.open(folder / "image", create=True)
    return filled(create_image(store, geometry=geometry, dtype=data.dtype, name="i", channels=channels, **GRID), data)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
@pytest.mark.parametrize("name", ["x.tif", "x.npy"])
def test_voxels_and_voxel_size_come_back(tmp_path: Path, raw: np.ndarray, dtype: str, name: str) -> None:
    data = raw.astype(dtype)
    path = export_image(image(tmp_path, data), tmp_path / "new" / name)
    with open_source(str(path), tmp_path) as source:
        assert source.dtype == dtype
        np.testing.assert_array_equal(source.read(0, 7), data)
        if name == "x.tif":
            assert source.voxel_size_nm == pytest.approx(VOXEL_SIZE_NM, rel=1e-6)
    assert [file.name for file in path.parent.iterdir()] == [name]


def test_imagej_finds_a_stack_with_its_spacing(tmp_path: Path, raw: np.ndarray) -> None:
    with tifffile.TiffFile(export_image(image(tmp_path, raw), tmp_path / "x.tif")) as file:
        assert file.is_imagej
        assert file.series[0].axes == "ZYX"
        assert file.imagej_metadata is not None
        assert (file.imagej_metadata["spacing"], file.imagej_metadata["unit"]) == (30.0, "nm")


@pytest.mark.parametrize("name", ["x.tif", "x.npy"])
def test_channels_come_first(tmp_path: Path, raw: np.ndarray, name: str) -> None:
    data = np.stack([raw, raw[::-1]]).astype(np.float32)
    path = export_image(image(tmp_path, data, ("a", "b")), tmp_path / name)
    read = np.load(path) if name == "x.npy" else tifffile.imread(path)
    np.testing.assert_array_equal(read, data)


def test_labels_are_exported_as_ids(tmp_path: Path, raw: np.ndarray) -> None:
    store = Store.open(tmp_path / "image", create=True)
    geometry = Geometry(raw.shape, VOXEL_SIZE_NM)  # type: ignore[arg-type]
    labels = filled(create_labels(store, "truth", geometry=geometry, dtype="uint8", classes=[], **GRID), raw % 4)
    np.testing.assert_array_equal(tifffile.imread(export_labels(labels, tmp_path / "t", "tiff")), raw % 4)
    with pytest.raises(InputError):
        export_labels(image(tmp_path / "other", raw), tmp_path / "t.tif")


def test_an_unknown_format_is_refused(tmp_path: Path, raw: np.ndarray) -> None:
    volume = image(tmp_path, raw)
    for path, format_name in ((tmp_path / "x.jpg", None), (tmp_path / "x.tif", "jpg"), (tmp_path / "x", None)):
        with pytest.raises(InputError):
            export_image(volume, path, format_name)


@pytest.mark.parametrize("name", ["x.tif", "x.npy"])
def test_a_full_disk_leaves_the_earlier_file(tmp_path: Path, raw: np.ndarray, name: str) -> None:
    image(tmp_path, raw)
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_bytes(b"earlier")
    arguments = [sys.executable, "-c", EXPORT_WITH_LITTLE_ROOM, tmp_path / "image", out / name]
    assert subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.strip() == "refused"
    assert {file.name: file.read_bytes() for file in out.iterdir()} == {name: b"earlier"}
