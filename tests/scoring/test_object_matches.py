"""Every true object is in the table of matches once, and every predicted one that is none of them."""

from __future__ import annotations

import numpy as np

from pipeline.scoring.object_matches import MATCH_COLUMNS, match_table
from pipeline.scoring.overlaps import Overlaps, overlaps

LARGE = 2**64 - 1


def counted(truth: list[int], predicted: list[int]) -> Overlaps:
    ids = [np.array(values, np.uint64).reshape(1, 1, -1) for values in (truth, predicted)]
    scored = np.ones((3, 3, len(truth) + 2), bool)  # nothing is cut along z and y
    scored[:, :, 0] = False
    return overlaps(ids[0], ids[1], scored)


def test_found_missed_and_invented_objects_name_those_that_they_overlap() -> None:
    truth = [0, LARGE, LARGE, LARGE, 5, 5, 5, 5, 0, 9, 9, 0]
    predicted = [0, 3, 3, 0, 7, 8, 0, 0, LARGE, 0, 0, 0]
    rows = match_table(counted(truth, predicted), "cortex", "mitochondria").to_pylist()
    assert list(rows[0]) == [column.name for column in MATCH_COLUMNS]
    found = [
        tuple(row[name] for name in ("state", "true_id", "predicted_id", "iou", "true_voxels", "predicted_voxels"))
        for row in rows
    ]
    assert found == [
        ("missed", 5, 7, 0.25, 4, 1),  # of two that overlap it alike, the lower id
        ("missed", 9, None, 0.0, 2, None),
        ("found", LARGE, 3, 2 / 3, 3, 2),
        ("invented", 5, 7, 0.25, 4, 1),
        ("invented", 5, 8, 0.25, 4, 1),
        ("invented", None, LARGE, 0.0, None, 1),
    ]
    assert {(row["capture"], row["class"], row["cut"]) for row in rows} == {("cortex", "mitochondria", False)}


def test_an_object_is_cut_by_either_side() -> None:
    rows = match_table(counted([0, 4, 4, 4, 6], [2, 2, 2, 0, 6]), "cortex", "vesicles").to_pylist()
    assert [(row["state"], row["true_id"], row["cut"]) for row in rows] == [("found", 4, True), ("found", 6, False)]


def test_nothing_at_all_is_an_empty_table() -> None:
    table = match_table(counted([0, 0], [0, 0]), "cortex", "vesicles")
    assert table.num_rows == 0
    assert table.schema.names == [column.name for column in MATCH_COLUMNS]
