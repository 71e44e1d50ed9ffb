"""Images at another voxel size, against plain twins: means of windows, numpy's interpolation, one block at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.volume.geometry import Block, Geometry
from pipeline.volume.multiscale import Volume
from pipeline.volume.omezarr import create_image
from pipeline.volume.resampling import resample, resampled_block, resampled_geometry
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
