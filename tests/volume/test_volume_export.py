"""Exported files hold the voxels and the voxel size, and other programs' readers agree on both."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import mrcfile
import nrrd
import numpy as np
import pytest
import tensorstore
import tifffile
from numpy.typing import NDArray
from PIL import Image
from volume_formats import VOXEL_SIZE_NM

from pipeline.errors import InputError
from pipeline.volume.export.excerpt import Excerpt
from pipeline.volume.export.files import FORMATS, export_image, export_labels, write_file
from pipeline.volume.export.folders import FOLDERS, write_folder
from pipeline.volume.geometry import Block, Geometry, tile
from pipeline.volume.ngff import omero_grey
from pipeline.volume.omezarr import Volume, create_image, create_labels
from pipeline.volume.pyramid import build_pyramid
from pipeline.volume.sources import open_source
from pipeline.volume.stores import Store

GRID = {"chunk_zyx": (2, 16, 16), "shard_zyx": (4, 32, 16)}

EXPORT_WITH_LITTLE_ROOM = """
import resource, sys
from pathlib import Path
from pipeline.errors import StorageError
from pipeline.volume.export.files import export_image
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


CLASSES = [(1, "axon", "#e69f00"), (2, "soma", "#0072b2"), (3, "glia", "#009e73")]
BOX = Block((1, 3, 5), (6, 20, 30))
Read = tuple[NDArray[Any], tuple[float, ...]]


def labels_of(folder: Path, data: NDArray[Any], name: str = "truth") -> Volume:
    geometry = Geometry(data.shape, VOXEL_SIZE_NM)  # type: ignore[arg-type]
    store = Store.open(folder / "image", create=True)
    volume = create_labels(store, name, geometry=geometry, dtype=data.dtype, classes=CLASSES, **GRID)
    return build_pyramid(filled(volume, data))


def _tiff(path: Path) -> Read:
    with tifffile.TiffFile(path) as file:
        if file.is_imagej:
            dots = [file.pages[0].tags[f"{axis}Resolution"].value for axis in "YX"]
            assert file.imagej_metadata is not None
            return file.asarray(), (file.imagej_metadata["spacing"], *(below / above for above, below in dots))
        assert file.is_bigtiff
        assert file.ome_metadata is not None
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
        return file.asarray(), tuple(pixels[f"PhysicalSize{axis}"] for axis in "ZYX")


def _mrc(path: Path) -> Read:
    assert mrcfile.validate(path)
    with mrcfile.open(path) as file:
        assert file.is_volume()
        return file.data.copy(), tuple(float(file.voxel_size[axis]) / 10 for axis in "zyx")


def _nrrd(path: Path) -> Read:
    data, header = nrrd.read(str(path), index_order="C")
    np.testing.assert_allclose(header["space origin"], np.multiply(BOX.start_zyx[::-1], VOXEL_SIZE_NM[::-1]), atol=1e-6)
    assert header["space units"] == ["nm"] * 3
    return data, tuple(np.diag(header["space directions"])[::-1])


def _hdf5(path: Path) -> Read:
    with h5py.File(path) as file:
        dataset = file["exported_data"]
        axes = json.loads(dataset.attrs["axistags"])["axes"]
        assert [axis["key"] for axis in axes] == ["z", "y", "x"]
        np.testing.assert_allclose(dataset.attrs["element_size_um"], np.array(VOXEL_SIZE_NM) / 1e3)
        return dataset[:], tuple(axis["resolution"] for axis in axes)


def _png(path: Path) -> Read:
    pictures = [Image.open(file) for file in sorted(path.glob("*.png"))]
    x_nm, y_nm = (25.4e6 / dots for dots in pictures[0].info["dpi"])
    return np.stack([np.array(picture) for picture in pictures]), (VOXEL_SIZE_NM[0], y_nm, x_nm)


def _precomputed(path: Path) -> Read:
    spec = {"driver": "neuroglancer_precomputed", "kvstore": f"file://{path}/"}
    opened = tensorstore.open(spec).result()
    assert opened.domain.origin == (5, 3, 1, 0)
    data = np.asarray(opened.read().result())[..., 0].T
    return data, tuple(unit.multiplier for unit in opened.dimension_units[2::-1])


LIBRARIES: dict[str, Callable[[Path], Read]] = {
    "tif": _tiff,
    "tiff": _tiff,
    "bigtiff": _tiff,
    "npy": lambda path: (np.load(path), VOXEL_SIZE_NM),
    "mrc": _mrc,
    "nrrd": _nrrd,
    "h5": _hdf5,
    "hdf5": _hdf5,
    "png": _png,
    "precomputed": _precomputed,
}
OURS = {"tif", "tiff", "bigtiff", "mrc", "h5", "hdf5", "npy", "png"}
"""Formats that vemseg reads; PNG and NumPy do not state all of the voxel size."""


def test_every_format_is_read_back_here() -> None:
    assert LIBRARIES.keys() == FORMATS.keys() | FOLDERS.keys()


@pytest.mark.parametrize("form", LIBRARIES)
@pytest.mark.parametrize("kind", ["grey", "labels"])
def test_a_box_comes_back_from_the_library_of_each_format(
    tmp_path: Path, raw: np.ndarray, kind: str, form: str
) -> None:
    """Voxels and voxel size, by who the format belongs to and by our own reader."""
    data = raw if kind == "grey" else (raw % 4).astype(np.uint8)
    volume = image(tmp_path, raw) if kind == "grey" else labels_of(tmp_path, data)
    excerpt, path = Excerpt.of(volume, box=BOX), tmp_path / "out" / f"it.{form if form != 'bigtiff' else 'tif'}"
    (write_folder if form in FOLDERS else write_file)(excerpt, path, form)
    expected = data[BOX.slices]
    read, size_nm = LIBRARIES[form](path)
    np.testing.assert_array_equal(read, expected)
    np.testing.assert_allclose(size_nm, VOXEL_SIZE_NM, rtol=1e-5)
    if form in OURS:
        with open_source(str(path), tmp_path) as source:
            np.testing.assert_array_equal(source.read(0, len(expected)), expected)
            if form not in ("npy", "png"):
                assert source.voxel_size_nm == pytest.approx(VOXEL_SIZE_NM, rel=1e-5)


def test_imagej_shows_classes_in_their_colours_and_greys_in_their_range(tmp_path: Path, raw: np.ndarray) -> None:
    labels = labels_of(tmp_path, (raw % 4).astype(np.uint8))
    with tifffile.TiffFile(write_file(Excerpt.of(labels), tmp_path / "x.tif")) as file:
        assert file.imagej_metadata is not None
        assert (file.imagej_metadata["min"], file.imagej_metadata["max"]) == (0.0, 255.0)
        table = np.asarray(file.pages[0].tags["ColorMap"].value).reshape(3, 256) // 257
    assert ["#{:02x}{:02x}{:02x}".format(*table[:, value]) for value, _, _ in CLASSES] == [c for _, _, c in CLASSES]
    assert not table[:, 0].any()
    grey = image(tmp_path / "grey", raw)
    ome = grey.ome | {"omero": omero_grey("i", (0, 255), (30, 210))}
    with tifffile.TiffFile(write_file(Excerpt.of(Volume(grey.store, ome)), tmp_path / "g.tif")) as file:
        assert file.imagej_metadata is not None
        assert (file.imagej_metadata["min"], file.imagej_metadata["max"]) == (30.0, 210.0)


def test_masks_are_0_and_255_of_bits_too(tmp_path: Path, raw: np.ndarray) -> None:
    ids = (raw % 4).astype(np.uint8)
    mask = Excerpt.of(labels_of(tmp_path, ids), mask_of=2)
    np.testing.assert_array_equal(tifffile.imread(write_file(mask, tmp_path / "m.tif")), np.where(ids == 2, 255, 0))
    bits = np.choose(ids, [1, 3, 5, 7]).astype(np.uint32)  # no class, the first, the second, both
    mask = Excerpt.of(labels_of(tmp_path / "bits", bits), mask_of=5)
    np.testing.assert_array_equal(tifffile.imread(write_file(mask, tmp_path / "b.tif")), np.where(ids >= 2, 255, 0))


def test_a_coarser_level_has_its_own_voxel_size(tmp_path: Path, raw: np.ndarray) -> None:
    volume = labels_of(tmp_path, (raw % 4).astype(np.uint8))
    coarse = volume.levels[1]
    read, size_nm = _tiff(write_file(Excerpt.of(volume, level=1), tmp_path / "x.tif"))
    np.testing.assert_array_equal(read, coarse.read(coarse.geometry.block))
    np.testing.assert_allclose(size_nm, coarse.geometry.voxel_size_nm)
    with pytest.raises(InputError, match="no level 9"):
        Excerpt.of(volume, level=9)
    with pytest.raises(InputError, match="leaves the volume"):
        Excerpt.of(volume, box=Block((0, 0, 0), (1, 1, 1000)))


def test_nothing_is_written_over_in_a_folder(tmp_path: Path, raw: np.ndarray) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not an empty folder"):
        write_folder(Excerpt.of(image(tmp_path, raw)), tmp_path / "out", "png")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
