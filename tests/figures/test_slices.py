"""Proves that the slices are chosen as documented and that every voxel gets the colour of its class or error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import label2rgb

from pipeline.figures.slices import (
    ERROR_COLORS,
    ErrorKind,
    choose_slices,
    class_image,
    error_image,
    error_kinds,
    error_kinds_of_bits,
    grey_image,
    most_frequent,
    topmost_class,
)
from pipeline.scoring.confusion import ConfusionMatrix

COLORS = ("#4477aa", "#ee6677", "#ccbb44")


def rgb(color: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(color[1:]))


def slice_counts(accuracies, classes=None) -> list[ConfusionMatrix]:
    """One matrix a slice: so many per cent of each of its classes right, the rest taken for the next class."""
    matrices = []
    for i, right in enumerate(accuracies):
        counts = np.zeros((3, 4), np.int64)
        for k in range(classes[i] if classes else 3):
            counts[k, k + 1] = right
            counts[k, (k + 1) % 3 + 1] += 100 - right
        matrices.append(ConfusionMatrix(("a", "b", "c"), counts))
    return matrices


def test_worst_median_and_best_are_chosen_and_returned_in_order_of_the_stack():
    assert choose_slices(slice_counts([50, 90, 10, 70, 60])) == [(1, "best"), (2, "worst"), (4, "median")]


def test_slices_with_the_most_classes_come_before_those_with_fewer():
    chosen = choose_slices(slice_counts([99, 50, 1, 40, 45], classes=[1, 3, 2, 3, 3]))
    assert [c.position for c in chosen] == [1, 3, 4]
    chosen = choose_slices(slice_counts([99, 50, 70], classes=[1, 3, 2]), count=2)
    assert [c.position for c in chosen] == [1, 2]


def test_slices_without_labels_are_never_chosen():
    empty = ConfusionMatrix(("a", "b", "c"))
    assert choose_slices([empty, *slice_counts([50]), empty]) == [(1, "")]
    assert choose_slices([empty]) == choose_slices([]) == []


@given(
    accuracies=st.lists(st.integers(0, 100), min_size=1, max_size=12),
    count=st.integers(0, 15),
    data=st.data(),
)
def test_never_more_than_asked_for_never_twice_and_always_the_same(accuracies, count, data):
    classes = data.draw(st.lists(st.integers(0, 3), min_size=len(accuracies), max_size=len(accuracies)))
    counts = slice_counts(accuracies, classes)
    chosen = choose_slices(counts, count)
    positions = [c.position for c in chosen]
    assert len(positions) == min(count, sum(k > 0 for k in classes))
    assert positions == sorted(set(positions))
    assert chosen == choose_slices(counts, count)


@given(seed=st.integers(0, 2**32), background=st.integers(1, 3))
def test_error_kinds_are_those_of_a_plain_loop(seed, background):
    truth, predicted = np.random.default_rng(seed).integers(0, 4, (2, 6, 7)).astype(np.uint8)
    kinds = error_kinds(truth, predicted, background)
    for t, p, kind in zip(truth.ravel(), predicted.ravel(), kinds.ravel(), strict=True):
        if t in (0, p):
            expected = 0
        elif p == 0:
            expected = ErrorKind.NOT_PREDICTED
        elif p == background:
            expected = ErrorKind.MISSED
        else:
            expected = ErrorKind.INVENTED if t == background else ErrorKind.CONFUSED
        assert kind == expected


@given(seed=st.integers(0, 2**32))
def test_error_kinds_of_bits_are_those_of_sets(seed):
    truth, predicted = np.random.default_rng(seed).integers(0, 16, (2, 6, 7), dtype=np.uint32)
    kinds = error_kinds_of_bits(truth, predicted)
    for t, p, kind in zip(truth.ravel().tolist(), predicted.ravel().tolist(), kinds.ravel(), strict=True):
        has, seen = ({k for k in (1, 2, 3) if bits >> k & 1} for bits in (t, p))
        if not t & 1:
            expected = 0
        elif not p & 1:
            expected = ErrorKind.NOT_PREDICTED
        elif has - seen and seen - has:
            expected = ErrorKind.CONFUSED
        else:
            expected = ErrorKind.MISSED if has - seen else ErrorKind.INVENTED if seen - has else 0
        assert kind == expected


@given(seed=st.integers(0, 2**32))
def test_the_topmost_class_is_the_last_that_a_labelled_voxel_has(seed):
    bits = np.random.default_rng(seed).integers(0, 16, 50, dtype=np.uint32)
    expected = [max((k for k in (1, 2, 3) if b >> k & 1), default=0) if b & 1 else 0 for b in bits.tolist()]
    assert topmost_class(bits, 3).tolist() == expected


@given(seed=st.integers(0, 2**32))
def test_class_images_are_scikit_images_label2rgb(seed):
    rng = np.random.default_rng(seed)
    ids, raw = rng.integers(0, 4, (5, 6)).astype(np.uint8), rng.integers(0, 256, (5, 6)).astype(np.uint8)
    ids.flat[:4] = range(4)  # label2rgb gives its colours to the labels that occur
    grey = grey_image(raw)
    colors = [[channel / 255 for channel in rgb(color)] for color in COLORS]
    expected = label2rgb(ids, grey, colors=colors, alpha=1, image_alpha=1, bg_label=0, bg_color=None)
    found = ids > 0
    image = class_image(ids, COLORS, grey)
    np.testing.assert_allclose(image[found], 255 * expected[found], atol=0.5)
    assert np.array_equal(image[~found], grey[~found])


def test_errors_stand_out_from_any_grey():
    kinds = np.repeat(np.arange(5, dtype=np.uint8), 3)[None]
    grey = np.repeat(np.tile(np.array([0, 128, 255], np.uint8), 5)[None, :, None], 3, axis=2)
    image = error_image(kinds, grey)[0]
    for kind, color in ERROR_COLORS.items():
        assert {tuple(pixel) for pixel in image[kinds[0] == kind]} == {rgb(color)}
    assert image[kinds[0] == 0].min() >= 150


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_grey_stretches_any_type_and_ignores_outliers(dtype):
    raw = np.linspace(40, 90, 10_000).astype(dtype).reshape(100, 100)
    raw[0, 0] = 120
    grey = grey_image(raw)
    assert grey.shape == (100, 100, 3)
    assert (grey.min(), grey.max()) == (0, 255)
    assert 110 < grey.mean() < 145


def test_grey_of_constant_or_not_finite_data_is_a_picture():
    assert grey_image(np.full((3, 4), 7, np.uint8)).dtype == np.uint8
    assert grey_image(np.full((3, 4), np.nan, np.float32)).max() == 0


def test_the_most_frequent_class_ignores_what_is_not_labelled():
    assert most_frequent(np.array([0, 0, 0, 3, 3, 2], np.uint8)) == 3
    assert most_frequent(np.array([2, 1], np.uint8)) == 1
    assert most_frequent(np.zeros(4, np.uint8)) == 0
