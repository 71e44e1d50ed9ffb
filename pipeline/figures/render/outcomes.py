"""What a prediction made of a class, in three dimensions: found, missed and invented, as surfaces and counts.

An error is banded and what is found is plain and sheer, so that they differ without colour too: missed parts have dark
bands, invented parts light ones. Their colours are those of the errors in the figures of slices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.figures import palette
from pipeline.figures.render.surfaces import (
    MOST_TRIANGLES,
    Style,
    Surface,
    class_styles,
    decimated,
    mask_surface,
)
from pipeline.figures.slices import most_frequent
from pipeline.scoring.confusion import Ids, decode
from pipeline.scoring.scores import ClassScores, class_scores
from pipeline.volume.geometry import Zyx, ZyxNm


class Outcome(IntEnum):
    """What became of a voxel, seen from one class; 0 where the class is in neither truth nor prediction."""

    FOUND = 1
    """True positive: in truth and prediction."""
    MISSED = 2
    """False negative: in the truth, not in the prediction."""
    INVENTED = 3
    """False positive: in the prediction, not in the truth."""


MEANINGS = {
    Outcome.FOUND: "found: in truth and prediction",
    Outcome.MISSED: "missed: in the truth only",
    Outcome.INVENTED: "invented: in the prediction only",
}


@dataclass(frozen=True)
class ConfusionView:
    """A confusion volume (z, y, x) of few enough voxels to draw, and what its classes are.

    `voxels` are the counts of its values in full resolution; 0 is a voxel that nobody labelled. `drawn` are the ids of
    the classes to draw: of one class against the rest, only the one.
    """

    values: NDArray[np.uint16]
    voxel_size_nm: ZyxNm
    class_names: tuple[str, ...]
    colors: tuple[str, ...]
    voxels: Mapping[int, int]
    drawn: tuple[int, ...]
    is_exact: bool = True
    """Whether the counts were taken in full resolution."""

    @property
    def size_nm(self) -> ZyxNm:
        """Sides z, y, x."""
        z, y, x = (n * size for n, size in zip(self.values.shape, self.voxel_size_nm, strict=True))
        return z, y, x

    @cached_property
    def truth_and_predicted(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Ids of both, 0 where nobody labelled."""
        return decode(self.values, len(self.class_names))

    @cached_property
    def background(self) -> int:
        """The class that fills the volume: it would hide all others. 0 where only one class is drawn."""
        return most_frequent(self.truth_and_predicted[0]) if len(self.drawn) > 1 else 0

    @property
    def foreground(self) -> tuple[int, ...]:
        """The classes that are drawn together."""
        return tuple(class_id for class_id in self.drawn if class_id != self.background)

    def outcomes(self, class_id: int) -> NDArray[np.uint8]:
        """The `Outcome` of every voxel for a class."""
        return outcomes(*self.truth_and_predicted, class_id)

    def styles(self, class_id: int, *, shown: bool = True) -> dict[int, Style]:
        """How the outcomes of a class are drawn."""
        return outcome_styles(self.class_names[class_id - 1], self.colors[class_id - 1], shown=shown)

    def counts(self, class_id: int) -> dict[Outcome, int]:
        """Voxels of each outcome of a class, in full resolution."""
        values = np.array(sorted(self.voxels), np.uint16)
        kinds = outcomes(*decode(values, len(self.class_names)), class_id)
        return {outcome: sum(self.voxels[int(value)] for value in values[kinds == outcome]) for outcome in Outcome}

    def scores(self, class_id: int) -> ClassScores:
        """F1 and its companions of a class, from the counts."""
        counts = self.counts(class_id)
        return class_scores(
            self.class_names[class_id - 1],
            tp=counts[Outcome.FOUND],
            fn=counts[Outcome.MISSED],
            fp=counts[Outcome.INVENTED],
            voxels=sum(count for value, count in self.voxels.items() if value),
        )

    @cached_property
    def surfaces(self) -> dict[int, list[Surface]]:
        """The surfaces of each class's outcomes, together of as many triangles as a scene may have.

        A scene shows at first the class of the foreground with the most errors.
        """
        first = max(self.foreground, key=self._errors, default=0)
        each = {class_id: self._outcome_surfaces(class_id, shown=class_id == first) for class_id in self.drawn}
        fewer = iter(decimated([surface for of_class in each.values() for surface in of_class], MOST_TRIANGLES))
        return {class_id: [next(fewer) for _ in of_class] for class_id, of_class in each.items()}

    @cached_property
    def truth_surfaces(self) -> list[Surface]:
        """The surfaces of the foreground's classes in the truth, with all the triangles that they have."""
        return self._class_surfaces(self.truth_and_predicted[0])

    @cached_property
    def predicted_surfaces(self) -> list[Surface]:
        """The same in the prediction."""
        return self._class_surfaces(self.truth_and_predicted[1])

    def worst_voxel(self, class_id: int) -> Zyx:
        """A voxel (z, y, x) in the slice with the most errors of a class, and there in the worst row and column."""
        wrong = self.outcomes(class_id) >= Outcome.MISSED
        z = int(wrong.sum(axis=(1, 2)).argmax())
        return z, int(wrong[z].sum(axis=1).argmax()), int(wrong[z].sum(axis=0).argmax())

    def _class_surfaces(self, ids: NDArray[np.uint8]) -> list[Surface]:
        styles = class_styles(self.class_names, self.colors)
        found = (mask_surface(ids == class_id, styles[class_id], self.voxel_size_nm) for class_id in self.foreground)
        return [surface for surface in found if surface.voxels]

    def _outcome_surfaces(self, class_id: int, *, shown: bool) -> list[Surface]:
        """With all the triangles that they have, and their voxels in full resolution."""
        kinds, counts = self.outcomes(class_id), self.counts(class_id)
        found = [
            mask_surface(kinds == outcome, style, self.voxel_size_nm)
            for outcome, style in self.styles(class_id, shown=shown).items()
        ]
        return [
            replace(surface, voxels=counts[outcome])
            for outcome, surface in zip(Outcome, found, strict=True)
            if surface.voxels
        ]

    def _errors(self, class_id: int) -> int:
        counts = self.counts(class_id)
        return counts[Outcome.MISSED] + counts[Outcome.INVENTED]


def all_surfaces(by_class: Mapping[int, Sequence[Surface]]) -> list[Surface]:
    """The surfaces of all classes, class by class."""
    return [surface for found in by_class.values() for surface in found]


def outcomes(truth_ids: Ids, predicted_ids: Ids, class_id: int) -> NDArray[np.uint8]:
    """Return the `Outcome` of each voxel for a class; a voxel that nobody labelled (truth 0) has none."""
    truth = truth_ids == class_id
    predicted = (predicted_ids == class_id) & (truth_ids > 0)
    kinds = np.zeros(truth.shape, np.uint8)
    kinds[truth & predicted] = Outcome.FOUND
    kinds[truth & ~predicted] = Outcome.MISSED
    kinds[predicted & ~truth] = Outcome.INVENTED
    return kinds


def outcome_styles(class_name: str, color: str, *, shown: bool = True) -> dict[int, Style]:
    """Return how the outcomes of a class are drawn; `color` is the class's own, #rrggbb."""
    return {
        Outcome.FOUND: Style("found", color, class_name, opacity=0.3, shown=shown),
        Outcome.MISSED: Style("missed", palette.MISSED, class_name, pattern="dark bands", shown=shown),
        Outcome.INVENTED: Style("invented", palette.INVENTED, class_name, pattern="light bands", shown=shown),
    }
