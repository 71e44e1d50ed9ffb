"""Scores of objects out of their overlaps: how many were found, how well, and which were split or merged.

A true and a predicted object match at a threshold t where intersection ÷ union (IoU) is t or more. Thresholds are .5
and more, at which an object has one match only; of two halves of an object, both with an IoU of exactly .5, the one
with the lower id counts. Intersections and unions are whole numbers, and so is the comparison: no rounding decides.

======================  ===========================================================================================
true positives (tp)     pairs that match
precision, recall, F1   tp / predicted, tp / true, 2tp / (predicted + true)
average precision (AP)  tp / (tp + fp + fn) at a threshold, as of the 2018 Data Science Bowl, StarDist and Cellpose:
                        objects have no confidence that would give a curve; `ap` is the mean over .5, .55 ... .95
panoptic quality (PQ)   SQ × RQ: mean IoU of the matches (SQ) × their F1 (RQ), at .5 (Kirillov et al., CVPR 2019)
VI split, VI merge      H(prediction | truth), H(truth | prediction) in bits (Meilă 2007)
adapted Rand error      1 - F1 of pairs of voxels that are in one object (Arganda-Carreras et al. 2015)
======================  ===========================================================================================

The last two are of voxels that lie in an object of both, so that they say what was split and merged of what was found;
what was missed or invented is in the others. A score is None where its denominator is zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DataError
from pipeline.scoring.overlaps import Counts, Overlaps
from pipeline.scoring.scores import divide, ratio

TWENTIETHS = range(10, 20)
"""Thresholds of IoU: .5, .55 ... .95."""
RESAMPLES = 2000
CONFIDENCE = 0.95
FEWEST_OBJECTS = 6
"""Matches, missed and invented ones; of fewer, resamples are few as well, and their interval says nothing."""
_SEED = 16

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Matches:
    """The pairs of a true and a predicted object that match at .5; a row a pair, by rising id of the true one."""

    truth: Counts
    """Place in `Overlaps.truth`."""
    predicted: Counts
    """Place in `Overlaps.predicted`."""
    intersection: Counts
    union: Counts

    @property
    def iou(self) -> Floats:
        """Intersection ÷ union."""
        return self.intersection / self.union


def matches(found: Overlaps) -> Matches:
    """The matches at .5, one for an object."""
    rows, columns, both = found.shared
    union = found.truth[1][rows] + found.predicted[1][columns] - both
    near = 2 * both >= union
    rows, columns, both, union = (values[near] for values in (rows, columns, both, union))
    # An object with two matches is the whole of which they are halves: these match nothing else.
    single = _first(rows) & _first(columns)
    return Matches(rows[single], columns[single], both[single], union[single])


@dataclass(frozen=True)
class ObjectCounts:
    """What the scores of the objects of one class are made from."""

    true: int
    """Objects in the truth."""
    predicted: int
    cut_true: int
    """True objects that the region cuts."""
    cut_predicted: int
    matched: tuple[int, ...]
    """Matches by IoU: at least .5 and below .55, ..., at least .95."""
    iou_sum: tuple[float, ...]
    """Of the matches in each."""
    voxels: int
    """In an object of both."""
    split_bits: float | None
    """H(prediction | truth) over these voxels."""
    merge_bits: float | None
    """H(truth | prediction)."""
    voxel_pairs: tuple[int, int, int]
    """Ordered pairs of two of these voxels in one object: of both, of the truth, of the prediction."""

    def __post_init__(self) -> None:
        lengths = {len(self.matched), len(self.iou_sum)}
        if lengths != {len(TWENTIETHS)} or sum(self.matched) > min(self.true, self.predicted):
            raise DataError("these are no counts of objects; evaluate again")

    def scores(self) -> ObjectScores:
        """The scores, with intervals of those that are shares of objects."""
        table = np.array([[*self.matched, *self._unmatched]], np.float64)
        estimates = {name: float(values[0]) for name, values in self._shares(table).items()}
        tp = sum(self.matched)
        intervals = self._resampled() | {
            "precision": _wilson(tp, self.predicted),
            "recall": _wilson(tp, self.true),
        }
        both, truth, predicted = self.voxel_pairs
        agreement = ratio(2 * both, truth + predicted)
        return ObjectScores(
            counts=self,
            values={
                "precision": ratio(tp, self.predicted),
                "recall": ratio(tp, self.true),
                **{name: None if math.isnan(value) else value for name, value in estimates.items()},
                "vi_split_bits": self.split_bits,
                "vi_merge_bits": self.merge_bits,
                "adapted_rand_error": None if agreement is None else 1 - agreement,
            },
            intervals=intervals,
        )

    @property
    def _unmatched(self) -> tuple[int, int]:
        tp = sum(self.matched)
        return self.true - tp, self.predicted - tp

    def _shares(self, table: Floats) -> dict[str, Floats]:
        """Scores of rows of counts: matches by IoU, missed, invented."""
        levels = len(TWENTIETHS)
        at_least = np.cumsum(table[:, levels - 1 :: -1], axis=1)[:, ::-1]
        tp = at_least[:, 0]
        true, predicted = tp + table[:, levels], tp + table[:, levels + 1]
        precision_at = divide(at_least, (true + predicted)[:, None] - at_least)
        mean_iou = np.divide(self.iou_sum, self.matched, out=np.zeros(levels), where=np.array(self.matched) > 0)
        f1, quality = divide(2 * tp, true + predicted), divide(table[:, :levels] @ mean_iou, tp)
        return {
            "f1": f1,
            "sq": quality,
            "rq": f1,
            "pq": np.where(tp > 0, f1 * quality, f1),
            "ap": precision_at.mean(axis=1),
            **{f"ap_{5 * twentieth}": precision_at[:, twentieth - 10] for twentieth in TWENTIETHS},
            "count_ratio": divide(predicted, true),
        }

    def _resampled(self) -> dict[str, tuple[float, float] | None]:
        """Percentile intervals: matches, missed and invented objects are drawn anew, as many as there are.

        A match drawn has the mean IoU of those between the same thresholds.
        """
        events = np.array([*self.matched, *self._unmatched])
        total = int(events.sum())
        if total < FEWEST_OBJECTS:
            return {}
        drawn = np.random.default_rng(_SEED).multinomial(total, events / total, RESAMPLES)
        return {name: _middle(values) for name, values in self._shares(drawn.astype(np.float64)).items()}


@dataclass(frozen=True)
class ObjectScores:
    """The scores of the objects of one class."""

    counts: ObjectCounts
    values: Mapping[str, float | None]
    """By name; None where a score is not defined."""
    intervals: Mapping[str, tuple[float, float] | None]
    """95 % intervals over the objects, of the scores that are shares of them; None where there are too few."""

    def to_json(self) -> dict[str, Any]:
        """Scores, intervals and the counts that they come from, which `from_json` needs."""
        return {"scores": dict(self.values), "intervals": dict(self.intervals), "counts": asdict(self.counts)}


def from_json(data: Mapping[str, Any]) -> ObjectScores:
    """The scores whose `to_json` this is; DataError when it is something else."""
    try:
        counts: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in data["counts"].items()
        }
        return ObjectCounts(**counts).scores()
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"these are no scores of objects ({error}); evaluate again") from error


def object_counts(found: Overlaps) -> ObjectCounts:
    """Count what all scores of a class are made from."""
    matched = matches(found)
    level = np.minimum(20 * matched.intersection // matched.union, TWENTIETHS[-1]) - TWENTIETHS[0]
    rows, columns, both = found.shared
    of_truth, of_predicted = (_sums(places, both) for places in (rows, columns))
    split = _entropy(both, of_truth[rows]) if len(both) else None
    return ObjectCounts(
        true=len(found.truth[0]),
        predicted=len(found.predicted[0]),
        cut_true=len(found.cut_truth),
        cut_predicted=len(found.cut_predicted),
        matched=tuple(np.bincount(level, minlength=len(TWENTIETHS)).tolist()),
        iou_sum=tuple(np.bincount(level, matched.iou, minlength=len(TWENTIETHS)).tolist()),
        voxels=int(both.sum()),
        split_bits=split,
        merge_bits=_entropy(both, of_predicted[columns]) if len(both) else None,
        voxel_pairs=(_pairs(both), _pairs(of_truth), _pairs(of_predicted)),
    )


def _first(places: Counts) -> NDArray[np.bool_]:
    """Which of these are the first of their value."""
    first = np.zeros(len(places), bool)
    first[np.unique(places, return_index=True)[1]] = True
    return first


def _sums(places: Counts, voxels: Counts) -> Counts:
    total = np.zeros(places.max(initial=-1) + 1, np.int64)
    np.add.at(total, places, voxels)
    return total


def _entropy(both: Counts, given: Counts) -> float:
    """H of the pair within what is given, in bits; no less than 0 by rounding."""
    return max(0.0, float(both @ np.log2(given / both) / both.sum()))


def _pairs(voxels: Counts) -> int:
    """Ordered pairs of two voxels within groups of so many: a whole number of any size."""
    return sum(count * (count - 1) for count in voxels.tolist())


def _middle(values: Floats) -> tuple[float, float] | None:
    defined = values[~np.isnan(values)]
    if not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist()
    return low, high


def _wilson(part: int, whole: int) -> tuple[float, float] | None:
    from scipy.stats import binomtest  # slow to import

    if not whole:
        return None
    interval = binomtest(part, whole).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)
