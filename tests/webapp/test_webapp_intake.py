"""What users give: every readable kind is understood; what is not is refused in plain words, and leaves nothing behind.

Plain words: the file is named as the user knows it, no folder of the server is, and it says what to do. The readers
themselves are tested in tests/volume.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
from dummyformat import dummy_format
from tinystudy import tissue
from webapp_support import MakeSettings, look, noise, png, slices, uploaded, zipped

from pipeline.errors import InputError, StorageError
from pipeline.formats import file_size
from pipeline.volume.description import PREVIEW_PIXELS
from pipeline.volume.omezarr import Geometry, create_image
from pipeline.volume.sources import open_source
from pipeline.volume.sources.cut import cut_text
from pipeline.volume.sources.policy import STRANGER
from pipeline.volume.stores import Store
from pipeline.webapp.catalogue import ModelCard
from pipeline.webapp.intake import UNPACKED, inspect_upload, lies_within, permitted
from pipeline.webapp.jobs import JobStore
from pipeline.webapp.settings import Settings
from pipeline.webapp.uploads import OutOfStepError, TooLargeError, UnknownUploadError, Uploads

GREY, _ = tissue((3, 40, 56), seed=1)


def tiff_file(**options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, GREY, photometric="minisblack", **options)
    return file.getvalue()


def numpy_file() -> bytes:
    file = io.BytesIO()
    np.save(file, GREY)
    return file.getvalue()


def hdf5_file() -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as content:
        content["volume"] = GREY
        content["volume"].attrs["element_size_um"] = (0.04, 0.008, 0.008)
    return file.getvalue()


def mrc_file(folder: Path) -> bytes:
    with mrcfile.new(folder / "made.mrc") as file:
        file.set_data(GREY.astype(np.uint16))  # the format has no unsigned bytes
        file.voxel_size = (80, 80, 400)
    return (folder / "made.mrc").read_bytes()


def zarr_file(folder: Path) -> bytes:
    store = Store.open(folder / "made.zarr", create=True)
    geometry = Geometry(GREY.shape, (40, 8, 8))
    image = create_image(store, geometry=geometry, dtype="uint8", name="made", chunk_zyx=(3, 8, 8), shard_zyx=(3, 8, 8))
    image.write(geometry.block, GREY)
    root = folder / "made.zarr"
    return zipped({str(path.relative_to(folder)): path.read_bytes() for path in root.rglob("*") if path.is_file()})


GOOD: dict[str, tuple[str, Callable[[Path], bytes], tuple[float, ...] | None]] = {
    "zip of PNG slices": ("stack.zip", lambda _: zipped(slices(GREY)), None),
    "zip of one TIFF": ("stack.zip", lambda _: zipped({"stack.tif": tiff_file()}), None),
    "zip with a file manager's clutter": (
        "stack.zip",
        lambda _: zipped({**slices(GREY), "__MACOSX/._slice": b"x", "._stack": b"x"}),
        None,
    ),
    "TIFF": ("stack.tif", lambda _: tiff_file(), None),
    "ImageJ TIFF with its voxel size": (
        "stack.tif",
        lambda _: tiff_file(
            imagej=True, resolution=(1 / 8, 1 / 8), metadata={"axes": "ZYX", "spacing": 40, "unit": "nm"}
        ),
        (40, 8, 8),
    ),
    "NumPy": ("stack.npy", lambda _: numpy_file(), None),
    "HDF5": ("stack.h5", lambda _: hdf5_file(), (40, 8, 8)),
    "MRC": ("stack.mrc", mrc_file, (40, 8, 8)),
    "zipped OME-Zarr": ("stack.zip", zarr_file, (40, 8, 8)),
}


@pytest.mark.parametrize("kind", GOOD)
def test_a_readable_volume_is_described(kind: str, make_settings: MakeSettings, tmp_path: Path) -> None:
    name, make, voxel_size_nm = GOOD[kind]
    settings = make_settings()
    found = look(settings, uploaded(settings, make(tmp_path), name))
    dtype = np.dtype("uint16" if kind == "MRC" else "uint8")
    assert (found.name, found.shape_zyx, found.dtype) == (name, GREY.shape, dtype.name)
    assert found.size_bytes == GREY.size * dtype.itemsize
    assert found.voxel_size_nm is None if voxel_size_nm is None else found.voxel_size_nm == pytest.approx(voxel_size_nm)
    assert found.preview is not None
    assert found.preview.shape == GREY.shape[1:]
    assert found.preview.std() > 10
    assert Path(found.location).is_relative_to(settings.data)


def encrypted() -> bytes:
    """A zip whose entries say that they are encrypted, in both of their headers (APPNOTE 4.4.4, bit 0)."""
    content = bytearray(zipped(slices(GREY)))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(mark)
        while at >= 0:
            content[at + offset] |= 1
            at = content.find(mark, at + 4)
    return bytes(content)


def bomb() -> bytes:
    return zipped({"slice_0.tif": bytes(50_000_000)})


def lying_png(rows: int, columns: int) -> bytes:
    """A PNG whose header claims a size that its data do not have."""
    content = bytearray(png(GREY[0]))
    content[16:24] = struct.pack(">II", columns, rows)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def link() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        entry = zipfile.ZipInfo("slice_0.tif")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    return file.getvalue()


def external_hdf5() -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as content:
        content.create_dataset("volume", (1, 8, 8), "uint8", external=[("/etc/passwd", 0, 64)])
    return file.getvalue()


def virtual_hdf5() -> bytes:
    layout = h5py.VirtualLayout((1, 8, 8), "uint8")
    layout[:] = h5py.VirtualSource("/srv/other.h5", "volume", (1, 8, 8))
    file = io.BytesIO()
    with h5py.File(file, "w") as content:
        content.create_virtual_dataset("volume", layout)
    return file.getvalue()


def heavy_hdf5() -> bytes:
    """A third of a gigabyte of zeros, in one piece, packed into almost nothing."""
    file = io.BytesIO()
    with h5py.File(file, "w", userblock_size=2**15) as content:  # so much that its claim could be true
        content.create_dataset("volume", (20, 4000, 4000), "uint8", chunks=(20, 4000, 4000), compression="gzip")
    return file.getvalue()


def foreign_ome_tiff() -> bytes:
    """One whose single plane lies, as it says, in a file of the folder above."""
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" '
        'DimensionOrder="XYZCT" Type="uint8" SizeX="56" SizeY="40" SizeZ="1" SizeC="1" SizeT="1">'
        '<Channel ID="Channel:0:0" SamplesPerPixel="1"/><TiffData FirstZ="0" PlaneCount="1">'
        '<UUID FileName="../upload.json">urn:uuid:0</UUID></TiffData></Pixels></Image></OME>'
    )
    file = io.BytesIO()
    tifffile.imwrite(file, GREY[0], photometric="minisblack", description=xml, metadata=None)
    return file.getvalue()


BAD: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "no zip": ("stack.zip", lambda: b"II*\0 not a zip file", "not a zip file"),
    "a text": ("notes.txt", lambda: b"dear diary", "no volume"),
    "a text called TIFF": ("stack.tif", lambda: b"dear diary, today", "not a TIFF"),
    "a text called MRC": ("stack.mrc", lambda: b"dear diary" * 200, "stack.mrc"),
    "a text called NumPy": ("stack.npy", lambda: b"dear diary" * 200, "stack.npy"),
    "a text called HDF5": ("stack.h5", lambda: b"dear diary" * 200, "stack.h5"),
    "a zip bomb": ("stack.zip", bomb, "times its size"),
    "a zip in a zip": ("stack.zip", lambda: zipped({"inner.zip": zipped(slices(GREY))}), "another zip"),
    "a password": ("stack.zip", encrypted, "password"),
    "an empty zip": ("stack.zip", lambda: zipped({}), "nothing"),
    "a damaged zip": ("stack.zip", lambda: zipped(slices(noise((3, 40, 56))))[:4000], "damaged"),
    "a way out of the folder": ("stack.zip", lambda: zipped({"../../slice_0.png": png(GREY[0])}), "leads out"),
    "a link": ("stack.zip", link, "link"),
    "colours": ("stack.zip", lambda: zipped(slices(np.stack([GREY, GREY, GREY // 2], -1))), "colour"),
    "colours in a TIFF": ("stack.tif", lambda: rgb_tiff(), "colour"),
    "slices of two sizes": (
        "stack.zip",
        lambda: zipped(slices(GREY) | {"stack/slice_003.png": png(GREY[0, :, :30])}),
        "one size",
    ),
    "a missing slice": (
        "stack.zip",
        lambda: zipped({name: data for name, data in slices(GREY).items() if "001" not in name}),
        "missing",
    ),
    "slices and their labels": (
        "stack.zip",
        lambda: zipped(slices(GREY) | {"stack/labels.tif": tiff_file()}),
        "PNG",
    ),
    "documents": ("stack.zip", lambda: zipped({"a.docx": b"x", "b.docx": b"y"}), "not a volume"),
    "a cut TIFF": ("stack.tif", lambda: tiff_file()[:3000], "truncated"),
    "a gigantic image that is none": ("stack.zip", lambda: zipped({"s_0.png": lying_png(60_000, 60_000)}), "claims"),
    "HDF5 with voxels in the server's files": ("stack.h5", external_hdf5, "other files"),
    "HDF5 that borrows from other files": ("stack.h5", virtual_hdf5, "other files"),
    "HDF5 in one large piece": ("stack.h5", heavy_hdf5, "smaller chunks"),
    "OME-TIFF that names other files": ("stack.tif", foreign_ome_tiff, "several files"),
}


def rgb_tiff() -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, np.stack([GREY, GREY, GREY // 2], -1), photometric="rgb")
    return file.getvalue()


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_in_plain_words(kind: str, make_settings: MakeSettings, tmp_path: Path) -> None:
    name, make, word = BAD[kind]
    settings = make_settings(volume_bytes=3 * 10**9)
    upload = uploaded(settings, make(), name)
    before = files_of(tmp_path)
    with pytest.raises(InputError) as refused:
        look(settings, upload)
    message = str(refused.value)
    assert word in message
    assert str(tmp_path) not in message
    assert "/data/" not in message
    assert UNPACKED not in message
    grown = {path for path in files_of(tmp_path) - before if not path.is_relative_to(upload.folder)}
    assert not grown


def test_a_format_that_is_registered_is_taken(make_settings: MakeSettings) -> None:
    settings = make_settings()
    with dummy_format() as content:
        found = look(settings, uploaded(settings, content, "stack.dummy"))
    assert (found.kind, found.shape_zyx, found.voxel_size_nm) == ("dummy volume", (3, 40, 56), (30, 5, 5))
    assert found.preview is not None


def files_of(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_too_many_files_are_refused(make_settings: MakeSettings) -> None:
    settings = make_settings(archive_entries=2)
    with pytest.raises(InputError, match="at most 2"):
        look(settings, uploaded(settings, zipped(slices(GREY))))


def test_an_upload_is_looked_at_again_without_unpacking_again(make_settings: MakeSettings, stack: bytes) -> None:
    settings = make_settings()
    upload = uploaded(settings, stack)
    first = look(settings, upload)
    changed = {path: path.stat().st_mtime_ns for path in upload.folder.rglob("*")}
    assert look(settings, upload).location == first.location
    assert {path: path.stat().st_mtime_ns for path in upload.folder.rglob("*")} == changed


def test_of_several_datasets_the_largest_is_taken(make_settings: MakeSettings) -> None:
    file = io.BytesIO()
    with h5py.File(file, "w") as content:
        content["volumes/raw"], content["volumes/ids"], content["times"] = GREY, GREY[:2], np.arange(5)
    settings = make_settings()
    found = look(settings, uploaded(settings, file.getvalue(), "stack.h5"))
    assert (found.shape_zyx, found.kind) == (GREY.shape, "HDF5 dataset /volumes/raw")
    assert len(found.notes) == 1


@pytest.mark.parametrize("kind", ["zip of PNG slices", "TIFF", "HDF5", "zipped OME-Zarr"])
def test_a_part_is_described_and_ordered_as_one(
    kind: str, make_settings: MakeSettings, model: ModelCard, tmp_path: Path
) -> None:
    name, make, _ = GOOD[kind]
    settings = make_settings()
    upload = uploaded(settings, make(tmp_path), name)
    look(settings, upload)
    cut = cut_text(0, "1:3,0:10,2:20")
    found = inspect_upload(upload.path, settings.policy, cut=cut)
    assert (found.name, found.shape_zyx) == (name, (2, 10, 18))
    assert found.preview is not None
    np.testing.assert_array_equal(found.preview.shape, (10, 18))
    job = JobStore(settings).create("anna", found, model, voxel_size_nm=(40, 8, 8), upload=upload)
    with open_source(job.input, Path()) as source:
        np.testing.assert_array_equal(source.read(0, 2), GREY[1:3, :10, 2:20])
    with pytest.raises(InputError, match="box"):
        inspect_upload(job.input.removesuffix(cut), settings.policy, cut="[0:99,0:10,2:20]")


def test_a_preview_is_thinned(make_settings: MakeSettings) -> None:
    settings = make_settings()
    content = zipped({"s_0.png": png(noise((50, 3 * PREVIEW_PIXELS - 1)))})
    found = look(settings, uploaded(settings, content))
    assert found.preview is not None
    assert found.preview.shape == (17, PREVIEW_PIXELS)


def test_only_permitted_places_are_read(make_settings: MakeSettings, tmp_path: Path) -> None:
    lab, other = tmp_path / "lab", tmp_path / "lab-of-others"
    for folder in (lab, other):
        folder.mkdir()
        (folder / "stack.tif").write_bytes(tiff_file())
    (lab / "way out").symlink_to(other)
    settings = make_settings(folders=(str(lab), "s3://lab/stacks"))
    assert permitted(f" {lab}/stack.tif ", settings) == str(lab / "stack.tif")
    assert permitted((lab / "stack.tif").as_uri(), settings) == str(lab / "stack.tif")
    assert permitted("s3://lab/stacks/a.zarr", settings) == "s3://lab/stacks/a.zarr"
    places = [
        other,
        lab / "way out/stack.tif",
        f"{lab}/../lab-of-others",
        settings.data,
        "",
        "s3://lab/stacks-of-others",
    ]
    for place in [
        *map(str, places),
        "s3://lab/stacks/../secret",
        "s3://lab/stacks/.\t./secret",
        "s3://lab/stacks/%2e%2E/secret",
        "s3://lab@lab/stacks",
        "S4://lab/stacks",
        "s3://other/stacks",
        "/etc/passwd",
        "http://lab/stacks",
    ]:
        with pytest.raises(InputError, match="only"):
            permitted(place, settings)
    with pytest.raises(InputError, match="upload"):
        permitted(str(lab), make_settings())


def test_a_place_of_ours_is_nobodys_to_name(make_settings: MakeSettings, tmp_path: Path) -> None:
    settings = make_settings(folders=(str(tmp_path),))
    assert settings.data.is_relative_to(tmp_path)
    assert permitted(str(tmp_path / "stack.tif"), settings)
    with pytest.raises(InputError, match="only"):
        permitted(str(settings.jobs_folder / "stack.tif"), settings)


def test_a_page_that_is_loaded_twice_unpacks_once(make_settings: MakeSettings, stack: bytes) -> None:
    settings = make_settings()
    upload = uploaded(settings, stack, "stack.zip")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: inspect_upload(upload.path, settings.policy), range(4)))
    assert {each.location for each in found} == {found[0].location}
    assert not (upload.folder / ".unpacked").exists()


def test_a_process_that_looked_at_one_place_may_name_no_other(tmp_path: Path) -> None:
    place, other = tmp_path / "unpacked", tmp_path / "another's.tif"
    place.mkdir()
    other.touch()
    (place / "link.tif").symlink_to(other)
    (place / "v.h5").touch()
    within = [place, place / "v.h5", f"{place / 'v.h5'}:/grey", f"{place}:/0"]
    without = [other, place / "link.tif", place / "../another's.tif", f"{place}:/../x", tmp_path, "s3://lab/x", "/etc"]
    assert [lies_within(str(each), str(place)) for each in within] == [True] * len(within)
    assert [lies_within(str(each), str(place)) for each in without] == [False] * len(without)
    assert lies_within("s3://lab/x.zarr", "s3://lab/x.zarr")
    assert not lies_within("s3://lab/y.zarr", "s3://lab/x.zarr")


def test_what_is_unpacked_counts_as_its_owners(make_settings: MakeSettings) -> None:
    """An archive takes little room before, and a hundred times as much after."""
    settings = make_settings(owner_quota_bytes=2**20)
    packed = io.BytesIO()
    np.save(packed, noise((3, 400, 4)).repeat(100, axis=2))
    content = zipped({"stack.npy": packed.getvalue()})
    uploads, first, second = Uploads(settings), uploaded(settings, content), uploaded(settings, content)
    room = uploads.room_to_unpack_bytes(first)
    assert 2**20 - 3 * len(content) < room < 2**20
    assert inspect_upload(first.path, settings.policy, room).shape_zyx == (3, 400, 400)
    left = uploads.room_to_unpack_bytes(second)
    assert room - left >= 480_000
    assert uploads.room_to_unpack_bytes(uploaded(settings, content, owner="bert")) > left
    with pytest.raises(StorageError, match="are left here for you"):
        inspect_upload(second.path, settings.policy, 400_000)
    assert [path.name for path in second.folder.iterdir() if path.is_dir()] == []


def test_nobody_fills_the_disk_with_uploads(make_settings: MakeSettings) -> None:
    uploads = Uploads(make_settings(waiting_per_owner=2))
    for name in ("a.tif", "b.tif"):
        last = uploads.begin("anna", name, 5)
    with pytest.raises(InputError, match="2 of your uploads"):
        uploads.begin("anna", "c.tif", 5)
    uploads.begin("bert", "c.tif", 5)
    uploads.discard("anna", last.id)
    uploads.begin("anna", "c.tif", 5)


def test_nothing_is_written_beside_what_a_user_names(make_settings: MakeSettings, tmp_path: Path, stack: bytes) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    (lab / "stack.zip").write_bytes(stack)
    before = files_of(lab)
    found = inspect_upload(lab / "stack.zip", make_settings().policy)
    assert (found.location, found.shape_zyx) == (str(lab / "stack.zip"), (4, 64, 96))
    assert files_of(lab) == before


def test_an_upload_comes_in_pieces_and_goes_on(make_settings: MakeSettings) -> None:
    uploads, content = Uploads(make_settings()), noise((1000,)).tobytes()
    upload = uploads.begin("anna", "C:\\data\\..\\my stack.zip", len(content))
    assert upload.name == "my stack.zip"
    assert uploads.append("anna", upload.id, 0, content[:400]).received_bytes == 400
    for offset in (0, 399, 401):
        with pytest.raises(OutOfStepError, match="400"):
            uploads.append("anna", upload.id, offset, content[400:])
    with pytest.raises(TooLargeError):
        uploads.append("anna", upload.id, 400, content)
    done = uploads.append("anna", upload.id, 400, content[400:])
    assert done.complete
    assert done.path.read_bytes() == content
    with pytest.raises(TooLargeError):
        uploads.append("anna", upload.id, 1000, b"more")
    assert uploads.append("anna", upload.id, 1000, b"") == done


def test_an_upload_is_its_owners(make_settings: MakeSettings) -> None:
    uploads = Uploads(make_settings())
    upload = uploads.begin("anna", "stack.zip", 5)
    for owner, name in (("bert", upload.id), ("anna", "../uploads"), ("anna", ""), ("anna", "0" * 32)):
        with pytest.raises(UnknownUploadError):
            uploads.append(owner, name, 0, b"12345")
    uploads.discard("anna", upload.id)
    with pytest.raises(UnknownUploadError):
        uploads.get("anna", upload.id)


@pytest.mark.parametrize(
    "name", ["", "..", ".", "/", "part", "upload.json", "../../x", "a\0b.tif", "x" * 300 + ".tif", "層" * 120 + ".tif"]
)
def test_every_name_becomes_a_safe_one(name: str, make_settings: MakeSettings) -> None:
    settings = make_settings()
    upload = uploaded(settings, b"12345", name)
    assert upload.path.parent == upload.folder
    assert upload.path.read_bytes() == b"12345"


def test_what_is_empty_or_too_large_is_refused_before_it_comes(make_settings: MakeSettings) -> None:
    uploads = Uploads(make_settings(upload_bytes=2_500_000_000))
    with pytest.raises(InputError, match="empty"):
        uploads.begin("anna", "stack.zip", 0)
    with pytest.raises(TooLargeError, match=r"3\.0 GB.*2\.5 GB"):
        uploads.begin("anna", "stack.zip", 3_000_000_000)


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (123_456, "123 kB"), (10**16, "10000 TB")],
)
def test_sizes_are_written_as_people_do(size: int, words: str) -> None:
    assert file_size(size) == words


def test_settings_come_from_options_then_from_the_environment(tmp_path: Path) -> None:
    environment = {
        "VEMSEG_APP_DATA": str(tmp_path),
        "VEMSEG_APP_MODELS": "a, s3://b/c",
        "VEMSEG_APP_BASE_PATH": "segment/",
        "VEMSEG_APP_CLUSTER_PARAMETERS": "gpus=1,claim=mine",
    }
    settings = Settings.of(environment, jobs_at_once=3, data=None)
    assert (settings.data, settings.models, settings.jobs_at_once) == (tmp_path, ("a", "s3://b/c"), 3)
    assert (settings.base_path, settings.cluster_parameters) == ("/segment", {"gpus": "1", "claim": "mine"})
    assert settings.policy == STRANGER
    with pytest.raises(InputError, match="VEMSEG_APP_DATA"):
        Settings.of({}, models=())
    with pytest.raises(InputError, match="--retention-days"):
        Settings.of(environment, retention_days=-1)
