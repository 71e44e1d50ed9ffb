"""Labels on a coarse grid for renders: thin and rare classes stay, counts are those of full resolution.

The oracle merges windows one by one in plain Python.
"""

from __future__ import annotations

from collections import Counter
from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from tinylabels import labels_of

from pipeline.errors import InputError
from pipeline.volume.coarse import coarse_labels, rarest_of_windows
from pipeline.volume.geometry import Block

CLASSES = [(1, "much", "#5b6b7b"), (2, "thin", "#e6194b"), (3, "grain", "#3cb44b")]


@given(
    ids=arrays(np.uint8, (4, 6, 4), elements=st.integers(0, 3)),
    factors=st.sampled_from([(1, 2, 2), (2, 2, 2), (2, 1, 1)]),
    order=st.permutations([1, 2, 3]),
)
def test_a_window_gets_the_rarest_label_of_those_that_fill_a_quarter(
    ids: NDArray[np.uint8], factors: tuple[int, int, int], order: list[int]
) -> None:
    ranks = np.zeros(2**16, np.uint32)
    ranks[[*order, 0]] = range(4)
    merged = rarest_of_windows(ids, factors, ranks)
    for at in np.ndindex(merged.shape):
        window = ids[tuple(slice(i * f, (i + 1) * f) for i, f in zip(at, factors, strict=True))]
        enough = [label for label, count in Counter(window.ravel().tolist()).items() if 4 * count >= window.size]
        if enough:
            assert merged[at] == min(enough, key=ranks.__getitem__)


def test_a_sheet_of_one_voxel_and_a_grain_stay(tmp_path: Path) -> None:
    ids = np.ones((8, 32, 32), np.uint8)
    ids[:, :, 13] = 2
    ids[4:6, 20:22, 20:22] = 3
    coarse = coarse_labels(labels_of(tmp_path, ids, CLASSES, (20.0, 10.0, 10.0)), 1100)
    assert coarse.ids.size <= 1100
    assert prod(coarse.voxel_size_nm) * coarse.ids.size == prod((20.0, 10.0, 10.0)) * ids.size
    assert coarse.voxels == {label: int((ids == label).sum()) for label in (1, 2, 3)}
    assert (coarse.ids == 2).any(axis=2).all(), "the sheet has holes"
    assert (coarse.ids == 3).any()


def test_a_region_is_cut_out(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 4, (6, 20, 20), np.uint8)
    region = Block((1, 3, 5), (5, 17, 19))
    coarse = coarse_labels(labels_of(tmp_path, ids, CLASSES, (30.0, 10.0, 10.0)), 10**6, region)
    np.testing.assert_array_equal(coarse.ids, ids[region.slices])


def test_labels_of_four_bytes_are_refused(tmp_path: Path) -> None:
    ids = np.ones((2, 4, 4), np.uint8)
    volume = labels_of(tmp_path, ids, CLASSES, (30.0, 10.0, 10.0))
    with pytest.raises(InputError, match="two bytes"):
        coarse_labels(volume, 100, None, lambda values: values.astype(np.uint32))
