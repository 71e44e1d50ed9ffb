"""What became of each voxel of a class: found, missed or invented; and how these three look.

An error is banded and what is found is plain and sheer, so that they differ without colour too: missed parts have dark
bands, invented parts light ones. Their colours are those of the errors in the figures of slices.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from pipeline.scoring.confusion import Ids
from pipeline.scoring.render.surfaces import Style
from pipeline.scoring.slices import ERROR_COLORS, ErrorKind


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
    missed, invented = ERROR_COLORS[ErrorKind.MISSED], ERROR_COLORS[ErrorKind.INVENTED]
    return {
        Outcome.FOUND: Style("found", color, class_name, opacity=0.3, shown=shown),
        Outcome.MISSED: Style("missed", missed, class_name, pattern="dark bands", shown=shown),
        Outcome.INVENTED: Style("invented", invented, class_name, pattern="light bands", shown=shown),
    }
