"""Intervals of the difference between two segmentations of the same blocks: the paired bootstrap.

The test region is cut into blocks. A resample draws as many blocks as there are, with replacement, adds up their
counts and scores the sum, for both segmentations with the same blocks: what makes a block hard for both cancels
out. The interval holds the middle of the differences of all resamples, the percentile interval of Efron and
Tibshirani, "An introduction to the bootstrap" (1993), chapter 13.

Voxels are no independent samples, since neighbours share their objects; blocks should be larger than most objects. The
interval tells what another part of the same tissue could have given. It does not tell what another training of
the network could have.

An undefined score (see `scores`) makes the difference undefined; such a resample says nothing and is left out. A
class that fewer than `FEWEST_BLOCKS` blocks hold has no interval: too few blocks give narrow intervals that mean
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.scoring.confusion import BinaryConfusion, Confusion, ConfusionMatrix
from pipeline.scoring.scores import divide
from pipeline.scoring.tables import AVERAGES

FEWEST_BLOCKS = 6
"""Even if all agree, five blocks leave a two-sided sign test above 5 % (2 / 2**5)."""

# Numbers drawn at a time; bounds the memory whatever the number of blocks.
_DRAWS_AT_A_TIME = 1 << 21

Counts = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A difference of two scores and the range that the confidence asked for gives it.

    `estimate` is None when either score is undefined, `low` and `high` when there are too few blocks.
    """

    estimate: float | None
    low: float | None = None
    high: float | None = None

    @property
    def excludes_zero(self) -> bool:
        """Whether the two scores differ by more than the choice of blocks explains."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Difference:
    """How much better one segmentation does than another for a class, or on average over the classes."""

    name: str
    is_average: bool
    blocks: int
    """Blocks that hold the class in the truth; for an average, blocks with any label."""
    f1: Interval
    iou: Interval

    @property
    def is_rare(self) -> bool:
        """Whether it is a class that too few blocks hold to give it an interval."""
        return not self.is_average and self.blocks < FEWEST_BLOCKS

    @property
    def blocks_text(self) -> str:
        """How many blocks hold the class."""
        return f"{self.blocks} block{'s' * (self.blocks != 1)}"


def paired_differences(
    confusions: Sequence[Confusion],
    reference: Sequence[Confusion],
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[Difference, ...]:
    """Return score minus score of the reference: a row a class, then the macro and the weighted average.

    Both give one confusion a block, of the same blocks in the same order. Equal arguments give equal intervals.
    Raises InputError when blocks, classes or truth differ between the two, or a setting is out of range.
    """
    if resamples < 1 or not 0 < confidence < 1:
        raise InputError(f"{resamples} resamples at confidence {confidence:g}: give 1 or more, and one between 0 and 1")
    names = _checked_names(confusions, reference)
    counts = np.stack([_counts(confusions), _counts(reference)])
    _check_same_truth(*counts)
    truth = counts[0, :, :, 0] + counts[0, :, :, 2]
    blocks = [*np.count_nonzero(truth, axis=0).tolist(), *[int(truth.any(axis=1).sum())] * len(AVERAGES)]
    estimates = _differences(counts.sum(axis=1)[:, None])[0]
    drawn = np.concatenate([_differences(sums) for sums in _resampled_sums(counts, resamples, seed)])
    intervals = [
        [_interval(estimates[m, row], drawn[:, m, row], blocks[row], confidence) for m in range(2)]
        for row in range(len(blocks))
    ]
    return tuple(
        Difference(name, row >= len(names), blocks[row], *intervals[row])
        for row, name in enumerate([*names, *AVERAGES])
    )


def _counts(confusions: Sequence[Confusion]) -> Counts:
    """True positives, false positives and false negatives as (block, class, 3); whole numbers, exact below 2**53."""
    rows = [[(c.tp, c.fp, c.fn) for c in _by_class(confusion)] for confusion in confusions]
    return np.array(rows, np.float64)


def _by_class(confusion: Confusion) -> list[BinaryConfusion]:
    classwise = confusion.one_vs_rest() if isinstance(confusion, ConfusionMatrix) else confusion
    return list(classwise.by_class.values())


def _resampled_sums(counts: Counts, resamples: int, seed: int) -> Iterator[Counts]:
    """Counts of resamples of the blocks as (segmentation, resample, class, 3), some resamples at a time."""
    segmentations, blocks, classes, _ = counts.shape
    flat = counts.reshape(segmentations, blocks, -1)
    generator = np.random.default_rng(seed)
    step = max(1, _DRAWS_AT_A_TIME // blocks)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = generator.integers(0, blocks, (size, blocks)) + blocks * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * blocks).reshape(size, blocks)
        yield (times.astype(np.float64) @ flat).reshape(segmentations, size, classes, 3)


def _differences(sums: Counts) -> NDArray[np.float64]:
    """First minus second segmentation of (2, resample, class, 3) as (resample, F1 or IoU, class or average)."""
    tp, fp, fn = np.moveaxis(sums, -1, 0)
    errors, support = fp + fn, tp + fn
    scores = [_with_averages(divide(gain * tp, gain * tp + errors), support) for gain in (2, 1)]
    both = np.stack(scores, axis=-2)
    difference: NDArray[np.float64] = both[0] - both[1]
    return difference


def _with_averages(scores: NDArray[np.float64], support: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores (..., class) with the macro and the weighted average over the defined ones behind; NaN is undefined."""
    defined = ~np.isnan(scores)
    values, weights = np.where(defined, scores, 0), np.where(defined, support, 0)
    macro = divide(values.sum(-1), defined.sum(-1))
    weighted = divide((weights * values).sum(-1), weights.sum(-1))
    return np.concatenate([scores, macro[..., None], weighted[..., None]], axis=-1)


def _interval(estimate: float, drawn: NDArray[np.float64], blocks: int, confidence: float) -> Interval:
    if np.isnan(estimate):
        return Interval(None)
    defined = drawn[~np.isnan(drawn)]
    if blocks < FEWEST_BLOCKS or not defined.size:
        return Interval(float(estimate))
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail]).tolist()
    return Interval(float(estimate), low, high)


def _checked_names(confusions: Sequence[Confusion], reference: Sequence[Confusion]) -> tuple[str, ...]:
    if not confusions or len(confusions) != len(reference):
        raise InputError(
            f"{len(confusions)} blocks against {len(reference)}: give the same blocks of both, at least one"
        )
    names = {confusion.class_names for confusion in (*confusions, *reference)}
    if len(names) > 1:
        raise InputError(f"blocks of different classes: {'; '.join(', '.join(n) for n in sorted(names))}")
    return names.pop()


def _check_same_truth(ours: Counts, theirs: Counts) -> None:
    differ = (ours[..., 0] + ours[..., 2] != theirs[..., 0] + theirs[..., 2]).any(axis=-1)
    if differ.any():
        raise InputError(
            f"block {int(differ.argmax())} has another truth in the reference: give the same blocks of both, "
            "in the same order"
        )
