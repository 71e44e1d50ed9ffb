"""Scores of objects against scikit-image, a slow plain twin and numbers of published implementations."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from skimage.metrics import adapted_rand_error, contingency_table, variation_of_information

from pipeline.errors import DataError, InputError
from pipeline.scoring.object_scores import RESAMPLES, ObjectCounts, ObjectScores, from_json, matches, object_counts
from pipeline.scoring.overlaps import Overlaps, disjoint, overlaps

LARGE = 2**53
SHAPES = st.tuples(*[st.integers(1, 6)] * 3)


def blobs(shape: tuple[int, int, int], seed: int, objects: int = 6) -> np.ndarray:
    """Objects in layers, with nothing between some of them; small ids."""
    random = np.random.default_rng(seed)
    ids = random.integers(0, objects, shape, np.uint64)
    return np.repeat(ids[..., : (shape[2] + 1) // 2], 2, axis=2)[..., : shape[2]]


def counted(truth: np.ndarray, predicted: np.ndarray, scored: np.ndarray | None = None) -> Overlaps:
    inside = np.ones(truth.shape, bool) if scored is None else scored
    return overlaps(truth, predicted, np.pad(inside, 1))


def score(truth: np.ndarray, predicted: np.ndarray) -> ObjectScores:
    return object_counts(counted(truth, predicted)).scores()


@given(SHAPES, st.integers(0, 99))
def test_overlaps_are_scikit_image_s_contingency_table(shape: tuple[int, int, int], seed: int) -> None:
    truth, predicted = blobs(shape, seed), blobs(shape, seed + 1)
    expected = contingency_table(truth.astype(int), predicted.astype(int), sparse_type="array").toarray()
    expected[0, 0] = 0
    found = counted(truth + np.uint64(LARGE) * (truth > 0), predicted)
    rows, columns = found.pairs.T
    rows = np.where(rows > 0, rows - np.uint64(LARGE), np.uint64(0)).astype(int)
    table = csr_array((found.voxels, (rows, columns.astype(int))), shape=expected.shape).toarray()
    np.testing.assert_array_equal(table, expected)


@settings(deadline=None)
@given(SHAPES, st.tuples(*[st.integers(1, 4)] * 3), st.integers(0, 99), st.randoms())
def test_blocks_in_any_order_give_the_overlaps_of_the_whole(shape, block, seed, shuffler) -> None:  # type: ignore[no-untyped-def]
    truth, predicted = blobs(shape, seed), blobs(shape, seed + 1)
    scored = np.pad(np.random.default_rng(seed).random(shape) < 0.8, 1)
    whole = overlaps(truth, predicted, scored)
    starts = list(product(*(range(0, n, b) for n, b in zip(shape, block, strict=True))))
    shuffler.shuffle(starts)
    found = Overlaps.none()
    for start in starts:
        part = tuple(slice(a, a + b) for a, b in zip(start, block, strict=True))
        around = tuple(slice(a, min(a + b, n) + 2) for a, b, n in zip(start, block, shape, strict=True))
        found += overlaps(truth[part], predicted[part], scored[around])
    for key in ("pairs", "voxels", "cut_truth", "cut_predicted"):
        np.testing.assert_array_equal(getattr(found, key), getattr(whole, key), key)


@settings(deadline=None)
@given(SHAPES, st.integers(0, 99))
def test_splits_and_merges_are_those_of_scikit_image(shape: tuple[int, int, int], seed: int) -> None:
    """Of voxels in an object of both: scikit-image would take what was missed for one object of the prediction."""
    truth, predicted = blobs(shape, seed), blobs(shape, seed + 1)
    both = (truth > 0) & (predicted > 0)
    found = score(truth, predicted).values
    if not both.any():
        assert found["vi_split_bits"] is None
        assert found["adapted_rand_error"] is None
        return
    one, other = truth[both].astype(int), predicted[both].astype(int)
    split, merge = variation_of_information(one, other)
    assert found["vi_split_bits"] == pytest.approx(split, abs=1e-9)
    assert found["vi_merge_bits"] == pytest.approx(merge, abs=1e-9)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = adapted_rand_error(one, other)[0]
    assert found["adapted_rand_error"] == (None if np.isnan(error) else pytest.approx(error, abs=1e-9))


def twin(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float | None]:
    """Every pair of masks, and the assignment with the most matches; for all thresholds anew."""
    ours, theirs = (np.setdiff1d(ids, [0]) for ids in (truth, predicted))
    iou = np.array(
        [
            [(np.sum((truth == a) & (predicted == b)) / np.sum((truth == a) | (predicted == b))) for b in theirs]
            for a in ours
        ]
    ).reshape(len(ours), len(theirs))
    scores: dict[str, float | None] = {}
    precisions = []
    for threshold in range(50, 100, 5):
        wanted = iou >= threshold / 100 - 1e-9
        pairs = linear_sum_assignment(-(wanted + iou / 1e3))
        tp = int(wanted[pairs].sum())
        both = len(ours) + len(theirs)
        precisions.append(tp / (both - tp) if both else None)
        scores[f"ap_{threshold}"] = precisions[-1]
        if threshold == 50:
            quality = float(iou[pairs][wanted[pairs]].mean()) if tp else None
            rq = 2 * tp / both if both else None
            scores |= {"f1": rq, "rq": rq, "sq": quality, "pq": rq * quality if tp else rq}
    scores["ap"] = None if None in precisions else float(np.mean(precisions))
    return scores


@settings(deadline=None)
@given(SHAPES, st.integers(0, 99), st.sampled_from([0.05, 0.3, 1.0]))
def test_matching_is_that_of_a_plain_twin(shape: tuple[int, int, int], seed: int, noise: float) -> None:
    truth = blobs(shape, seed)
    predicted = np.where(np.random.default_rng(seed).random(shape) < noise, blobs(shape, seed + 1), truth)
    found = score(truth, predicted).values
    for name, value in twin(truth, predicted).items():
        assert found[name] == (None if value is None else pytest.approx(value)), name


def test_two_halves_of_an_object_are_one_match() -> None:
    truth, predicted = np.full((1, 1, 4), 7, np.uint64), np.array([[[3, 3, 9, 9]]], np.uint64)
    for one, other in ((truth, predicted), (predicted, truth)):
        found = score(one, other)
        assert sum(found.counts.matched) == 1
        assert found.values["f1"] == pytest.approx(2 / 3)
    match = matches(counted(truth, predicted))
    assert match.predicted.tolist() == [0]
    assert match.iou.tolist() == [0.5]


def test_thresholds_are_met_exactly() -> None:
    """11/20 is .55 although the float .55 is larger than 11/20 would need it to be."""
    for twentieth in range(10, 21):
        truth = np.zeros((1, 1, 20), np.uint64)
        truth[...] = 1
        predicted = truth.copy()
        predicted[..., twentieth:] = 0
        found = score(truth, predicted).values
        for threshold in range(10, 20):
            assert found[f"ap_{5 * threshold}"] == float(twentieth >= threshold)


def test_perfect_empty_missed_and_invented() -> None:
    some, nothing = blobs((3, 4, 5), 0), np.zeros((3, 4, 5), np.uint64)
    perfect = score(some, some).values
    assert [perfect[name] for name in ("f1", "ap", "pq", "sq", "count_ratio")] == [1, 1, 1, 1, 1]
    assert [perfect[name] for name in ("vi_split_bits", "vi_merge_bits", "adapted_rand_error")] == [0, 0, 0]
    assert set(score(nothing, nothing).values.values()) == {None}
    missed, invented = score(some, nothing).values, score(nothing, some).values
    assert missed["precision"] is None
    assert [missed[name] for name in ("recall", "f1", "ap", "pq", "count_ratio")] == [0, 0, 0, 0, 0]
    assert invented["recall"] is None
    assert [invented[name] for name in ("precision", "f1", "ap", "pq")] == [0, 0, 0, 0]


def test_objects_that_touch_what_is_not_scored_are_cut() -> None:
    truth = np.zeros((3, 5, 9), np.uint64)
    truth[1, 2, 1:3], truth[1, 2, 4:6], truth[:, 2, 7] = 1, 2, 3
    scored = np.ones(truth.shape, bool)
    scored[1, 2, 6] = False
    found = counted(truth, np.where(truth == 1, truth, 0), scored)
    assert found.truth[0].tolist() == [1, 2, 3]
    assert found.cut_truth.tolist() == [2, 3]  # beside a voxel that is not labelled; at the volume's face
    assert found.cut_predicted.tolist() == []
    assert object_counts(found).cut_true == 2


def test_captures_are_put_together_without_joining_their_objects() -> None:
    first, second = blobs((3, 4, 5), 0), blobs((3, 4, 5), 3)
    both = disjoint([counted(first, second), counted(second, first), counted(first, first)])
    shifted = [ids + np.uint64(100 * n) * (ids > 0) for n, ids in enumerate((first, second, first))]
    others = [ids + np.uint64(100 * n) * (ids > 0) for n, ids in enumerate((second, first, first))]
    whole = counted(*(np.stack(ids).reshape(9, 4, 5) for ids in (shifted, others)))
    assert object_counts(both).matched == object_counts(whole).matched
    assert object_counts(both).voxel_pairs == object_counts(whole).voxel_pairs
    assert object_counts(both).split_bits == pytest.approx(object_counts(whole).split_bits)


def test_intervals_hold_the_scores_and_narrow_with_the_number_of_objects() -> None:
    few = ObjectCounts(12, 14, 0, 0, (0, 1, 0, 2, 0, 3, 0, 2, 1, 0), (0, 0.56, 0, 1.3, 0, 2.3, 0, 1.74, 0.92, 0),
                       9, 0.1, 0.2, (4, 5, 6)).scores()  # fmt: skip
    many = ObjectCounts(1200, 1400, 0, 0, tuple(100 * n for n in few.counts.matched),
                        tuple(100 * n for n in few.counts.iou_sum), 9, 0.1, 0.2, (4, 5, 6)).scores()  # fmt: skip
    for name in ("precision", "recall", "f1", "pq", "sq", "ap", "ap_50", "ap_75", "count_ratio"):
        value = many.values[name]
        assert few.values[name] == pytest.approx(value)
        (low, high), (lower, higher) = many.intervals[name], few.intervals[name]  # type: ignore[misc]
        assert lower < low < value < high < higher
    # Wilson (1927), 9 of 12: from Brown, Cai and DasGupta's formula.
    assert few.intervals["recall"] == pytest.approx((0.4677, 0.9111), abs=1e-4)
    assert RESAMPLES >= 1000


def test_scores_are_read_back_from_their_counts() -> None:
    found = score(blobs((5, 6, 7), 0), blobs((5, 6, 7), 1))
    assert from_json(found.to_json()) == found
    with pytest.raises(DataError, match="evaluate again"):
        from_json({"counts": {"true": 3}})


def test_shapes_must_fit() -> None:
    with pytest.raises(InputError, match="one more on every side"):
        overlaps(*[np.zeros((2, 2, 2), np.uint8)] * 2, np.ones((2, 2, 2), bool))  # type: ignore[misc]


def balls(shape: tuple[int, int, int] = (8, 40, 40), seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Thirty flat balls, and what a fair network would make of them: moved, resized, some left out."""
    random = np.random.default_rng(seed)
    z, y, x = np.indices(shape)
    truth, predicted = np.zeros(shape, np.uint64), np.zeros(shape, np.uint64)
    for number in range(1, 31):
        centre = [random.uniform(0, side) for side in shape]
        radius = random.uniform(2, 5)
        for ids in (truth, predicted):
            inside = (z - centre[0]) ** 2 * 4 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < radius**2
            if ids is truth or random.random() < 0.85:
                ids[inside] = number
            if ids is truth:
                centre = [place + random.normal(0, 0.3) for place in centre]
                radius *= random.uniform(0.9, 1.1)
    return truth, predicted


def test_the_numbers_of_stardist() -> None:
    """`stardist.matching.matching` 0.9.2 on the same volumes: accuracy, which is AP, F1 and panoptic quality."""
    found = score(*balls())
    true_positives = [22, 20, 18, 18, 13, 10, 5, 2, 1, 0]
    assert np.cumsum(found.counts.matched[::-1])[::-1].tolist() == true_positives
    accuracies = [0.6470588235, 0.5555555556, 0.4736842105, 0.4736842105, 0.3023255814, 0.2173913043, 0.0980392157,
                  0.0370370370, 0.0181818182, 0]  # fmt: skip
    assert [found.values[f"ap_{threshold}"] for threshold in range(50, 100, 5)] == pytest.approx(accuracies)
    assert found.values["f1"] == pytest.approx(0.7857142857)
    assert found.values["pq"] == pytest.approx(0.5665377, abs=1e-6)  # of float32
    assert found.values["sq"] == pytest.approx(0.7210480, abs=1e-6)


def test_panoptic_quality_is_that_of_torchmetrics() -> None:
    detection = pytest.importorskip("torchmetrics.functional.detection", exc_type=ImportError)
    compared = 0
    for seed in range(8):
        truth, predicted = balls(seed=seed)
        if (matches(counted(truth, predicted)).iou == 0.5).any():
            continue  # torchmetrics wants more than .5, which never leaves two matches; we take .5, as AP does
        # Pairs of a class, here 1 for all objects, and the number of the object.
        target, preds = (
            torch.stack([torch.from_numpy((ids > 0).astype(np.int64)), torch.from_numpy(ids.astype(np.int64))], -1)
            for ids in (truth, predicted)
        )
        scores = detection.panoptic_quality(
            preds[None], target[None], things={1}, stuffs={0}, return_sq_and_rq=True, return_per_class=True
        )
        found = score(truth, predicted).values
        assert [found[name] for name in ("pq", "sq", "rq")] == pytest.approx(scores[0].tolist())
        compared += 1
    assert compared >= 5
