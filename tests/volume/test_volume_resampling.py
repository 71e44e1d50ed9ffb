"""Images at another voxel size, against plain twins: means of windows, numpy's interpolation, one block at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.volume.geometry import Block, Geometry, tile
from pipeline.volume.omezarr import Volume, create_image, create_labels
from pipeline.volume.resampling import bring_back, nearest_block, resample, resampled_block, resampled_geometry
from pipeline.volume.stores import Store

SIZE_NM = (40.0, 8.0, 8.0)
SHAPE = (6, 20, 24)
VALUES = np.random.default_rng(0).uniform(0, 255, SHAPE).astype(np.float32)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Volume:
    store = Store.open(tmp_path_factory.mktemp("image"), create=True)
    volume = create_image(
        store, geometry=Geometry(SHAPE, SIZE_NM), dtype="float32", name="image", chunk_zyx=SHAPE, shard_zyx=SHAPE
    )
    volume.write(volume.geometry.block, VALUES)
    return volume


def at(image: Volume, size_nm: tuple[float, float, float]) -> np.ndarray:
    geometry = resampled_geometry(image.geometry, size_nm)
    return resampled_block(image, geometry, geometry.block)


def test_whole_factors_are_means_of_windows(image: Volume) -> None:
    windows = VALUES.reshape(3, 2, 5, 4, 8, 3)
    np.testing.assert_allclose(at(image, (80, 32, 24)), windows.mean((1, 3, 5)), rtol=1e-5)


def test_finer_voxels_are_interpolated(image: Volume) -> None:
    positions = (np.arange(48) + 0.5) * 0.5 - 0.5
    wanted = np.apply_along_axis(lambda row: np.interp(positions, np.arange(24), row), 2, VALUES)
    np.testing.assert_allclose(at(image, (40, 8, 4)), wanted, rtol=1e-5)


def test_the_same_size_changes_nothing(image: Volume) -> None:
    np.testing.assert_array_equal(at(image, SIZE_NM), VALUES)


@given(ratios=st.tuples(*[st.floats(0.2, 5)] * 3), seed=st.integers(0, 2**16))
def test_a_block_is_a_piece_of_the_whole(image: Volume, ratios: tuple[float, float, float], seed: int) -> None:
    z, y, x = (size * ratio for size, ratio in zip(SIZE_NM, ratios, strict=True))
    geometry = resampled_geometry(image.geometry, (z, y, x))
    whole = resampled_block(image, geometry, geometry.block)
    assert whole.shape == geometry.shape_zyx
    assert VALUES.min() - 1e-2 <= whole.min() <= whole.max() <= VALUES.max() + 1e-2
    rng = np.random.default_rng(seed)
    starts = [int(rng.integers(0, n)) for n in geometry.shape_zyx]
    stops = [int(rng.integers(start + 1, n + 1)) for start, n in zip(starts, geometry.shape_zyx, strict=True)]
    block = Block(starts, stops)
    np.testing.assert_allclose(resampled_block(image, geometry, block), whole[block.slices], rtol=1e-4, atol=1e-3)


def test_both_grids_begin_at_one_edge(image: Volume) -> None:
    coarse = resampled_geometry(image.geometry, (80, 24, 4))
    edges = [shift - size / 2 for shift, size in zip(coarse.translation_nm, coarse.voxel_size_nm, strict=True)]
    assert edges == pytest.approx([-size / 2 for size in SIZE_NM])
    assert resampled_geometry(image.geometry, (80, 16, 16)) == image.geometry.coarser((2, 2, 2))


def test_a_volume_is_written_with_its_levels(image: Volume, tmp_path: Path) -> None:
    out = resample(image, Store.open(tmp_path / "out", create=True), (40, 4, 4))
    np.testing.assert_array_equal(out.read(out.geometry.block), at(image, (40, 4, 4)))
    assert out.geometry.voxel_size_nm == (40, 4, 4)


def test_sizes_too_far_apart_are_refused(image: Volume) -> None:
    with pytest.raises(InputError, match="check both sizes"):
        resampled_geometry(image.geometry, (40, 8, 0.9))


@pytest.fixture(scope="module")
def ids(tmp_path_factory: pytest.TempPathFactory) -> Volume:
    """Labels beyond 2^53, which no float holds."""
    store = Store.open(tmp_path_factory.mktemp("ids"), create=True)
    volume = create_labels(
        store, "ids", geometry=Geometry(SHAPE, SIZE_NM), dtype="uint64", classes=[], chunk_zyx=SHAPE, shard_zyx=SHAPE
    )
    values = np.random.default_rng(1).integers(2**63, 2**64, SHAPE, np.uint64, endpoint=False)
    volume.write(volume.geometry.block, values)
    return volume


@given(ratios=st.tuples(*[st.floats(0.13, 7)] * 3), lengths=st.tuples(*[st.integers(1, 30)] * 3), cut=st.integers(1, 9))
def test_ids_come_back_exactly_from_the_voxel_that_holds_each_centre(
    ids: Volume, ratios: tuple[float, float, float], lengths: tuple[int, int, int], cut: int
) -> None:
    """The slow twin: each voxel for itself. However it is cut into blocks, and whatever the length that was rounded."""
    z, y, x = (size * ratio for size, ratio in zip(SIZE_NM, ratios, strict=True))
    geometry = Geometry(lengths, (z, y, x))
    found = np.zeros(lengths, np.uint64)
    for block in tile(geometry.block, (cut, cut, cut)):
        found[block.slices] = nearest_block(ids, geometry, block)
    stored = ids.read(ids.geometry.block)
    for place in np.ndindex(*lengths):
        source = tuple(min(int((k + 0.5) * r), n - 1) for k, r, n in zip(place, ratios, SHAPE, strict=True))
        assert found[place] == stored[source]


def test_probabilities_come_back_by_interpolation_ids_by_the_nearest(ids: Volume, tmp_path: Path) -> None:
    z, y, x = SHAPE
    fine = Geometry((z, 2 * y, 2 * x), (40, 4, 4))
    grid = {"chunk_zyx": (2, 16, 16), "shard_zyx": (4, 32, 32)}
    place = Store.open(tmp_path / "a", create=True)
    back = bring_back(ids, create_labels(place, "i", geometry=fine, dtype="uint64", classes=[], **grid))
    np.testing.assert_array_equal(back.read(fine.block), ids.read(ids.geometry.block).repeat(2, 1).repeat(2, 2))
    coarse = create_image(
        Store.open(tmp_path / "b", create=True),
        geometry=Geometry(SHAPE, SIZE_NM),
        dtype="uint8",
        name="p",
        channels=("a", "b"),
        chunk_zyx=SHAPE,
        shard_zyx=SHAPE,
    )
    values = np.stack([VALUES, 255 - VALUES]).astype(np.uint8)
    coarse.write(coarse.geometry.block, values)
    store = Store.open(tmp_path / "c", create=True)
    fine_p = bring_back(
        coarse, create_image(store, geometry=fine, dtype="uint8", name="p", channels=("a", "b"), **grid)
    )
    wanted = values.astype(float)
    for axis, n in ((2, y), (3, x)):
        positions = (np.arange(2 * n) + 0.5) * 0.5 - 0.5
        wanted = np.apply_along_axis(lambda row, at=positions: np.interp(at, np.arange(len(row)), row), axis, wanted)
    np.testing.assert_allclose(fine_p.read(fine.block), wanted, atol=0.51)
