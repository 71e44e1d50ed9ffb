"""A Store behaves alike on a disk and on S3; a write is whole or absent, also on a full disk and after a kill.

Left out: losing the connection to S3 in the middle of a request, which obstore repeats on its own.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import zarr

from pipeline.errors import DataError, InputError, StorageError
from pipeline.volume.stores import Store

WRITE_WITH_LITTLE_ROOM = """
import resource, sys
import numpy as np
from pipeline.errors import StorageError
from pipeline.volume.geometry import Block
from pipeline.volume.omezarr import Geometry, create_image
from pipeline.volume.stores import Store

store = Store.open(sys.argv[1])
image = create_image(store.child("image"), geometry=Geometry((64, 64, 64), (1, 1, 1)), dtype="uint8", name="noise",
                     chunk_zyx=(32, 32, 32), shard_zyx=(64, 64, 64))
noise = np.random.default_rng(0).integers(0, 256, (64, 64, 64), np.uint8)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
refused = 0
whole = Block.of_shape((64, 64, 64))
for attempt in (lambda: store.write("model", noise.tobytes()), lambda: image.write(whole, noise)):
    try:
        attempt()
    except StorageError as error:
        refused += error.exit_code == 74
print(refused)
"""


def test_what_is_written_is_read(store: Store) -> None:
    store.write("models/membrane/model.json", b"one")
    store.write("models/membrane/model.json", b"two")
    assert store.read("models/membrane/model.json") == b"two"
    assert store.child("models", "membrane").read("model.json") == b"two"


def test_keys_are_listed_by_whole_path_parts(store: Store) -> None:
    for key in ("b", "a/2", "a/1/deep", "ab/1"):
        store.write(key, b"")
    assert list(store.list()) == ["a/1/deep", "a/2", "ab/1", "b"]
    assert list(store.list("a")) == ["a/1/deep", "a/2"]
    assert list(store.child("a").list()) == ["1/deep", "2"]
    assert list(store.child("nowhere").list()) == []


def test_only_objects_exist(store: Store) -> None:
    store.write("a/b", b"")
    assert store.exists("a/b")
    assert not store.exists("a")
    assert not store.child("nowhere").exists("b")


def test_deleting_what_is_not_there_is_no_error(store: Store) -> None:
    store.write("a/b", b"")
    store.write("ab/b", b"")
    store.delete("a/b")
    store.delete("a/b")
    store.delete_all("nowhere")
    store.delete_all("ab")
    assert list(store.list()) == []


def test_reading_what_is_not_there_is_a_file_not_found_error(store: Store) -> None:
    with pytest.raises(FileNotFoundError):
        store.read("nothing")
    with pytest.raises(FileNotFoundError):
        store.child("nowhere").read_json("nothing")


def test_json_is_always_the_same_bytes(store: Store) -> None:
    content = {"b": [1, 2.5], "a": None}
    store.write_json("x.json", content)
    assert store.read_json("x.json") == content
    once = store.read("x.json")
    store.write_json("x.json", content)
    assert store.read("x.json") == once


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_has_not_is_never_written(store: Store, value: float) -> None:
    # RFC 8259, section 6: "Numeric values that cannot be represented ... (such as Infinity and NaN) are not permitted."
    with pytest.raises(ValueError, match="JSON"):
        store.write_json("a.json", {"value": [value]})
    assert not store.exists("a.json")


def test_damaged_json_is_named(store: Store) -> None:
    store.write("x.json", b"{")
    with pytest.raises(DataError, match=r"x\.json"):
        store.read_json("x.json")


def test_a_store_and_its_zarr_face_can_be_sent_to_another_process(store: Store) -> None:
    copy = pickle.loads(pickle.dumps(store))
    copy.write("a", b"1")
    assert store.read("a") == b"1"
    array = zarr.create_array(store.child("array").zarr(), shape=(3,), dtype="uint8")
    array[:] = 5
    assert pickle.loads(pickle.dumps(array))[:].tolist() == [5, 5, 5]


def test_a_missing_directory_is_refused_unless_it_is_to_be_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        Store.open(tmp_path / "nowhere")
    made = Store.open((tmp_path / "new dir").as_uri(), create=True)
    assert made.local_path() == tmp_path / "new dir"
    assert (tmp_path / "new dir").is_dir()


def test_places_that_cannot_be_opened_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", "ftp://host/x", "file://host/x", "s3:///key"):
        with pytest.raises(InputError):
            Store.open(place)


def test_reading_makes_no_directory(tmp_path: Path) -> None:
    child = Store.open(tmp_path).child("not", "yet")
    assert not child.exists("a")
    assert list(child.list()) == []
    assert list(tmp_path.iterdir()) == []


def test_a_bucket_that_is_not_there_is_the_users_to_create(s3_url: str) -> None:
    store = Store.open("s3://no-such-bucket/prefix")
    for attempt in (lambda: store.write("a", b""), lambda: store.read("a"), lambda: list(store.list())):
        with pytest.raises(InputError, match="no-such-bucket"):
            attempt()


def test_a_place_that_refuses_to_be_written_is_a_storage_error(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.write("a", b"")
    with pytest.raises(StorageError):
        store.write("a/b", b"")


def test_a_full_disk_leaves_neither_torn_objects_nor_staged_files(tmp_path: Path) -> None:
    # A limit on the size of files stands for a full disk: it, too, fails in the middle of a write.
    before = b"an earlier version"
    (tmp_path / "model").write_bytes(before)
    done = subprocess.run(
        [sys.executable, "-c", WRITE_WITH_LITTLE_ROOM, tmp_path], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "2"
    assert (tmp_path / "model").read_bytes() == before
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"model", "image/zarr.json", "image/0/zarr.json"}


def test_the_next_writer_removes_what_a_killed_one_left_staged(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    for name in ("a[1]", "zarr.json"):
        (tmp_path / f"{name}#1").write_bytes(b"half")
    (tmp_path / "other#1").write_bytes(b"someone else's")
    assert list(store.list()) == [], "a staged file is no object"
    store.write("a[1]", b"whole")
    zarr.create_group(store.zarr())
    assert {path.name for path in tmp_path.iterdir()} == {"a[1]", "zarr.json", "other#1"}
