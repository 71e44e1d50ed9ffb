"""N5 and Neuroglancer's precomputed volumes in remote places: read where they lie, chunk by chunk, as tensorstore
reads them from files."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore
from hypothesis import given
from hypothesis import strategies as st
from objectserver import PublicPlace
from tinystudy import Finished, tissue, whole

from pipeline.errors import DataError, InputError, StorageError
from pipeline.run.inputs import Inputs
from pipeline.run.layout import Run
from pipeline.steps.prepare import prepare
from pipeline.volume.fetched import remembering
from pipeline.volume.sources import TRUSTED, open_source
from pipeline.volume.sources.sharding import _murmur, layout_of
from pipeline.volume.stores import Store

RAW, _ = tissue((21, 70, 100), seed=2)
SIZE_NM = (40.0, 8.0, 8.0)
BOX = (slice(3, 19), slice(10, 66), slice(30, 95))
CUT = "[" + ",".join(f"{side.start}:{side.stop}" for side in BOX) + "]"


def write_n5(folder: Path, data: np.ndarray = RAW, shape: tuple[int, ...] | None = None) -> None:
    """As OpenOrganelle lays them out: two levels in a group that states their sizes."""
    for level, part in enumerate((data, data[::2, ::2, ::2])):
        metadata = {
            "dimensions": (shape or part.shape)[::-1],
            "blockSize": [64, 32, 8],
            "dataType": str(data.dtype),
            "compression": {"type": "gzip"},
        }
        store = {"driver": "file", "path": f"{folder}/em/s{level}"}
        array = tensorstore.open({"driver": "n5", "kvstore": store, "metadata": metadata}, create=True).result()
        array[tuple(slice(0, side) for side in part.shape[::-1])].write(part.T).result()
    pixel = {"unit": "nm", "dimensions": SIZE_NM[::-1]}
    group = {"pixelResolution": pixel, "scales": [[1, 1, 1], [2, 2, 2]], "axes": ["x", "y", "z"]}
    (folder / "em/attributes.json").write_text(json.dumps(group))
    (folder / "attributes.json").write_text('{"n5": "2.0.0"}')


def write_precomputed(
    folder: Path, data: np.ndarray = RAW, shape: tuple[int, ...] | None = None, encoding: str = "raw", **sharding: Any
) -> None:
    """As FlyEM and MICrONS lay them out: two scales, with chunks of their own or in shards."""
    is_ids = encoding == "compressed_segmentation"
    for scale, part in ((1, data), (2, data[::2, ::2, ::2])):
        metadata = {
            "size": (shape or part.shape)[::-1],
            "resolution": [scale * size for size in SIZE_NM[::-1]],
            "voxel_offset": [5, 7, 9],
            "chunk_size": [64, 32, 8],
            "encoding": encoding,
        }
        if is_ids:
            metadata["compressed_segmentation_block_size"] = [8, 8, 8]
        if sharding:
            metadata["sharding"] = {"@type": "neuroglancer_uint64_sharded_v1", **sharding}
        spec = {
            "driver": "neuroglancer_precomputed",
            "kvstore": {"driver": "file", "path": str(folder)},
            "multiscale_metadata": {
                "type": "segmentation" if is_ids else "image",
                "data_type": str(data.dtype),
                "num_channels": 1,
            },
            "scale_metadata": metadata,
        }
        array = tensorstore.open(spec, create=True, open=True).result()[tensorstore.d[:].translate_to[0]]
        array[tuple(slice(0, side) for side in part.shape[::-1])].write(part.T[..., None]).result()


IDENTITY = {"hash": "identity", "preshift_bits": 2, "minishard_bits": 2, "shard_bits": 3}
HASHED = {"hash": "murmurhash3_x86_128", "preshift_bits": 1, "minishard_bits": 3, "shard_bits": 5}
PACKED = {"minishard_index_encoding": "gzip", "data_encoding": "gzip"}
SHARDINGS: dict[str, dict[str, Any]] = {
    "v": {},
    "sharded": IDENTITY,
    "hashed": HASHED,
    "packed": {**IDENTITY, **PACKED},
}
LAYOUTS: dict[str, Callable[[Path], None]] = {
    "v:/em": write_n5,
    "jpeg": partial(write_precomputed, encoding="jpeg"),
    **{name: partial(write_precomputed, **sharding) for name, sharding in SHARDINGS.items()},
    "one-shard": partial(write_precomputed, **{**IDENTITY, "minishard_bits": 0, "shard_bits": 0}),
    "ids": lambda folder: write_precomputed(
        folder, RAW.astype("u8") + 2**60, encoding="compressed_segmentation", **HASHED, **PACKED
    ),
}


def written(place: PublicPlace, name: str) -> Path:
    folder = place.folder / "bucket" / name.partition(":/")[0]
    LAYOUTS[name](folder)
    return folder


@pytest.mark.parametrize("protocol", range(3), ids=["s3", "gs", "http"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_each_layout_holds_what_its_files_do(public_place: PublicPlace, name: str, protocol: int) -> None:
    written(public_place, name)
    url, path = public_place.urls(name)[protocol], str(public_place.folder / "bucket" / name)
    public_place.lists = protocol != 0
    for cut in ("", CUT, "[level 1]", "[level 1][0:3,4:30,0:17]"):
        with open_source(path + cut, Path(), TRUSTED) as local, open_source(url + cut, Path(), TRUSTED) as source:
            depth = local.shape_zyx[0]
            np.testing.assert_array_equal(source.read(0, depth), local.read(0, depth))
            assert (source.dtype, source.voxel_size_nm) == (local.dtype, local.voxel_size_nm)
            assert source.voxel_size_nm == ((80.0, 16.0, 16.0) if "level" in cut else SIZE_NM)


@pytest.mark.parametrize("name", ["v:/em/s1", "v/em/s1"])
def test_a_level_by_its_own_address_has_its_size(public_place: PublicPlace, name: str) -> None:
    written(public_place, "v:/em")
    for url in public_place.urls(name):
        with open_source(url, Path(), TRUSTED) as source:
            assert source.voxel_size_nm == (80.0, 16.0, 16.0)


@pytest.mark.parametrize("form", ["precomputed://{}", "{}/|neuroglancer-precomputed:", "{}/"])
def test_an_address_as_neuroglancer_has_it(public_place: PublicPlace, form: str) -> None:
    written(public_place, "packed")
    for url in public_place.urls("packed"):
        with open_source(form.format(url) + "[level 1]", Path(), TRUSTED) as source:
            np.testing.assert_array_equal(source.read(0, 11), RAW[::2, ::2, ::2])


def test_a_scale_by_its_key(public_place: PublicPlace) -> None:
    written(public_place, "sharded")
    with open_source(f"{public_place.urls('sharded')[0]}:/16_16_80", Path(), TRUSTED) as source:
        np.testing.assert_array_equal(source.read(0, 11), RAW[::2, ::2, ::2])


def test_a_bucket_with_keys(bucket: str, tmp_path: Path) -> None:
    for name, write in (("n5", write_n5), ("shards", LAYOUTS["hashed"])):
        write(tmp_path / name)
        for file in (path for path in (tmp_path / name).rglob("*") if path.is_file()):
            Store.open(f"{bucket}/{name}").write(str(file.relative_to(tmp_path / name)), file.read_bytes())
    for name in ("n5:/em", "shards"):
        with open_source(f"{bucket}/{name}{CUT}", Path(), TRUSTED) as source:
            np.testing.assert_array_equal(source.read(0, 16), RAW[BOX])


@pytest.mark.parametrize("name", ["v:/em", "v", "sharded", "hashed", "packed"])
def test_a_box_costs_the_chunks_in_which_it_lies(public_place: PublicPlace, name: str) -> None:
    """Of a shard the list of its chunks is small, if a minishard is: as it is in public volumes."""
    big = np.tile(RAW, (2, 2, 2))
    folder, location = public_place.folder / "bucket" / "big", name.replace("v", "big")
    if name == "v:/em":
        write_n5(folder, big)
    else:
        location = "big"
        write_precomputed(folder, big, **SHARDINGS[name])
    box = (slice(8, 24), slice(32, 96), slice(64, 192))
    text = "[" + ",".join(f"{side.start}:{side.stop}" for side in box) + "]"
    needed = 16 * 64 * 128  # as raw chunks hold them; those of N5 are packed
    for url in public_place.urls(location):
        with open_source(url + text, Path(), TRUSTED) as source:
            before = public_place.bytes_sent
            np.testing.assert_array_equal(source.read(0, 16), big[box])
            assert public_place.bytes_sent - before <= 1.3 * needed


def test_what_was_fetched_is_remembered(public_place: PublicPlace) -> None:
    written(public_place, "packed")
    with remembering(), open_source(public_place.urls("packed")[2], Path(), TRUSTED) as source:
        source.read(0, 21)
        before = public_place.requests
    with remembering(), open_source(public_place.urls("packed")[2], Path(), TRUSTED) as source:
        source.read(0, 21)
        source.read(3, 9)
        assert public_place.requests == 2 * before


@pytest.mark.parametrize("name", ["v:/em", "v", "sharded"])
def test_what_fails_for_a_moment_is_asked_again(public_place: PublicPlace, name: str) -> None:
    written(public_place, name)
    with open_source(public_place.urls(name)[2], Path(), TRUSTED) as source:
        public_place.failures = 3
        np.testing.assert_array_equal(source.read(0, 21), RAW)


@pytest.mark.parametrize("name", ["v:/em", "v"])
def test_a_chunk_that_was_never_written_is_empty_and_a_damaged_one_is_an_error(
    public_place: PublicPlace, name: str
) -> None:
    folder = written(public_place, name)
    chunk = folder / ("em/s0/0/0/0" if name == "v:/em" else "8_8_40/5-69_7-39_9-17")
    content = chunk.read_bytes()
    chunk.unlink()
    with open_source(public_place.urls(name)[1], Path(), TRUSTED) as source:
        found = source.read(0, 21)
        assert not found[:8, :32, :64].any()
        np.testing.assert_array_equal(found[8:], RAW[8:])
    chunk.write_bytes(content[: len(content) // 2])
    with open_source(public_place.urls(name)[1], Path(), TRUSTED) as source, pytest.raises(DataError):
        source.read(0, 8)


@pytest.mark.parametrize("name", ["sharded", "packed"])
@pytest.mark.parametrize("kept", [0, 7, 70, 0.5])
def test_a_cut_off_shard_is_no_tissue(public_place: PublicPlace, name: str, kept: float) -> None:
    folder = written(public_place, name)
    for shard in folder.rglob("*.shard"):
        content = shard.read_bytes()
        shard.write_bytes(content[: int(kept if kept != 0.5 else len(content) // 2)])
    with (
        open_source(public_place.urls(name)[2], Path(), TRUSTED) as source,
        pytest.raises((DataError, InputError, StorageError)),
    ):
        source.read(0, 21)


def test_a_server_that_sends_whole_files_is_told_so(public_place: PublicPlace) -> None:
    """As `python -m http.server` does; chunks of their own are read from it."""
    public_place.ranges = False
    written(public_place, "v")
    with open_source(public_place.urls("v")[2], Path(), TRUSTED) as source:
        np.testing.assert_array_equal(source.read(0, 21), RAW)
    written(public_place, "sharded")
    with (
        open_source(public_place.urls("sharded")[2], Path(), TRUSTED) as source,
        pytest.raises(InputError, match="parts of files"),
    ):
        source.read(0, 21)


def test_chunks_that_are_stored_packed_are_unpacked(public_place: PublicPlace) -> None:
    """As cloud-volume uploads them: with the content encoding gzip."""
    folder = written(public_place, "v")
    for chunk in [path for path in folder.rglob("*") if path.is_file() and path.name != "info"]:
        chunk.with_name(f"{chunk.name}.gz").write_bytes(gzip.compress(chunk.read_bytes()))
        chunk.unlink()
    for url in public_place.urls("v"):
        with open_source(url, Path(), TRUSTED) as source:
            np.testing.assert_array_equal(source.read(0, 21), RAW)


@pytest.mark.parametrize("name", ["v:/em", "v", "sharded"])
def test_another_object_is_another_input(public_place: PublicPlace, tmp_path: Path, name: str) -> None:
    """Each object of the box counts, and no other."""
    folder = written(public_place, name)
    url = f"{public_place.urls(name)[2]}[0:8,0:32,0:64]"

    def content() -> list[Any]:
        return Inputs(str(tmp_path)).content(url, Path(), TRUSTED)

    first = content()
    assert content() == first
    objects = sorted(path for path in folder.rglob("*") if path.suffix != ".json" and path.is_file())
    changes = 0
    for path in objects:
        stored = path.read_bytes()
        path.write_bytes(stored + b" ")
        changes += content() != first
        path.write_bytes(stored)
    assert changes == (1 if name == "v:/em" else 2)  # a description is among them


# By mmh3 5.3.1, of eight bytes in little endian.
HASHES = {
    0: 5148371408780832321,
    1: 16770674756601302682,
    255: 5633939043138664346,
    2**32: 13524640716595723620,
    123456789012345678: 17467253898097015118,
    2**64 - 1: 6291360166951214362,
}


@pytest.mark.parametrize("number", HASHES)
def test_the_hash_is_murmurs(number: int) -> None:
    assert _murmur(number) == HASHES[number]


@given(data=st.data())
def test_chunks_have_different_numbers_that_fill_the_grid_of_powers_of_two(data: st.DataObject) -> None:
    lengths = data.draw(st.tuples(*[st.sampled_from((1, 2, 4, 8))] * 3))
    layout = layout_of({"key": "k", "size": lengths, "chunk_sizes": [[1, 1, 1]]})
    numbers = [layout.number(cell) for cell in np.ndindex(*lengths)]
    assert sorted(numbers) == list(range(len(numbers)))


@pytest.mark.parametrize("name", ["n5:/em", "sharded"])
def test_a_volume_of_a_million_million_voxels_is_segmented_at_once(
    public_place: PublicPlace, finished: Run, tmp_path: Path, name: str
) -> None:
    folder = public_place.folder / "bucket" / name.partition(":/")[0]
    shape = (10_000, 10_000, 10_000)
    if name == "sharded":
        write_precomputed(folder, shape=shape, hash="identity", preshift_bits=9, minishard_bits=6, shard_bits=15)
    else:
        write_n5(folder, shape=shape)
    before = public_place.bytes_sent
    url = public_place.urls(name)[2] + "[0:8,0:64,0:64]"
    prepare(finished.model_store("multilabel").url, url, str(tmp_path / "run"), intensity="as_trained")
    np.testing.assert_array_equal(whole(Run.open(tmp_path / "run").image("volume")), RAW[:8, :64, :64])
    assert public_place.bytes_sent - before <= 1.3 * RAW[:8, :64, :64].size
    assert public_place.requests < 120


def test_a_remote_volume_is_described(public_place: PublicPlace, vemseg: Callable[..., Finished]) -> None:
    written(public_place, "sharded")
    ended = vemseg("describe", public_place.urls("sharded")[2], "--no-picture")
    assert ended.code == 0, ended.text
    assert "40 × 8 × 8 nm" in ended.text
    assert "precomputed" in ended.text
