"""A box and a level are read as volumes of their own, lie where they were, and cost no more than they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from objectserver import PublicPlace, serving
from tinystudy import Finished, place, tissue, whole

from pipeline.errors import DataError, InputError
from pipeline.run.inputs import Inputs
from pipeline.run.layout import Run
from pipeline.steps.prepare import prepare
from pipeline.volume.geometry import Geometry
from pipeline.volume.greymeter import SAMPLED_VOXELS
from pipeline.volume.omezarr import create_image
from pipeline.volume.pyramid import build_pyramid
from pipeline.volume.sources import STRANGER, TRUSTED, open_source
from pipeline.volume.sources.base import Location
from pipeline.volume.sources.cut import cut_text
from pipeline.volume.stores import Store

RAW, _ = tissue((8, 96, 96), seed=2)
SIZE_NM = (40.0, 8.0, 8.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same volume in formats that are read by slices, and by chunks; the latter with levels."""
    made = tmp_path_factory.mktemp("cut")
    tifffile.imwrite(made / "pages.tif", RAW, photometric="minisblack")
    np.save(made / "run.npy", RAW)
    image = create_image(
        Store.open(made / "image.zarr", create=True),
        geometry=Geometry(RAW.shape, SIZE_NM),
        dtype="u1",
        name="image",
        chunk_zyx=(4, 16, 16),
        shard_zyx=(4, 16, 16),
    )
    image.write(image.geometry.block, RAW)
    build_pyramid(image)
    return made


@pytest.mark.parametrize("name", ["pages.tif", "run.npy", "image.zarr"])
@settings(max_examples=20)
@given(data=st.data())
def test_a_box_is_that_part_of_the_array(name: str, folder: Path, data: st.DataObject) -> None:
    ends = [sorted(data.draw(st.sets(st.integers(0, n), min_size=2, max_size=2))) for n in RAW.shape]
    box = ",".join(f"{start}:{stop}" for start, stop in ends)
    with open_source(f"{name}[{box}]", folder, TRUSTED) as source:
        z, y, x = (slice(*pair) for pair in ends)
        np.testing.assert_array_equal(source.read(0, source.shape_zyx[0]), RAW[z, y, x])
        assert source.origin_zyx == (z.start, y.start, x.start)


def test_nanometres_and_levels_are_of_the_volume_that_is_read(folder: Path) -> None:
    with open_source("image.zarr[80:240,80:400,8:88 nm]", folder, TRUSTED) as source:
        np.testing.assert_array_equal(source.read(0, 4), RAW[2:6, 10:50, 1:11])
    with open_source("image.zarr[level 1]", folder, TRUSTED) as source:
        level, size_nm = source.read(0, source.shape_zyx[0]), source.voxel_size_nm
        assert level.shape < RAW.shape
        assert size_nm is not None
        assert np.multiply(level.shape, size_nm) == pytest.approx(np.multiply(RAW.shape, SIZE_NM), rel=0.1)
    with open_source("image.zarr[level 1][0:4,2:30,0:9]", folder, TRUSTED) as source:
        np.testing.assert_array_equal(source.read(0, 4), level[0:4, 2:30, 0:9])


@pytest.mark.parametrize(
    "location",
    [
        "image.zarr[0:9,0:96,0:96]",
        "image.zarr[4:4,0:96,0:96]",
        "image.zarr[5:4,0:96,0:96]",
        "image.zarr[0:1.5,0:96,0:96]",
        "pages.tif[0:80,0:80,0:80nm]",
        "pages.tif[level 1]",
        "image.zarr[level 9]",
        "image.zarr:/0[level 1]",
    ],
)
def test_a_part_that_is_not_there_is_refused(folder: Path, location: str) -> None:
    with pytest.raises(DataError), open_source(location, folder, TRUSTED):
        pass


@pytest.mark.parametrize("box", ["0:1", "a:b,0:1,0:1", "-1:3,0:1,0:1", "0:1,0:1,0:1um", "0-1,0-1,0-1"])
def test_a_box_that_is_none_is_refused(box: str) -> None:
    with pytest.raises(InputError):
        cut_text(0, box)


@pytest.mark.parametrize("name", ["stack[1].tif", "a[b]", "x[level]", "s3://bucket/a[1]", "cells [0:1]"])
def test_brackets_of_a_name_stay_in_it(name: str, tmp_path: Path) -> None:
    found = Location.parse(name, tmp_path)
    assert found.cut.text == ""
    assert name in (found.url, str(found.path and found.path.relative_to(tmp_path)))


def test_another_box_is_another_input(folder: Path, tmp_path: Path) -> None:
    seen = [
        Inputs(str(tmp_path)).content(f"image.zarr{cut}", folder, STRANGER)
        for cut in ("", "[0:2,0:9,0:9]", "[level 1]")
    ]
    assert len({str(each) for each in seen}) == 3


@pytest.mark.parametrize("giver", ["trusted", "untrusted"])
def test_a_box_is_segmented_where_it_lies(
    folder: Path, finished: Run, vemseg: Callable[..., Finished], tmp_path: Path, giver: str
) -> None:
    """Also one that stands behind the place, as the application gives it."""
    box = "2:6,16:80,0:64"
    words = ["--input", folder / "image.zarr", "--box", box, "--run", tmp_path / "run"]
    if giver == "untrusted":
        words = ["--input", f"{folder}/image.zarr[{box}]", "--input-is", giver, "--run", tmp_path / "run"]
    ended = vemseg("prepare", "--model", finished.model_store("multilabel").url, *words)
    assert ended.code == 0, ended.text
    image = Run.open(tmp_path / "run").image("volume")
    np.testing.assert_array_equal(whole(image), RAW[2:6, 16:80, :64])
    assert image.geometry.translation_nm == (80.0, 128.0, 0.0)


@pytest.fixture
def huge(tmp_path: Path) -> Iterator[PublicPlace]:
    """A store that declares 10^12 voxels, of which a few chunks are there."""
    array = zarr.create_array(
        tmp_path / "served" / "huge.zarr",
        shape=(10_000, 10_000, 10_000),
        chunks=(64, 64, 64),
        dtype="u1",
        dimension_names=("z", "y", "x"),
    )
    array[640:768, 128:256, 128:256] = np.tile(RAW, (16, 2, 2))[:, :128, :128]
    with serving(tmp_path / "served") as server:
        yield server


def test_a_box_of_a_huge_remote_volume_costs_what_it_holds(huge: PublicPlace, finished: Run, tmp_path: Path) -> None:
    """Bytes are counted by the server; chunks are looked at, and taken in, but fetched once."""
    url = f"{huge.url}/huge.zarr[640:704,128:192,128:192]"
    run = tmp_path / "run"
    prepare(finished.model_store("multilabel").url, url, str(run), voxel_size_nm=SIZE_NM)
    np.testing.assert_array_equal(whole(Run.open(run).image("volume")), np.tile(RAW, (8, 1, 1))[:, :64, :64])
    chunk = (huge.folder / "huge.zarr/c/10/2/2").stat().st_size
    assert huge.bytes_sent <= 1.3 * chunk
    assert huge.requests < 60
    assert place(Run.open(run)) == run


@pytest.mark.parametrize("most_bytes", [2**28, 2**20])
def test_a_box_across_chunks_is_fetched_once(
    tmp_path: Path, finished: Run, monkeypatch: pytest.MonkeyPatch, most_bytes: int
) -> None:
    """Of more voxels than are all looked at, and with ends within chunks; also with less memory than it takes."""
    monkeypatch.setattr("pipeline.volume.fetched.REMEMBERED_BYTES", most_bytes)
    grey = np.random.default_rng(0).integers(0, 256, (128, 320, 320), np.uint8)
    served = tmp_path / "served"
    zarr.create_array(served / "v.zarr", data=grey, chunks=(64, 64, 64), dimension_names=("z", "y", "x"))
    box = (slice(5, 127), slice(3, 303), slice(10, 318))
    url = "v.zarr[" + ",".join(f"{side.start}:{side.stop}" for side in box) + "]"
    with serving(served) as server:
        prepare(
            finished.model_store("multilabel").url,
            f"{server.url}/{url}",
            str(tmp_path / "run"),
            voxel_size_nm=SIZE_NM,
            intensity="as_trained",
        )
    found = whole(Run.open(tmp_path / "run").image("volume"))
    np.testing.assert_array_equal(found, grey[box])
    assert found.size > SAMPLED_VOXELS
    needed = sum(path.stat().st_size for path in (served / "v.zarr" / "c").rglob("*") if path.is_file())
    assert server.bytes_sent <= (1.3 if most_bytes > needed else 3.5) * needed
