"""Calibration errors and areas are those of other ways to the same numbers, whatever the blocks."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score

from pipeline.scoring.reliability import BINS, LIKELIEST, Calibration, Ranking, Reliability, Trust


def voxels(seed: int, count: int = 5000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probabilities = rng.beta(0.5, 0.5, count)
    return probabilities, rng.random(count) < probabilities**1.5


def test_the_diagram_is_that_of_scikit_learn():
    probabilities, true = voxels(0)
    found = Reliability.counted(probabilities, true)
    came_true, said = calibration_curve(true, probabilities, n_bins=BINS)
    assert found.right / found.voxels == pytest.approx(came_true)
    assert found.said / found.voxels == pytest.approx(said)
    weights = found.voxels / found.voxels.sum()
    assert found.error == pytest.approx(float((weights * np.abs(came_true - said)).sum()))


def test_a_certain_voxel_is_in_the_last_bin_and_none_has_no_error():
    found = Reliability.counted(np.array([0.0, 1.0], np.float32), np.array([False, True]))
    assert found.voxels[[0, -1]].tolist() == [1, 1]
    assert found.error == 0
    assert Reliability.counted(np.zeros(0), np.zeros(0, bool)).error is None


def ranked(seed: int, count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    wrong = rng.random(count) < 0.2
    return np.clip(rng.normal(60 + 80 * wrong, 50), 0, 255).astype(np.uint8), wrong


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_the_roc_area_is_that_of_scikit_learn(seed: int):
    doubt, wrong = ranked(seed)
    if 0 < wrong.sum() < len(wrong):
        assert Ranking.counted(doubt, wrong).roc_area == pytest.approx(roc_auc_score(wrong, doubt))


def test_the_retention_area_is_the_mean_over_all_shares_kept():
    """A slow twin: the error rate of the first n, for each n, over many orders of what is equally doubtful."""
    doubt, wrong = ranked(1, 4000)
    rng, areas = np.random.default_rng(0), []
    for _ in range(200):
        order = np.lexsort((rng.random(len(doubt)), doubt))
        areas.append((np.cumsum(wrong[order]) / np.arange(1, len(doubt) + 1)).mean())
    assert Ranking.counted(doubt, wrong).retention_area == pytest.approx(np.mean(areas), rel=0.01)


def test_doubt_that_knows_all_or_nothing():
    wrong = np.arange(1000) < 100
    perfect, blind = (
        Ranking.counted(np.where(wrong, 200, 10).astype(np.uint8), wrong),
        Ranking.counted(np.zeros(1000, np.uint8), wrong),
    )
    assert (perfect.roc_area, blind.roc_area) == (1, 0.5)
    assert blind.retention_area == pytest.approx(0.1)
    # The last tenth brings errors in, evenly: the integral of (k - 900) / k from 900 to 1000.
    assert perfect.retention_area == pytest.approx((100 - 900 * np.log(1000 / 900)) / 1000)
    assert Ranking().roc_area is None
    assert Ranking().retention_area is None


def test_counts_of_blocks_add_up_and_come_back_from_json():
    probabilities, true = voxels(2)
    doubt, wrong = ranked(3)

    def trust(part: slice) -> Trust:
        one = Reliability.counted(probabilities[part], true[part])
        return Trust(
            {"multilabel": Calibration({LIKELIEST: one}, {LIKELIEST: one + one})},
            {"doubt": Ranking.counted(doubt[part], wrong[part])},
        )

    first, second, whole = trust(slice(0, 150)), trust(slice(150, None)), trust(slice(None))
    added = first.calibrations["multilabel"] + second.calibrations["multilabel"]
    assert added.before[LIKELIEST].error == pytest.approx(whole.calibrations["multilabel"].before[LIKELIEST].error)
    assert (first.rankings["doubt"] + second.rankings["doubt"]).roc_area == whole.rankings["doubt"].roc_area
    back = Trust.from_json(json.loads(json.dumps(whole.to_json())))
    assert back.to_json() == whole.to_json()
