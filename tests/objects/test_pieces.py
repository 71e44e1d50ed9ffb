"""Pieces counted block by block are those of the whole volume at once (scipy), whatever the blocks."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import label

from pipeline.objects.pieces import piece_sizes, pieces_as_objects

SIDES = st.tuples(*[st.integers(1, 9)] * 3)


@given(SIDES.flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 3))), SIDES)
def test_pieces_do_not_depend_on_blocks(ids: np.ndarray, block_zyx: tuple[int, int, int]) -> None:
    found = piece_sizes(lambda block: ids[block.slices], ids.shape, block_zyx)
    assert set(found) == set(np.unique(ids)) - {0}
    for value, sizes in found.items():
        numbers, _ = label(ids == value)
        np.testing.assert_array_equal(sizes, np.sort(np.bincount(numbers.ravel())[1:])[::-1])


def test_a_piece_may_wind_through_many_blocks() -> None:
    ids = np.zeros((1, 40, 40), np.uint8)
    ids[0, ::2] = 1  # a snake: rows, joined at alternating ends
    ids[0, 1::4, -1] = ids[0, 3::4, 0] = 1
    found = piece_sizes(lambda block: ids[block.slices], ids.shape, (1, 7, 3))
    assert found[1].tolist() == [np.count_nonzero(ids)]


def test_specks_are_no_objects_whatever_the_blocks() -> None:
    """Pieces of 100 and 3200 voxels, and a single voxel: less than a thousandth of what is usual, 3107."""
    mask = np.zeros((3, 60, 60), bool)
    mask[0, 0, 59] = True
    mask[0, 5:15, 5:15] = mask[1:, 20:, 20:] = True
    for block_zyx in ((3, 60, 60), (1, 7, 9)):
        numbers = np.zeros(mask.shape, np.int64)
        for block, part in pieces_as_objects(lambda block: mask[block.slices], mask.shape, block_zyx):
            numbers[block.slices] = part
        assert np.bincount(numbers.ravel())[1:].tolist() == [100, 3200]
        assert numbers[0, 0, 59] == 0
