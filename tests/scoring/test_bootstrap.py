"""Proves the paired bootstrap against scipy's, its scores against scikit-learn's, and that intervals are refused where
blocks cannot give one. The coverage of the interval is checked by simulation.
"""

from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.stats import bootstrap
from sklearn.metrics import f1_score, jaccard_score

from pipeline.errors import InputError
from pipeline.scoring import bootstrap as module
from pipeline.scoring.bootstrap import FEWEST_BLOCKS, Interval, paired_differences
from pipeline.scoring.confusion import ClasswiseConfusion, ConfusionMatrix

NAMES = ("membrane", "mitochondria", "synapse", "cytosol")
BLOCKS, VOXELS = 12, 60


def labels(seed: int, blocks: int = BLOCKS, errors: float = 0.3, share=(0.4, 0.2, 0.1, 0.3)):
    """Truth and two predictions as ids (block, voxel)."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(4, (blocks, VOXELS), p=share) + 1
    hard = rng.uniform(0, 2, (blocks, 1))
    guesses = [
        np.where(rng.random(truth.shape) < e * hard, rng.integers(1, 5, truth.shape), truth)
        for e in (errors / 2, errors)
    ]
    return truth, *guesses


def confusions(truth: np.ndarray, predicted: np.ndarray) -> list[ConfusionMatrix]:
    matrices = [ConfusionMatrix(NAMES) for _ in truth]
    for matrix, ours, theirs in zip(matrices, truth, predicted, strict=True):
        matrix.update(ours, theirs)
    return matrices


def differences(labels_seed: int = 0, **options):
    truth, better, worse = labels(labels_seed)
    return paired_differences(confusions(truth, better), confusions(truth, worse), **options)


def flat(row) -> tuple:
    return row.f1.estimate, row.f1.low, row.f1.high, row.iou.estimate, row.iou.low, row.iou.high


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([(0.4, 0.2, 0.1, 0.3), (0.5, 0.5, 0, 0), (0.98, 0.01, 0, 0.01)]))
def test_the_estimates_are_differences_of_scikit_learns_scores(seed, share):
    truth, better, worse = labels(seed, share=share)
    rows = paired_differences(confusions(truth, better), confusions(truth, worse), resamples=1)
    of_better, of_worse = (reference_scores(truth, predicted) for predicted in (better, worse))
    estimates = [[np.nan if i.estimate is None else i.estimate for i in (row.f1, row.iou)] for row in rows]
    assert_allclose(np.transpose(estimates), of_better - of_worse, atol=1e-12)


def reference_scores(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """F1 and IoU of (2, class or average) by scikit-learn; its Jaccard score knows no NaN, so that of F1 is taken."""
    arguments = {"y_true": truth.ravel(), "y_pred": predicted.ravel(), "labels": [1, 2, 3, 4]}
    f1 = f1_score(**arguments, average=None, zero_division=np.nan)
    iou = np.where(np.isnan(f1), np.nan, jaccard_score(**arguments, average=None, zero_division=0))
    averages = [f1_score(**arguments, average=average, zero_division=np.nan) for average in ("macro", "weighted")]
    weighted_iou = jaccard_score(**arguments, average="weighted", zero_division=0)
    return np.array([[*f1, *averages], [*iou, np.nanmean(iou), weighted_iou]])


@pytest.mark.parametrize("row", range(6))
def test_intervals_are_those_of_scipy_with_the_same_seed(row):
    truth, *predictions = labels(3)
    better, worse = (confusions(truth, predicted) for predicted in predictions)

    def f1(matrices, blocks) -> float:
        scores = reduce(add, [matrices[int(block)] for block in blocks]).scores()
        return [*scores.classes, scores.macro, scores.weighted][row].f1

    theirs = bootstrap(
        (np.arange(BLOCKS),),
        lambda blocks: f1(better, blocks) - f1(worse, blocks),
        n_resamples=200,
        confidence_level=0.9,
        method="percentile",
        vectorized=False,
        rng=np.random.default_rng(7),
    )
    ours = paired_differences(better, worse, resamples=200, confidence=0.9, seed=7)[row].f1
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval))


def test_draws_in_parts_change_nothing(monkeypatch):
    whole = differences(resamples=1000)
    monkeypatch.setattr(module, "_DRAWS_AT_A_TIME", 37)
    assert differences(resamples=1000) == whole


def test_the_seed_alone_decides():
    assert differences(seed=1) == differences(seed=1)
    assert differences(seed=1) != differences(seed=2)


def test_exchanging_the_two_exchanges_the_signs():
    truth, better, worse = labels(0)
    forth = paired_differences(confusions(truth, better), confusions(truth, worse))
    back = paired_differences(confusions(truth, worse), confusions(truth, better))
    for ours, theirs in zip(forth, back, strict=True):
        assert (ours.f1.estimate, ours.f1.low, ours.f1.high) == pytest.approx(
            (-theirs.f1.estimate, -theirs.f1.high, -theirs.f1.low)
        )


def test_a_segmentation_does_not_differ_from_itself():
    truth, better, _ = labels(0)
    for row in paired_differences(confusions(truth, better), confusions(truth, better)):
        assert flat(row) == (0, 0, 0, 0, 0, 0)
        assert not row.f1.excludes_zero


def test_pairing_takes_out_what_is_hard_for_both():
    """Blocks differ by far more than the two segmentations do, and yet the difference is clear."""
    rng = np.random.default_rng(0)
    truth = rng.integers(1, 5, (30, 400))
    wrong = rng.random(truth.shape) < rng.uniform(0.1, 0.9, (30, 1))
    guess = rng.integers(1, 5, truth.shape)
    worse = np.where(wrong, guess, truth)
    better = np.where(wrong & (rng.random(truth.shape) < 0.97), guess, truth)
    ours, theirs = confusions(truth, better), confusions(truth, worse)
    macro = paired_differences(ours, theirs)[4].f1
    unpaired_spread = np.std([c.scores().macro.f1 for c in ours]) / np.sqrt(30)
    assert macro.excludes_zero
    assert macro.high - macro.low < unpaired_spread / 2


def test_the_interval_covers_the_true_difference_about_as_often_as_it_says():
    truths = [labels(seed, blocks=40) for seed in range(150)]
    pooled = [np.concatenate([t[i] for t in truths]) for i in range(3)]
    true = paired_differences(confusions(pooled[0], pooled[1]), confusions(pooled[0], pooled[2]), resamples=1)
    covered = 0
    for truth, better, worse in truths:
        rows = paired_differences(confusions(truth, better), confusions(truth, worse), resamples=400, confidence=0.9)
        covered += sum(
            row.f1.low <= expected.f1.estimate <= row.f1.high for row, expected in zip(rows, true, strict=True)
        )
    assert 0.84 < covered / (150 * 6) < 0.95


@pytest.mark.parametrize("blocks", [FEWEST_BLOCKS - 1, FEWEST_BLOCKS])
def test_a_class_in_few_blocks_has_an_estimate_but_no_interval(blocks):
    truth, better, worse = labels(0, blocks=20)
    truth[truth == 3] = 1
    truth[:blocks, 0] = 3
    worse[:, 1] = 3
    rows = paired_differences(confusions(truth, better), confusions(truth, worse))
    assert rows[2].blocks == blocks
    assert rows[2].f1.estimate is not None
    assert (rows[2].f1.low is None) == (blocks < FEWEST_BLOCKS)
    assert all(row.f1.low is not None for row in rows if row.name != "synapse")


def test_a_class_that_is_nowhere_is_left_out_of_the_averages():
    truth, better, worse = (np.where(ids == 3, 1, ids) for ids in labels(0))
    with_class = paired_differences(confusions(truth, better), confusions(truth, worse))
    assert with_class[2].f1 == Interval(None)
    assert with_class[4].f1.estimate == pytest.approx(np.mean([with_class[k].f1.estimate for k in (0, 1, 3)]))


def test_blocks_without_labels_hold_no_class():
    truth, better, worse = labels(0)
    truth[:5] = 0
    rows = paired_differences(confusions(truth, better), confusions(truth, worse))
    assert {row.blocks for row in rows} == {BLOCKS - 5}


def test_overlapping_classes_are_counted_one_by_one():
    truth, better, worse = labels(0)
    of_bits = []
    for predicted in (better, worse):
        counters = [ClasswiseConfusion.empty(NAMES) for _ in truth]
        for counter, ours, theirs in zip(counters, truth, predicted, strict=True):
            counter.update(*(1 | np.uint32(1) << ids.astype(np.uint32) for ids in (ours, theirs)))
        of_bits.append(counters)
    assert paired_differences(*of_bits) == differences(0)


def test_other_blocks_are_refused():
    truth, better, worse = labels(0)
    with pytest.raises(InputError, match="block 0"):
        paired_differences(confusions(truth, better), confusions(truth[::-1], worse))
    with pytest.raises(InputError):
        paired_differences(confusions(truth, better), confusions(truth, worse)[1:])
    with pytest.raises(InputError):
        paired_differences([], [])
    with pytest.raises(InputError):
        paired_differences([ConfusionMatrix(NAMES)], [ConfusionMatrix(NAMES[::-1])])


@pytest.mark.parametrize("options", [{"resamples": 0}, {"confidence": 1.0}, {"confidence": 0.0}])
def test_settings_out_of_range_are_refused(options):
    with pytest.raises(InputError):
        differences(**options)
