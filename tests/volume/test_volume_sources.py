"""Every format gives back the voxels, types and voxel sizes that were written; damaged input is named.

Files are written by the packages that laboratories use. Messages must name the file; their wording is free.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
import zarr
from imaris_ims_file_reader.ims import ims
from PIL import Image
from volume_formats import VOXEL_SIZE_NM, WITH_VOXEL_SIZE, WRITERS, png_folder

from pipeline.errors import DataError, InputError
from pipeline.volume.geometry import Block
from pipeline.volume.sources import open_source
from pipeline.volume.streaming import pieces, shards

Writer = Callable[[Path, np.ndarray], str]

every_format = pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)


@every_format
def test_voxels_come_back(tmp_path: Path, raw: np.ndarray, writer: Writer) -> None:
    if writer is WRITERS["mrc"]:
        raw = raw.astype(np.int16)
    with open_source(writer(tmp_path, raw), tmp_path) as source:
        assert (source.shape_zyx, source.dtype) == (raw.shape, raw.dtype)
        np.testing.assert_array_equal(source.read(0, 7), raw)
        np.testing.assert_array_equal(source.read(2, 5), raw[2:5])
        block = Block((1, 5, 30), (6, 45, 37))
        np.testing.assert_array_equal(source.read_block(block), raw[block.slices])


@every_format
def test_streaming_by_shards_and_pieces_gives_every_voxel_once(tmp_path: Path, raw: np.ndarray, writer: Writer) -> None:
    if writer is WRITERS["mrc"]:
        raw = raw.astype(np.int16)
    with open_source(writer(tmp_path, raw), tmp_path) as source:
        for stream in (shards(source, (4, 32, 16)), pieces(source)):
            seen = np.zeros(raw.shape, int)
            for block, data in stream:
                seen[block.slices] += 1
                np.testing.assert_array_equal(data, raw[block.slices])
            assert (seen == 1).all()


@every_format
def test_the_voxel_size_is_known_where_the_file_states_it_with_a_unit(
    tmp_path: Path, raw: np.ndarray, writer: Writer, request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id
    with open_source(writer(tmp_path, raw.astype(np.uint16)), tmp_path) as source:
        expected = pytest.approx(VOXEL_SIZE_NM, rel=1e-5) if name in WITH_VOXEL_SIZE else None
        assert source.voxel_size_nm == expected


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "int16", "int32", "uint32", "float64", "bool"])
@pytest.mark.parametrize("name", ["tiff", "npy", "hdf5", "zarr 2", "zarr 3", "tiff page by page"])
def test_types_are_kept(tmp_path: Path, raw: np.ndarray, dtype: str, name: str) -> None:
    data = raw.astype(dtype)
    with open_source(WRITERS[name](tmp_path, data), tmp_path) as source:
        assert source.dtype == data.dtype
        np.testing.assert_array_equal(source.read(0, 7), data)


def test_imaris_is_read_as_its_other_reader_reads_it(tmp_path: Path, raw: np.ndarray) -> None:
    location = WRITERS["imaris"](tmp_path, raw)
    other = ims(str(tmp_path / location))
    with open_source(location, tmp_path) as source:
        np.testing.assert_array_equal(source.read(0, 7), np.squeeze(other[0, 0, :, :, :]))
        assert source.voxel_size_nm == pytest.approx(np.multiply(other.resolution, 1000), rel=1e-3)
    other.hf.close()


def test_sixteen_bit_png(tmp_path: Path, raw: np.ndarray) -> None:
    data = raw.astype(np.uint16) * 257
    with open_source(png_folder(tmp_path, data), tmp_path) as source:
        np.testing.assert_array_equal(source.read(0, 7), data)


def test_palette_png_give_their_indices(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 3]], np.uint8))
    image = image.convert("P")
    image.putdata([0, 1, 2, 3])
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    (tmp_path / "s").mkdir()
    image.save(tmp_path / "s" / "1.png")
    with open_source("s", tmp_path) as source:
        assert source.read(0, 1).tolist() == [[[0, 1], [2, 3]]]


@pytest.mark.parametrize("name", ["npy", "tiff", "hdf5 alone", "zarr 3"])
def test_a_single_image_is_one_slice(tmp_path: Path, raw: np.ndarray, name: str) -> None:
    page = raw[0]
    if name == "hdf5 alone":
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file["image"] = page
        location = "x.h5"
    elif name == "zarr 3":
        zarr.create_array(str(tmp_path / "x.zarr"), data=page)
        location = "x.zarr"
    else:
        location = WRITERS[name](tmp_path, page)
    with open_source(location, tmp_path) as source:
        assert source.shape_zyx == (1, 45, 38)
        np.testing.assert_array_equal(source.read(0, 1)[0], page)


def test_zarr_on_s3_is_read_from_there(tmp_path: Path, raw: np.ndarray, s3_url: str) -> None:
    from pipeline.volume.stores import Store

    zarr.create_array(Store.open(s3_url).child("raw.zarr").zarr(), data=raw, chunks=(4, 16, 16))
    with open_source(f"{s3_url}/raw.zarr", tmp_path) as source:
        np.testing.assert_array_equal(source.read(0, 7), raw)


def test_a_file_url_names_a_file(tmp_path: Path, raw: np.ndarray) -> None:
    location = WRITERS["imagej"](tmp_path, raw)
    with open_source((tmp_path / location).as_uri(), Path("/nowhere")) as source:
        np.testing.assert_array_equal(source.read(0, 7), raw)


def test_bytes_of_mrc_are_signed_unless_imod_says_otherwise(tmp_path: Path) -> None:
    with mrcfile.new(tmp_path / "x.mrc") as file:
        file.set_data(np.full((2, 3, 4), -1, np.int8))
    with open_source("x.mrc", tmp_path) as source:
        assert (source.dtype, source.read(0, 1).max()) == (np.int8, -1)
    content = bytearray((tmp_path / "x.mrc").read_bytes())
    content[152:160] = struct.pack("<ii", 1146047817, 0)
    (tmp_path / "x.mrc").write_bytes(content)
    with open_source("x.mrc", tmp_path) as source:
        assert (source.dtype, source.read(0, 1).max()) == (np.uint8, 255)


def refusal(location: str, base: Path) -> str:
    """The message with which a source is refused, when opened or when read."""
    with pytest.raises(DataError) as refused, open_source(location, base) as source:
        source.read(0, source.shape_zyx[0])
    return str(refused.value)


@pytest.fixture
def folder(tmp_path: Path, raw: np.ndarray) -> Path:
    """PNG slices 3 to 9."""
    return tmp_path / png_folder(tmp_path, raw)


def test_a_missing_slice_is_named(folder: Path) -> None:
    (folder / "stack2_slice5.png").unlink()
    message = refusal("png", folder.parent)
    assert "5" in message
    assert "stack2_slice4.png" in message
    assert "stack2_slice6.png" in message
    with open_source("png", folder.parent, gaps_allowed=True) as source:
        assert source.shape_zyx[0] == 6


def test_a_doubled_slice_is_named(folder: Path) -> None:
    shutil.copy(folder / "stack2_slice5.png", folder / "stack2_slice05.png")
    message = refusal("png", folder.parent)
    assert "stack2_slice5.png" in message
    assert "stack2_slice05.png" in message


def test_a_slice_of_another_size_or_type_is_named(folder: Path) -> None:
    Image.fromarray(np.zeros((44, 38), np.uint8)).save(folder / "stack2_slice9.png")
    assert "slice9.png" in refusal("png", folder.parent)
    Image.fromarray(np.zeros((45, 38), np.uint16)).save(folder / "stack2_slice9.png")
    assert "slice9.png" in refusal("png", folder.parent)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_a_colour_image_is_named(tmp_path: Path, ending: str) -> None:
    (tmp_path / "s").mkdir()
    colour = np.zeros((8, 9, 3), np.uint8)
    colour[..., 0] = 200
    if ending == "png":
        Image.fromarray(colour).save(tmp_path / "s" / "1.png")
    else:
        tifffile.imwrite(tmp_path / "s" / "1.tif", colour)
        tifffile.imwrite(tmp_path / "stack.tif", np.stack([colour] * 4), photometric="rgb")
        assert "stack.tif" in refusal("stack.tif", tmp_path)
    assert f"1.{ending}" in refusal("s", tmp_path)


def test_a_folder_of_two_formats_or_of_names_without_numbers_is_refused(folder: Path) -> None:
    tifffile.imwrite(folder / "1.tif", np.zeros((4, 4), np.uint8))
    assert "png" in refusal("png", folder.parent)
    (folder / "1.tif").unlink()
    shutil.copy(folder / "stack2_slice5.png", folder / "average.png")
    assert "average.png" in refusal("png", folder.parent)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize(
    "name",
    [
        "tiff",
        "tiff zlib",
        "bigtiff",
        "tiff page by page",
        "imagej",
        "ome-tiff",
        "mrc",
        "npy",
        "hdf5",
        "npz",
        "zip of png",
    ],
)
def test_a_truncated_file_is_named(tmp_path: Path, raw: np.ndarray, name: str, share: float) -> None:
    location = WRITERS[name](tmp_path, raw)
    path = tmp_path / location.split(":")[0]
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert path.name in refusal(location, tmp_path)


@pytest.mark.parametrize("name", ["png folder", "tiff folder"])
def test_a_truncated_slice_is_named(tmp_path: Path, raw: np.ndarray, name: str) -> None:
    folder = tmp_path / WRITERS[name](tmp_path, raw)
    victim = sorted(file for file in folder.iterdir() if file.suffix != ".txt")[2]
    victim.write_bytes(victim.read_bytes()[:-900])
    assert victim.name in refusal(folder.name, tmp_path)


def test_pages_of_different_size_are_named(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "x.tif") as file:
        for shape in ((8, 9), (8, 9), (8, 10)):
            file.write(np.zeros(shape, np.uint8), contiguous=False)
    assert "slice 2" in refusal("x.tif", tmp_path)


def test_datasets_of_hdf5_are_listed_when_none_is_chosen(tmp_path: Path, raw: np.ndarray) -> None:
    WRITERS["hdf5"](tmp_path, raw)
    for location in ("two.h5", "two.h5:/nothing", "two.h5:/volumes"):
        message = refusal(location, tmp_path)
        assert "/volumes/raw" in message
        assert "/volumes/labels" in message


def test_a_zarr_group_that_is_no_image_lists_its_arrays(tmp_path: Path, raw: np.ndarray) -> None:
    zarr.create_group(str(tmp_path / "g.zarr")).create_array("volume", data=raw)
    assert "volume" in refusal("g.zarr", tmp_path)
    with open_source("g.zarr:/volume", tmp_path) as source:
        assert source.shape_zyx == raw.shape


def test_several_channels_are_refused(tmp_path: Path) -> None:
    data = np.zeros((2, 3, 8, 9), np.uint8)
    tifffile.imwrite(tmp_path / "c.tif", data, imagej=True, metadata={"axes": "CZYX"[0:0] or "ZCYX"})
    assert "c.tif" in refusal("c.tif", tmp_path)
    np.save(tmp_path / "c.npy", data)
    assert "c.npy" in refusal("c.npy", tmp_path)
    group = zarr.create_group(str(tmp_path / "c.zarr"))
    group.create_array("0", data=data)
    axes = [{"name": "c", "type": "channel"}, *({"name": a, "type": "space"} for a in "zyx")]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    assert "c.zarr" in refusal("c.zarr", tmp_path)


def test_pickled_arrays_and_fortran_order_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "o.npy", np.array([[[{}]]]), allow_pickle=True)
    assert "o.npy" in refusal("o.npy", tmp_path)
    np.save(tmp_path / "f.npy", np.asfortranarray(np.zeros((2, 3, 4))))
    assert "f.npy" in refusal("f.npy", tmp_path)


def test_what_is_not_there_or_no_volume_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("text")
    (tmp_path / "fake.tif").write_text("text")
    for location in ("nothing.tif", "empty", "notes.txt", "fake.tif"):
        assert location in refusal(location, tmp_path)
    with pytest.raises(InputError):
        open_source("", tmp_path)
    with pytest.raises(InputError):
        open_source("x.zip:/../secret", tmp_path)


def test_an_archive_leaves_nothing_behind(tmp_path: Path, raw: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    location = WRITERS["zip of png"](tmp_path, raw)
    with open_source(location, tmp_path) as source:
        assert any(scratch.iterdir())
        assert str(scratch) not in source.where(0)
    assert not any(scratch.iterdir())
    assert "nothing" in refusal(f"{location}:/nothing", tmp_path)
    assert not any(scratch.iterdir())


# teem's format definition of NRRD, "type".
NRRD_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}


@pytest.mark.parametrize(("dtype", "name"), [(dtype, name) for dtype, names in NRRD_TYPES.items() for name in names])
def test_every_name_of_a_type_in_nrrd(dtype: str, name: str, tmp_path: Path) -> None:
    data = np.arange(24, dtype=dtype).reshape(2, 3, 4)
    header = f"NRRD0004\ntype: {name}\ndimension: 3\nsizes: 4 3 2\nendian: little\nencoding: raw\n\n"
    (tmp_path / "a.nrrd").write_bytes(header.encode() + data.tobytes())
    with open_source("a.nrrd", tmp_path) as source:
        assert source.dtype == data.dtype
        np.testing.assert_array_equal(source.read(0, 2), data)
