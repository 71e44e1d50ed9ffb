"""What laboratories' files really hold: each quirk with its right voxels, or the kind of its refusal.

The rules and their sources stand in docs/formats.md.
"""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
import zarr
from door import TABLE, bdv_with_xml
from door import A as SMALL
from PIL import Image

from pipeline.errors import ConfigError, DataError
from pipeline.run.inputs import Inputs
from pipeline.run.intake import stated_geometry
from pipeline.volume.description import describe
from pipeline.volume.geometry import Block
from pipeline.volume.sources import STRANGER, TRUSTED, Policy, open_source

Z, Y, X = np.indices((12, 96, 160))
A = ((Z * 7 + Y + X // 2 + np.random.default_rng(0).integers(0, 40, Z.shape)) % 200 + 20).astype("u1")
"""Grey values from 20 to 219."""
L = ((Y // 12 + X // 12 + Z // 3) % 3 + 1).astype("u1")
"""Ids 1, 2 and 3."""


def voxels(location: str, folder: Path, policy: Policy = STRANGER, *, labels: bool = False) -> np.ndarray:
    with open_source(location, folder, policy, labels=labels) as source:
        return source.read(0, source.shape_zyx[0])


@pytest.mark.parametrize("name", TABLE)
def test_the_table(tmp_path: Path, name: str) -> None:
    """By the command line, the application's intake, and what segments, boosts and resamples."""
    given = TABLE[name]
    location = given.write(tmp_path)
    if given.voxels is None:
        for policy in (TRUSTED, STRANGER):
            with pytest.raises(DataError, match=given.refusal):
                voxels(location, tmp_path, policy, labels=given.labels)
        return
    assert given.voxels.size > 0
    for policy in (TRUSTED,) if given.references else (TRUSTED, STRANGER):
        with open_source(location, tmp_path, policy, labels=given.labels) as source:
            found = source.read(0, source.shape_zyx[0])
            assert found.dtype == source.dtype
            np.testing.assert_array_equal(found, given.voxels)
            block = Block((0, 5, 13), (source.shape_zyx[0] // 2 + 1, 9, 19))
            np.testing.assert_array_equal(source.read_block(block), given.voxels[block.slices])
            assert source.voxel_size_nm == (given.size_nm and pytest.approx(given.size_nm, rel=1e-4))
            assert given.note in source.voxel_size_note
    if given.references:
        with pytest.raises(DataError):
            open_source(location, tmp_path, STRANGER)
    elif not given.labels:
        seen = describe(location, tmp_path, STRANGER)
        assert (seen.shape_zyx, seen.voxel_size_nm) == (given.voxels.shape, source.voxel_size_nm)
        np.testing.assert_array_equal(seen.preview, given.voxels[len(given.voxels) // 2])
    assert stated_geometry(location, tmp_path, (9, 8, 7), TRUSTED).voxel_size_nm == (9, 8, 7)
    if given.size_nm is None:
        with pytest.raises(ConfigError, match=given.note or None):
            stated_geometry(location, tmp_path, None, TRUSTED)


@pytest.mark.parametrize("name", [name for name, given in TABLE.items() if given.references])
def test_a_file_that_another_one_names_belongs_to_the_input(tmp_path: Path, name: str) -> None:
    """Exactly the changes that show in the voxels, or may show, make it another input."""
    location = TABLE[name].write(tmp_path)
    known, seen = (
        Inputs(str(tmp_path / "run")).content(location, tmp_path, TRUSTED),
        voxels(location, tmp_path, TRUSTED),
    )
    for path in tmp_path.iterdir():
        whole = path.read_bytes()
        path.write_bytes(
            whole.replace(SMALL[1].tobytes(), SMALL[2].tobytes()).replace(SMALL[4].tobytes(), SMALL[5].tobytes())
        )
        again = Inputs(str(tmp_path / "run")).content(location, tmp_path, TRUSTED)
        assert (voxels(location, tmp_path, TRUSTED) == seen).all() == (again == known)
        path.write_bytes(whole)


@pytest.mark.parametrize(
    "odd",
    [
        {"compression": "lzw"},
        {"compression": None},
        {"compression": "zlib", "predictor": True},
        {"compression": "zlib", "rowsperstrip": 7},
        {"compression": "zlib", "tile": (32, 32)},
        {"compression": "zlib", "photometric": "miniswhite"},
    ],
    ids=str,
)
@pytest.mark.parametrize("most", [{"compression": "zlib"}, {"compression": None}], ids=str)
def test_a_tiff_page_is_read_by_its_own_tags(tmp_path: Path, most: dict[str, object], odd: dict[str, object]) -> None:
    with tifffile.TiffWriter(tmp_path / "stack.tif") as file:
        for z, page in enumerate(A):
            options = {"photometric": "minisblack", **(odd if z == 5 else most)}
            stored = 255 - page if options["photometric"] == "miniswhite" else page
            file.write(stored, contiguous=False, metadata=None, **options)
    np.testing.assert_array_equal(voxels("stack.tif", tmp_path), A)


def test_a_page_is_read_by_its_own_tags(tmp_path: Path) -> None:
    """Of an array whose last axis has length one tifffile stores the page (1, y), and claims (1, y, 1)."""
    tifffile.imwrite(tmp_path / "stack.tif", A[:1, :, :1], photometric="minisblack", compression="zlib")
    np.testing.assert_array_equal(voxels("stack.tif", tmp_path), A[:1, :, :1].transpose(0, 2, 1))


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"imagej": True}], ids=str)
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_white_may_be_zero(tmp_path: Path, dtype: str, options: dict[str, object]) -> None:
    stored = np.iinfo(dtype).max - A.astype(dtype)
    if "imagej" in options:
        tifffile.imwrite(
            tmp_path / "stack.tif", stored, imagej=True, photometric="miniswhite", metadata={"axes": "ZYX"}
        )
    else:
        tifffile.imwrite(tmp_path / "stack.tif", stored, photometric="miniswhite", **options)
    np.testing.assert_array_equal(voxels("stack.tif", tmp_path), A)


def test_masks_of_one_bit_are_as_they_were_drawn(tmp_path: Path) -> None:
    drawn = L == 2
    with tifffile.TiffWriter(tmp_path / "mask.tif") as file:
        for page in drawn:
            file.write(~page, photometric="miniswhite", contiguous=False, metadata=None)
    np.testing.assert_array_equal(voxels("mask.tif", tmp_path, labels=True), drawn)
    np.testing.assert_array_equal(voxels("mask.tif", tmp_path), drawn)


def test_a_mask_of_one_bit_that_is_a_numpy_array_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "mask.tif", L == 2)
    with pytest.raises(DataError, match=r"mask\.tif.*uint8"):
        voxels("mask.tif", tmp_path, labels=True)
    np.testing.assert_array_equal(voxels("mask.tif", tmp_path), L == 2)


def test_masks_of_eight_bits_with_an_inverting_table_are_the_numbers(tmp_path: Path) -> None:
    stored = np.where(L == 2, 255, 0).astype("u1")
    tifffile.imwrite(tmp_path / "mask.tif", stored, imagej=True, photometric="miniswhite", metadata={"axes": "ZYX"})
    np.testing.assert_array_equal(voxels("mask.tif", tmp_path, labels=True), stored)


def test_a_table_of_greys_is_applied_to_grey_values_alone(tmp_path: Path) -> None:
    table = np.random.default_rng(1).permutation(256).astype("u1")
    indices = np.argsort(table).astype("u1")[A]
    colormap = np.stack([table.astype("u2") * 257] * 3)
    tifffile.imwrite(tmp_path / "stack.tif", indices, photometric="palette", colormap=colormap, metadata=None)
    (tmp_path / "png").mkdir()
    for z, page in enumerate(indices):
        image = Image.fromarray(page).convert("L")
        image.putpalette(np.repeat(table, 3).tobytes())
        image.save(tmp_path / "png" / f"{z}.png")
    for location in ("stack.tif", "png"):
        np.testing.assert_array_equal(voxels(location, tmp_path), A)
        np.testing.assert_array_equal(voxels(location, tmp_path, labels=True), indices)


def test_a_channel_of_length_one_is_no_axis(tmp_path: Path) -> None:
    one = A[:1, ..., None]
    np.save(tmp_path / "a.npy", one)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["grey"] = one
    zarr.create_array(str(tmp_path / "a.zarr"), data=one)
    for location in ("a.npy", "a.h5", "a.zarr"):
        np.testing.assert_array_equal(voxels(location, tmp_path), A[:1])


@pytest.mark.parametrize("order", ["xyz", "zxy", "yxz", "zyx"])
def test_named_axes_are_read_as_they_are_named(tmp_path: Path, order: str) -> None:
    stored = A.transpose(["zyx".index(axis) for axis in order])
    with h5py.File(tmp_path / "tags.h5", "w") as file:
        file["grey"] = stored
        file["grey"].attrs["axistags"] = json.dumps({"axes": [{"key": axis, "typeFlags": 2} for axis in order]})
    with h5py.File(tmp_path / "labels.h5", "w") as file:
        file["grey"] = stored
        for dimension, axis in zip(file["grey"].dims, order, strict=True):
            dimension.label = axis
    zarr.create_array(str(tmp_path / "3.zarr"), data=stored, dimension_names=list(order), chunks=(12, 12, 12))
    array = zarr.create_array(str(tmp_path / "2.zarr"), data=stored, zarr_format=2)
    array.attrs["_ARRAY_DIMENSIONS"] = list(order)
    for location in ("tags.h5", "labels.h5", "3.zarr", "2.zarr"):
        np.testing.assert_array_equal(voxels(location, tmp_path), A)
        with open_source(location, tmp_path) as source:
            block = Block((1, 5, 30), (6, 45, 37))
            np.testing.assert_array_equal(source.read_block(block), A[block.slices])


def test_columns_rows_and_sections_of_an_mrc_are_the_axes_that_it_names(tmp_path: Path) -> None:
    for order in ("xyz", "zxy", "zyx"):
        with mrcfile.new(tmp_path / "a.mrc", overwrite=True) as file:
            file.set_data(A.transpose(["zyx".index(axis) for axis in order]).astype("i2"))
            file.header.maps, file.header.mapr, file.header.mapc = ("xyz".index(axis) + 1 for axis in order)
            file.header.mx, file.header.my, file.header.mz = 160, 96, 12
            file.header.cella = (8000, 4800, 1200)
        np.testing.assert_array_equal(voxels("a.mrc", tmp_path), A)
        with open_source("a.mrc", tmp_path) as source:
            assert source.voxel_size_nm == pytest.approx((10, 5, 5))


def test_bytes_of_an_mrc_whose_maximum_no_signed_byte_can_be_are_unsigned(tmp_path: Path) -> None:
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(A.view("i1"))
        file.header.dmin, file.header.dmax = 20, 219
    np.testing.assert_array_equal(voxels("a.mrc", tmp_path), A)


@pytest.mark.parametrize(
    "pattern",
    ["section_{n:03}_z={um:.1f}um", "{n}_SEM_20240131_2359{seconds:02}", "z={um:.2f}um_{n:02}", "run7_{n}"],
)
def test_the_number_that_counts_by_one_orders_the_slices(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "s").mkdir()
    for z, page in enumerate(A[:10]):
        name = pattern.format(n=z + 1, um=0.5 + z / 10, seconds=5 * z)
        Image.fromarray(page).save(tmp_path / "s" / f"{name}.png")
    np.testing.assert_array_equal(voxels("s", tmp_path), A[:10])


def test_a_virtual_dataset_without_one_of_its_sources_is_refused(tmp_path: Path) -> None:
    # HDF5 reads zeros there: RFC "HDF5 virtual dataset", and the documentation of H5Pset_virtual.
    layout = h5py.VirtualLayout((4, 96, 160), "u1")
    for z in range(3):
        with h5py.File(tmp_path / f"section{z}%.h5", "w") as file:
            file["grey"] = A[z]
        layout[z] = h5py.VirtualSource(f"section{z}%%.h5", "grey", (96, 160))
    layout[3] = h5py.VirtualSource(".", "last", (96, 160))
    with h5py.File(tmp_path / "inner.h5", "w") as file:
        file["last"] = A[3]
        file.create_virtual_dataset("grey", layout)
    outer = h5py.VirtualLayout((4, 96, 160), "u1")
    outer[:] = h5py.VirtualSource("inner.h5", "grey", (4, 96, 160))
    with h5py.File(tmp_path / "outer.h5", "w") as file:
        file.create_virtual_dataset("all", outer)
    np.testing.assert_array_equal(voxels("outer.h5", tmp_path, TRUSTED), A[:4])
    (tmp_path / "section1%.h5").rename(tmp_path / "away.h5")
    for location in ("outer.h5", "inner.h5:/grey"):
        with pytest.raises(DataError, match=r"its voxels lie in section1%\.h5, which is missing"):
            open_source(location, tmp_path, TRUSTED)
    with h5py.File(tmp_path / "section1%.h5", "w") as file:
        file["other"] = A[1]
    with pytest.raises(DataError, match=r"section1%\.h5:/grey, but that file has no such dataset"):
        open_source("outer.h5", tmp_path, TRUSTED)
    (tmp_path / "section1%.h5").write_bytes(b"cut off")
    with pytest.raises(DataError, match=r"section1%\.h5, which is missing or cannot be opened"):
        open_source("outer.h5", tmp_path, TRUSTED)


def test_external_storage_that_ends_before_its_voxels_is_refused(tmp_path: Path) -> None:
    # HDF5 reads zeros behind the end: findings/hdf5-external-raw-file-that-ends-early-reads-zeros.sh.
    (tmp_path / "first.raw").write_bytes(A[:2].tobytes())
    (tmp_path / "last.raw").write_bytes(b"head" + A[2:3].tobytes())
    names, page = [str(tmp_path / name) for name in ("first.raw", "last.raw")], A[0].nbytes
    with h5py.File(tmp_path / "v.h5", "w") as file:
        parts = [(names[0], 0, 2 * page), (names[1], 4, h5py.h5f.UNLIMITED)]
        file.create_dataset("grey", (3, 96, 160), "u1", external=parts)
        layout = h5py.VirtualLayout((3, 96, 160), "u1")
        layout[:] = h5py.VirtualSource(".", "grey", (3, 96, 160))
        file.create_virtual_dataset("all", layout)
    for dataset in ("grey", "all"):
        np.testing.assert_array_equal(voxels(f"v.h5:/{dataset}", tmp_path, TRUSTED), A[:3])
    for name in names:
        whole = Path(name).read_bytes()
        Path(name).write_bytes(whole[:-1])
        for dataset in ("grey", "all"):
            with pytest.raises(DataError, match=rf"{name}, which has {len(whole) - 1} bytes instead of {len(whole)}"):
                open_source(f"v.h5:/{dataset}", tmp_path, TRUSTED)
        Path(name).write_bytes(whole)


def test_cells_of_bigdataviewer_are_unsigned(tmp_path: Path) -> None:
    # Java has no unsigned short: BigDataViewer, and npy2bdv 1.1, declare uint16 as int16.
    grey = A.astype("u2") * 200
    with h5py.File(tmp_path / "bdv.h5", "w") as file:
        file["t00000/s00/0/cells"] = grey.view("i2")
        file["signed"] = grey.view("i2")
    assert grey.max() > 2**15
    np.testing.assert_array_equal(voxels("bdv.h5:/t00000/s00/0/cells", tmp_path), grey)
    np.testing.assert_array_equal(voxels("bdv.h5:/signed", tmp_path), grey.view("i2"))


def test_an_image_stack_states_no_distance_of_its_sections(tmp_path: Path) -> None:
    # mrcfile 1.5, set_image_stack: mz becomes 1, and 40 angstrom in z become 480.
    for name, groups in (("stack", (0, 1)), ("volume", (1,))):
        for group in groups:
            with mrcfile.new(tmp_path / f"{name}.mrc", overwrite=True) as file:
                file.set_data(A.astype("i2"))
                file.voxel_size = 40
                if name == "stack":
                    file.set_image_stack()
                    assert file.voxel_size.z == 480
                    file.header.ispg = group
            with open_source(f"{name}.mrc", tmp_path) as source:
                assert source.voxel_size_nm == ((4, 4, 4) if name == "volume" else None)
                assert ("image stack" in source.voxel_size_note) == (name == "stack")
    with pytest.raises(ConfigError, match=r"stack\.mrc does not state its voxel size.*that of an image stack"):
        stated_geometry("stack.mrc", tmp_path, None, TRUSTED)
    assert stated_geometry("stack.mrc", tmp_path, (30, 4, 4), TRUSTED).voxel_size_nm == (30, 4, 4)
    found = describe("stack.mrc", tmp_path, STRANGER)
    assert found.voxel_size_nm is None
    assert sum("image stack" in remark.text for remark in found.remarks) == 1


@pytest.mark.parametrize("sections", [3, 4, 7])
@pytest.mark.parametrize("kind", [{}, {"imagej": True}, {"ome": True}], ids=str)
def test_sections_that_are_called_channels_or_colours_are_refused_with_the_cure(
    tmp_path: Path, kind: dict[str, bool], sections: int
) -> None:
    # tifffile's TiffWriter.write: without axes, the first of three is channels (ImageJ, OME), or samples.
    stack, cure = A[:sections], {"photometric": "minisblack", "metadata": {"axes": "ZYX"}}
    planes = {"photometric": "rgb", "planarconfig": "separate"} if sections < 7 and not kind else {}
    tifffile.imwrite(tmp_path / "a.tif", stack, **kind, **planes)
    if kind or planes:
        with pytest.raises(DataError) as refused:
            open_source("a.tif", tmp_path)
        for key, value in cure.items():
            assert f"{key}={value!r}" in str(refused.value)
    tifffile.imwrite(tmp_path / "a.tif", stack, **kind, **cure)
    np.testing.assert_array_equal(voxels("a.tif", tmp_path), stack)


def test_the_voxel_size_of_bigdataviewer_is_that_of_the_xml_beside_it(tmp_path: Path) -> None:
    location = bdv_with_xml(tmp_path)
    for inner, size_nm in (("0", (10, 5, 4)), ("1", (10, 10, 8))):
        with open_source(f"{location}:/t00000/s00/{inner}/cells", tmp_path, TRUSTED) as source:
            assert source.voxel_size_nm == pytest.approx(size_nm)
    with open_source(location, tmp_path, STRANGER) as source:
        assert source.voxel_size_nm is None


def test_channels_of_a_stack_are_no_sections(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", A.reshape(6, 2, 96, 160), imagej=True, metadata={"axes": "ZCYX"})
    with pytest.raises(DataError, match="has several channels; convert it to greyscale"):
        open_source("a.tif", tmp_path)
