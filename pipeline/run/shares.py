"""How much of a segmented volume is of each class: ``evaluation/shares.csv``."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass

from pipeline.formats import csv_table
from pipeline.volume.stores import Store

SHARES_CSV = "shares.csv"
"""Below ``evaluation/``."""
COLUMNS = ("capture", "target", "class", "id", "voxels", "share")


@dataclass(frozen=True)
class ClassShare:
    """A class in what a target's network predicted of a capture."""

    capture: str
    target: str
    name: str
    id: int
    voxels: int
    """At full resolution, exactly."""
    share: float
    """Of the predicted voxels."""


def write_shares(evaluation: Store, shares: Iterable[ClassShare]) -> None:
    """Write the table into a run's evaluation."""
    evaluation.write(SHARES_CSV, csv_table(COLUMNS, map(astuple, shares)).encode())


def read_shares(evaluation: Store) -> tuple[ClassShare, ...]:
    """The rows of the table; none where it is not written yet."""
    try:
        text = evaluation.read(SHARES_CSV).decode()
    except FileNotFoundError:
        return ()
    return tuple(
        ClassShare(row["capture"], row["target"], row["class"], int(row["id"]), int(row["voxels"]), float(row["share"]))
        for row in csv.DictReader(io.StringIO(text))
    )
