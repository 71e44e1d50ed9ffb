"""Coarser levels: exact means of images and modes of labels, along the axes that the anisotropy asks for.

Slow loops over every window are the judge. Validity of the metadata is tested with the volumes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.volume.geometry import Geometry, Zyx, tile
from pipeline.volume.omezarr import create_labels
from pipeline.volume.pyramid import build_pyramid, mean_of_windows, mode_of_windows, pyramid_factors
from pipeline.volume.stores import Store

factors = st.tuples(*[st.sampled_from([1, 2])] * 3)
shapes = arrays.array_shapes(min_dims=3, max_dims=3, max_side=5)


def window_by_window(data: np.ndarray, by: Zyx, summary: Callable[[np.ndarray], object]) -> np.ndarray:
    shape = [-(-n // f) for n, f in zip(data.shape, by, strict=True)]
    out = np.empty(shape, data.dtype)
    for index in product(*map(range, shape)):
        out[index] = summary(data[tuple(slice(i * f, i * f + f) for i, f in zip(index, by, strict=True))])
    return out


def mode(window: np.ndarray) -> int:
    votes = Counter(window.ravel().tolist())
    return min(votes, key=lambda value: (-votes[value], value == 0, value))


@given(arrays.arrays(np.uint8, shapes, elements=st.integers(0, 3)), factors)
def test_the_mode_of_a_window_is_its_most_frequent_id(data: np.ndarray, by: Zyx) -> None:
    np.testing.assert_array_equal(mode_of_windows(data, by), window_by_window(data, by, mode))


@given(arrays.arrays(np.uint32, shapes, elements=st.sampled_from([0, 1, 3, 5, 2**31 + 1])), factors)
def test_bit_masks_are_never_mixed(data: np.ndarray, by: Zyx) -> None:
    coarse = mode_of_windows(data, by)
    np.testing.assert_array_equal(coarse, window_by_window(data, by, mode))
    assert set(coarse.ravel()) <= set(data.ravel())


@given(arrays.arrays(st.sampled_from([np.uint8, np.uint16]), shapes), factors)
def test_the_mean_of_integers_is_rounded_half_up(data: np.ndarray, by: Zyx) -> None:
    expected = window_by_window(data, by, lambda window: np.floor(window.mean(dtype=float) + 0.5))
    np.testing.assert_array_equal(mean_of_windows(data, by), expected)


@given(arrays.arrays(np.float32, shapes, elements=st.floats(-1e6, 1e6, width=32)), factors)
def test_the_mean_of_floats_is_their_mean(data: np.ndarray, by: Zyx) -> None:
    expected = window_by_window(data, by, lambda window: window.mean(dtype=float))
    np.testing.assert_allclose(mean_of_windows(data, by), expected, rtol=1e-6, atol=1e-30)


def factors_of_all_levels(geometry: Geometry, chunk: Zyx) -> list[Zyx]:
    found = []
    while (step := pyramid_factors(geometry, chunk)) != (1, 1, 1):
        found.append(step)
        geometry = geometry.coarser(step)
    return found


@pytest.mark.parametrize(
    ("shape", "size_nm", "expected"),
    [
        ((512, 512, 512), (8, 8, 8), [(2, 2, 2)] * 3),
        ((64, 1024, 1024), (50, 4.6, 4.6), [(1, 2, 2)] * 3 + [(2, 2, 2)]),
        ((64, 1024, 1024), (5, 20, 20), [(2, 1, 1), (2, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2)]),
        ((1, 512, 512), (5, 5, 5), [(1, 2, 2)] * 3),
        ((1, 1, 1), (5, 5, 5), []),
        ((64, 64, 64), (5, 5, 5), []),
    ],
)
def test_axes_are_halved_until_voxels_are_near_isotropic_then_together(
    shape: Zyx, size_nm: tuple[float, float, float], expected: list[Zyx]
) -> None:
    assert factors_of_all_levels(Geometry(shape, size_nm), (64, 64, 64)) == expected


def test_levels_built_by_shards_equal_the_whole_volume_at_once(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 4, (11, 50, 37)).astype(np.uint8)
    volume = create_labels(
        Store.open(tmp_path),
        "truth",
        geometry=Geometry(data.shape, (10, 5, 5)),  # type: ignore[arg-type]
        dtype="uint8",
        classes=[],
        chunk_zyx=(2, 4, 8),
        shard_zyx=(4, 8, 16),
    )
    for block in tile(volume.geometry.block, volume.shard_zyx):
        volume.write(block, data[block.slices])
    volume = build_pyramid(volume)
    assert len(volume.levels) == 5
    for finer, level in zip(volume.levels, volume.levels[1:], strict=False):
        step = pyramid_factors(finer.geometry, volume.chunk_zyx)
        data = mode_of_windows(data, step)
        np.testing.assert_array_equal(level.read(level.geometry.block), data)
