"""Whether probabilities are right as often as they say, and whether doubt finds the errors.

A reliability diagram holds, for bins of equal width, the mean probability and how often it came true; the expected
calibration error is their difference, averaged over voxels (Guo et al., ICML 2017). Doubt is judged by how it ranks
voxels: by the area under the ROC curve, the chance that a wrong voxel is doubted more than a right one; and by the area
under the error-retention curve, the mean error rate of the voxels that are kept when the most doubtful go first.
Everything is out of counts, which add up over blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15
LIKELIEST = "likeliest class"
"""What stands among the classes for whichever is likeliest in each voxel."""
LEVELS = 256
"""Of doubt, as it is stored."""


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram as counts by bin."""

    voxels: NDArray[np.int64]
    right: NDArray[np.int64]
    """Of them, those in which what was said came true."""
    said: NDArray[np.float64]
    """Sum of the probabilities."""

    @classmethod
    def counted(cls, probabilities: NDArray[Any], came_true: NDArray[np.bool_]) -> Reliability:
        """That of some voxels: their probabilities, 0 to 1, and whether what was said is so."""
        said = probabilities.ravel().astype(np.float64)
        bins = np.minimum((said * BINS).astype(np.intp), BINS - 1)
        voxels = np.bincount(bins, minlength=BINS)
        sums: NDArray[np.float64] = np.bincount(bins, weights=said, minlength=BINS).astype(np.float64)
        return cls(voxels, np.bincount(bins[came_true.ravel()], minlength=BINS), sums)

    @property
    def error(self) -> float | None:
        """Expected calibration error; None without voxels."""
        total = int(self.voxels.sum())
        return float(np.abs(self.said - self.right).sum() / total) if total else None

    def __add__(self, other: Reliability) -> Reliability:
        """That of the voxels of both."""
        return Reliability(self.voxels + other.voxels, self.right + other.right, self.said + other.said)

    def to_json(self) -> dict[str, Any]:
        """Counts as plain data, and the error that they make."""
        counts = {"voxels": self.voxels.tolist(), "right": self.right.tolist(), "said": self.said.tolist()}
        return {"error": self.error, **counts}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Reliability:
        """The inverse of `to_json`."""
        return cls(np.array(told["voxels"]), np.array(told["right"]), np.array(told["said"], np.float64))


@dataclass(frozen=True)
class Calibration:
    """How reliable the probabilities of a network are, before and after they are calibrated."""

    before: Mapping[str, Reliability]
    """By class; under `LIKELIEST` that of the likeliest one, where classes exclude each other."""
    after: Mapping[str, Reliability]

    def __add__(self, other: Calibration) -> Calibration:
        """Of the voxels of both."""
        return Calibration(
            {name: one + other.before[name] for name, one in self.before.items()},
            {name: one + other.after[name] for name, one in self.after.items()},
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        sides = {"before": self.before, "after": self.after}
        return {side: {name: one.to_json() for name, one in of.items()} for side, of in sides.items()}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Calibration:
        """The inverse of `to_json`."""
        sides = ({name: Reliability.from_json(one) for name, one in told[side].items()} for side in ("before", "after"))
        return cls(*sides)


@dataclass(frozen=True)
class Ranking:
    """How many voxels of each level of doubt are right, and how many wrong."""

    right: NDArray[np.int64] = field(default_factory=lambda: np.zeros(LEVELS, np.int64))
    wrong: NDArray[np.int64] = field(default_factory=lambda: np.zeros(LEVELS, np.int64))

    @classmethod
    def counted(cls, doubt: NDArray[np.uint8], is_wrong: NDArray[np.bool_]) -> Ranking:
        """That of some voxels."""
        all_levels = np.bincount(doubt.ravel(), minlength=LEVELS)
        wrong = np.bincount(doubt[is_wrong], minlength=LEVELS)
        return cls(all_levels - wrong, wrong)

    @property
    def roc_area(self) -> float | None:
        """Chance that a wrong voxel is doubted more than a right one, equal doubt being half; None without either."""
        pairs = float(self.right.sum()) * float(self.wrong.sum())
        below = np.cumsum(self.right) - self.right
        return float((self.wrong * (below + self.right / 2.0)).sum() / pairs) if pairs else None

    @property
    def retention_area(self) -> float | None:
        """Mean error rate of what is kept, over all shares that are kept; among equal doubt, errors go evenly."""
        level = self.right + self.wrong
        kept, wrong = np.cumsum(level) - level, np.cumsum(self.wrong) - self.wrong
        held = level > 0
        if not held.any():
            return None
        rate = self.wrong[held] / level[held]
        surplus = wrong[held] - rate * kept[held]
        grown = np.log1p(level[held] / np.maximum(kept[held], 1)) * (kept[held] > 0)
        return float((rate * level[held] + surplus * grown).sum() / level.sum())

    def __add__(self, other: Ranking) -> Ranking:
        """That of the voxels of both."""
        return Ranking(self.right + other.right, self.wrong + other.wrong)

    def to_json(self) -> dict[str, Any]:
        """Counts as plain data, and both areas."""
        areas = {"roc_area": self.roc_area, "retention_area": self.retention_area}
        return {**areas, "right": self.right.tolist(), "wrong": self.wrong.tolist()}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Ranking:
        """The inverse of `to_json`."""
        return cls(np.array(told["right"]), np.array(told["wrong"]))


@dataclass(frozen=True)
class Trust:
    """What is known of how far a segmentation can be trusted."""

    calibrations: Mapping[str, Calibration] = field(default_factory=dict)
    """By network."""
    rankings: Mapping[str, Ranking] = field(default_factory=dict)
    """What may tell errors of the merged segmentation, by name."""

    def summary(self) -> dict[str, Any]:
        """The errors and areas alone; nothing where nothing was counted."""
        calibration = {
            network: {
                name: {"before": before.error, "after": found.after[name].error}
                for name, before in found.before.items()
            }
            for network, found in self.calibrations.items()
        }
        doubt = {
            name: {"roc_area": one.roc_area, "retention_area": one.retention_area}
            for name, one in self.rankings.items()
        }
        return {name: told for name, told in (("calibration", calibration), ("doubt", doubt)) if told}

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "calibration": {name: one.to_json() for name, one in self.calibrations.items()},
            "doubt": {name: one.to_json() for name, one in self.rankings.items()},
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Trust:
        """The inverse of `to_json`."""
        return cls(
            {name: Calibration.from_json(one) for name, one in told["calibration"].items()},
            {name: Ranking.from_json(one) for name, one in told["doubt"].items()},
        )
