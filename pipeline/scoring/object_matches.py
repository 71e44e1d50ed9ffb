"""Which object is which: a row for each true object, and one for each predicted object that no true one is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.objects.columns import WHERE, Column, Table, arrow_table
from pipeline.scoring.object_scores import matches
from pipeline.scoring.overlaps import Counts, Overlaps

FOUND, MISSED, INVENTED = "found", "missed", "invented"
MATCH_COLUMNS = (
    *WHERE,
    Column("state", "string", "found: IoU of .5 or more; missed: a true object; invented: a predicted one"),
    Column("true_id", "uint64", "the true object; of an invented one, that which it overlaps most, if any"),
    Column("predicted_id", "uint64", "the predicted object; of a missed one, that which overlaps it most, if any"),
    Column("iou", "double", "intersection ÷ union of the two; 0 where there is no other"),
    Column("true_voxels", "int64", "voxels of the true object that are scored"),
    Column("predicted_voxels", "int64", "voxels of the predicted object that are scored"),
    Column("cut", "bool", "whether it, of a found one either, touches what is not scored"),
)


def match_table(found: Overlaps, capture: str, class_name: str) -> Table:
    """The table of the objects of a class in a capture: true ones by rising id, then invented ones."""
    (true_ids, true_voxels), (predicted_ids, predicted_voxels) = found.truth, found.predicted
    rows, columns, both = found.shared
    iou = both / (true_voxels[rows] + predicted_voxels[columns] - both)
    matched = matches(found)
    partner, of_truth = _nearest(rows, columns, iou, len(true_ids))
    partner[matched.truth], of_truth[matched.truth] = matched.predicted, matched.iou
    is_found = np.zeros(len(true_ids), bool)
    is_found[matched.truth] = True
    invented = np.setdiff1d(np.arange(len(predicted_ids)), matched.predicted)
    other, of_predicted = _nearest(columns, rows, iou, len(predicted_ids))
    true = np.concatenate([np.arange(len(true_ids)), other[invented]])
    predicted = np.concatenate([partner, invented])
    state = [*np.where(is_found, FOUND, MISSED).tolist(), *[INVENTED] * len(invented)]
    cut_truth, cut_predicted = np.isin(true_ids, found.cut_truth), np.isin(predicted_ids, found.cut_predicted)
    cut = [*cut_truth.tolist(), *cut_predicted[invented].tolist()]
    for row, column in zip(matched.truth.tolist(), matched.predicted.tolist(), strict=True):
        cut[row] |= bool(cut_predicted[column])
    return arrow_table(
        MATCH_COLUMNS,
        [
            [capture] * len(true),
            [class_name] * len(true),
            state,
            _taken(true_ids, true),
            _taken(predicted_ids, predicted),
            np.concatenate([of_truth, of_predicted[invented]]),
            _taken(true_voxels, true),
            _taken(predicted_voxels, predicted),
            cut,
        ],
    )


def _nearest(
    places: Counts, others: Counts, iou: NDArray[np.float64], count: int
) -> tuple[Counts, NDArray[np.float64]]:
    """For each of so many objects the place of the other with the largest IoU, -1 for none, and that IoU."""
    best, value = np.full(count, -1), np.zeros(count)
    order = np.lexsort((-others, iou))  # of equal ones the first stays
    best[places[order]], value[places[order]] = others[order], iou[order]
    return best, value


def _taken(values: NDArray[np.generic], places: Counts) -> Sequence[int | None]:
    """What stands at each place; nothing for -1. Lists, since arrays with something missing would be floats."""
    known = values.tolist()
    return [known[place] if place >= 0 else None for place in places.tolist()]
