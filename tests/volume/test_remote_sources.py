"""Volumes in public places are read where they lie: without keys, by their own protocol, and only what is asked for."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr
from objectserver import PublicPlace
from tinystudy import Finished, tissue

from pipeline.errors import DataError, InputError
from pipeline.run.inputs import Inputs
from pipeline.volume.geometry import Block
from pipeline.volume.omezarr import Geometry, create_image
from pipeline.volume.sources import TRUSTED, open_source
from pipeline.volume.stores import Store

RAW, _ = tissue((8, 64, 96), seed=2)
SIZE_NM = (40.0, 8.0, 8.0)


@pytest.fixture
def public(public_place: PublicPlace) -> PublicPlace:
    """A bucket with an OME-Zarr image and a plain array of version 2."""
    bucket = public_place.folder / "bucket"
    image = create_image(
        Store.open(bucket / "image.zarr", create=True),
        geometry=Geometry(RAW.shape, SIZE_NM),
        dtype="u1",
        name="image",
        chunk_zyx=(4, 32, 32),
        shard_zyx=(4, 32, 32),
    )
    image.write(image.geometry.block, RAW)
    plain = zarr.create_array(bucket / "plain.zarr", shape=RAW.shape, chunks=(4, 32, 32), dtype="u1", zarr_format=2)
    plain[:] = RAW
    return public_place


@pytest.mark.parametrize("protocol", range(3), ids=["s3", "gs", "http"])
@pytest.mark.parametrize("name", ["image.zarr", "plain.zarr", "image.zarr:/0"])
def test_a_public_place_needs_no_keys(public: PublicPlace, name: str, protocol: int) -> None:
    public.lists = name != "image.zarr"
    with open_source(public.urls(name)[protocol], Path(), TRUSTED) as source:
        np.testing.assert_array_equal(source.read(0, 8), RAW)
        assert source.voxel_size_nm == (None if name == "plain.zarr" else SIZE_NM)


def test_only_the_chunks_that_are_asked_for_are_read(public: PublicPlace) -> None:
    for url in public.urls("plain.zarr"):
        with open_source(url, Path(), TRUSTED) as source:
            before = public.bytes_sent
            np.testing.assert_array_equal(source.read_block(Block((1, 3, 5), (3, 20, 30))), RAW[1:3, 3:20, 5:30])
            assert public.bytes_sent - before <= (public.folder / "bucket/plain.zarr/0.0.0").stat().st_size


def test_chunks_that_are_stored_packed_are_unpacked(public: PublicPlace) -> None:
    for chunk in (public.folder / "bucket/plain.zarr").glob("*.*.*"):
        chunk.with_name(f"{chunk.name}.gz").write_bytes(gzip.compress(chunk.read_bytes()))
        chunk.unlink()
    for url in public.urls("plain.zarr"):
        with open_source(url, Path(), TRUSTED) as source:
            np.testing.assert_array_equal(source.read(0, 8), RAW)


def test_what_fails_for_a_moment_is_asked_again(public: PublicPlace) -> None:
    for url in public.urls("plain.zarr"):
        public.failures = 2
        with open_source(url, Path(), TRUSTED) as source:
            public.failures = 2
            np.testing.assert_array_equal(source.read(0, 8), RAW)


def test_a_remote_file_is_not_taken_for_a_store(public: PublicPlace) -> None:
    with pytest.raises(DataError, match="download"), open_source(f"{public.url}/bucket/raw.tif", Path(), TRUSTED):
        pass


def test_a_level_of_a_pyramid_by_its_own_address_has_the_size_of_its_image(public: PublicPlace) -> None:
    for url in public.urls("image.zarr/0"):
        with open_source(url, Path(), TRUSTED) as source:
            assert source.voxel_size_nm == SIZE_NM


def test_what_is_not_there_is_said_to_be_so(public: PublicPlace) -> None:
    for url in public.urls("nothing.zarr"):
        with pytest.raises(InputError) as refused, open_source(url, Path(), TRUSTED):
            pass
        assert "free space" not in str(refused.value)
        assert "169.254" not in str(refused.value)


def test_keys_that_a_place_refuses_are_an_error_of_access(public: PublicPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody's")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")
    with pytest.raises(InputError, match="access denied"), open_source("s3://bucket/plain.zarr", Path(), TRUSTED):
        pass


@pytest.mark.parametrize("cut", ["", "[0:4,0:32,0:32]"])
def test_a_changed_object_changes_what_the_input_is(public: PublicPlace, tmp_path: Path, cut: str) -> None:
    def contents() -> list[list[object]]:
        return [Inputs(str(tmp_path)).content(url + cut, Path(), TRUSTED) for url in public.urls("plain.zarr")]

    first, again = contents(), contents()
    assert first == again
    for name in ("0.0.0", ".zattrs"):
        (public.folder / "bucket/plain.zarr" / name).write_bytes(b"{ }")
        changed = contents()
        assert all(one != other for one, other in zip(first, changed, strict=True))
        first = changed


def test_what_lies_outside_of_a_box_is_not_asked_for(public: PublicPlace, tmp_path: Path) -> None:
    urls = [f"{url}[0:4,0:32,0:32]" for url in public.urls("plain.zarr")]
    first = [Inputs(str(tmp_path)).content(url, Path(), TRUSTED) for url in urls]
    (public.folder / "bucket/plain.zarr/1.0.0").write_bytes(b"{}")
    assert first == [Inputs(str(tmp_path)).content(url, Path(), TRUSTED) for url in urls]


def test_results_do_not_go_to_a_web_server(public: PublicPlace) -> None:
    with pytest.raises(InputError, match="read only"):
        Store.open(f"{public.url}/bucket/run", create=True)


def test_an_inner_part_leads_nowhere_else(public: PublicPlace) -> None:
    with pytest.raises(InputError, match=r"\.\."), open_source("s3://bucket/image.zarr:/../x", Path(), TRUSTED):
        pass


def test_a_remote_volume_is_described_without_a_copy(public: PublicPlace, vemseg: Callable[..., Finished]) -> None:
    ended = vemseg("describe", f"{public.url}/bucket/image.zarr", "--no-picture")
    assert ended.code == 0, ended.text
    assert "40 × 8 × 8 nm" in ended.text


def test_a_truncated_chunk_is_no_tissue(public: PublicPlace) -> None:
    chunk = public.folder / "bucket/plain.zarr/0.0.0"
    chunk.write_bytes(chunk.read_bytes()[:20])
    for url in public.urls("plain.zarr"):
        with pytest.raises(DataError), open_source(url, Path(), TRUSTED) as source:
            source.read(0, 8)
