"""What a prediction made of a volume, in three dimensions: the outcomes of every class as surfaces and counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.scoring.render.outcomes import Outcome, outcome_styles, outcomes
from pipeline.scoring.render.surfaces import (
    MOST_TRIANGLES,
    Style,
    Surface,
    class_styles,
    decimated,
    mask_surface,
    surfaces,
)
from pipeline.scoring.scores import ClassScores, class_scores
from pipeline.scoring.slices import most_frequent
from pipeline.scoring.volumes import decode

Size = tuple[float, float, float]


@dataclass(frozen=True)
class ConfusionView:
    """A confusion volume (z, y, x) of few enough voxels to draw, and what its classes are.

    `voxels` are the counts of its values in full resolution; 0 is a voxel that nobody labelled. `drawn` are the ids of
    the classes to draw: of one class against the rest, only the one.
    """

    values: NDArray[np.uint16]
    voxel_size_nm: Size
    class_names: tuple[str, ...]
    colors: tuple[str, ...]
    voxels: Mapping[int, int]
    drawn: tuple[int, ...]

    @property
    def size_nm(self) -> Size:
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

    def class_surfaces(self, ids: NDArray[np.uint8]) -> list[Surface]:
        """The surfaces of the foreground's classes in the truth or the prediction."""
        styles = class_styles(self.class_names, self.colors)
        return surfaces(ids, {class_id: styles[class_id] for class_id in self.foreground}, self.voxel_size_nm)

    def worst_voxel(self, class_id: int) -> tuple[int, int, int]:
        """A voxel (z, y, x) in the slice with the most errors of a class, and there in the worst row and column."""
        wrong = self.outcomes(class_id) >= Outcome.MISSED
        z = int(wrong.sum(axis=(1, 2)).argmax())
        return z, int(wrong[z].sum(axis=1).argmax()), int(wrong[z].sum(axis=0).argmax())

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
