"""What boosting does to images and to their segmentation: one result for all inputs of the same network.

An input is a version of the test region at native voxel size: native, or degraded and brought back by some method.
Each is measured against the native slices, segmented by the same network, scored against the same truth, and
compared with the references block by block. The tables are in `ablation_tables`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

from pipeline.errors import InputError
from pipeline.scoring.bootstrap import Difference, paired_differences
from pipeline.scoring.confusion import Confusion
from pipeline.scoring.image_quality import Quality
from pipeline.scoring.scores import Scores
from pipeline.scoring.tables import Row, ScoreTable

NATIVE = "native"
BICUBIC = "bicubic"
SIDE = "multilabel"
"""The network that segments them all."""
REFERENCES = (NATIVE, BICUBIC)
"""What the other inputs are compared with: what could be had, and what costs nothing."""


@dataclass(frozen=True)
class MeasuredInput:
    """What a step counted for one input: its quality (None for native), and one confusion a block."""

    name: str
    quality: Quality | None
    blocks: Sequence[Confusion]


@dataclass(frozen=True)
class InputResult:
    """One input: its quality against native (None for native itself) and the counts of its segmentation."""

    name: str
    quality: Quality | None
    confusion: Confusion

    @property
    def scores(self) -> Scores:
        """Scores of its segmentation over the whole test region."""
        return self.confusion.scores()

    @property
    def rows(self) -> list[Row]:
        """The rows of its table of scores, in the order of `Comparison.rows`, all of one side: `SIDE`."""
        return ScoreTable(multilabel=self.confusion, binary=None).rows


@dataclass(frozen=True)
class Comparison:
    """Scores of one input minus those of a reference, with their intervals: a row a class, then the averages."""

    name: str
    reference: str
    rows: tuple[Difference, ...]

    def row(self, name: str, *, is_average: bool) -> Difference:
        """Return the row of a class or of an average."""
        return next(row for row in self.rows if (row.name, row.is_average) == (name, is_average))


@dataclass(frozen=True)
class Ablation:
    """The results of all inputs, in the order of the columns, with the paired differences between them."""

    inputs: tuple[InputResult, ...]
    comparisons: tuple[Comparison, ...]
    blocks: int
    """Blocks of the test region that the intervals are drawn from."""
    resamples: int
    confidence: float

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in the order of the configuration."""
        return self.inputs[0].confusion.class_names

    def against(self, reference: str) -> tuple[Comparison, ...]:
        """Return the comparisons with this reference, in the order of the inputs."""
        return tuple(comparison for comparison in self.comparisons if comparison.reference == reference)


def compare_inputs(
    measured: Sequence[MeasuredInput], *, resamples: int = 10_000, confidence: float = 0.95, seed: int = 0
) -> Ablation:
    """Return the result of inputs whose blocks are the same, in the same order.

    Every input is compared with each of `REFERENCES` that is there; native is compared with none.
    Raises InputError when native is missing, a name comes twice, or blocks or truth differ between inputs.
    """
    by_name = {one.name: one for one in measured}
    if NATIVE not in by_name or len(by_name) < len(measured):
        raise InputError(
            f"inputs {', '.join(one.name for one in measured) or 'none'}: give each once, and {NATIVE!r} among them"
        )
    if any(not one.blocks for one in measured):
        raise InputError("an input without blocks cannot be scored; cut the test region into at least one")
    pairs = [
        (one, by_name[reference])
        for reference in REFERENCES
        if reference in by_name
        for one in measured
        if one.name not in (NATIVE, reference)
    ]
    comparisons = [
        Comparison(
            one.name,
            reference.name,
            paired_differences(one.blocks, reference.blocks, resamples=resamples, confidence=confidence, seed=seed),
        )
        for one, reference in pairs
    ]
    inputs = [InputResult(one.name, one.quality, reduce(add, one.blocks)) for one in measured]
    return Ablation(tuple(inputs), tuple(comparisons), len(measured[0].blocks), resamples, confidence)
