"""The tables of objects that a run ends with, as Parquet and CSV beside its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.errors import RunConflictError
from pipeline.objects.columns import Table, from_parquet, joined, to_csv, to_parquet
from pipeline.objects.table import contact_table, object_table
from pipeline.run.layout import Run
from pipeline.run.objects import measured, measuring
from pipeline.scoring.object_matches import match_table
from pipeline.scoring.overlaps import Overlaps

OBJECTS, CONTACTS, MATCHES = "objects", "contacts", "object_matches"
"""Names of the tables, without their endings."""


def write_measured(run: Run) -> None:
    """Write the tables of objects and of their contacts, of all captures."""
    objects, contacts = [], []
    for capture in run.plan.captures:
        found, geometry = measured(run, capture), measuring(run, capture).geometry
        objects.append(object_table(found, geometry, capture.name))
        contacts.append(contact_table(found, geometry, capture.name))
    _write(run, OBJECTS, joined(objects))
    _write(run, CONTACTS, joined(contacts))


def write_matches(run: Run, overlaps: Mapping[str, Sequence[Overlaps]]) -> None:
    """Write which objects were found, missed and invented: by class, the overlaps in each capture of the run."""
    tables = [
        match_table(found, capture.name, name)
        for name, of_captures in overlaps.items()
        for capture, found in zip(run.plan.captures, of_captures, strict=True)
    ]
    _write(run, MATCHES, joined(tables))


def read_table(run: Run, name: str) -> Table:
    """A table that was written. Raises RunConflictError where there is none."""
    try:
        return from_parquet(run.evaluation_store.read(f"{name}.parquet"))
    except FileNotFoundError as error:
        cure = (
            "run `vemseg evaluate` (of a study) or `vemseg finish` (of a segmentation) on it first"
            if run.instances
            else "give classes.members instances: true, or a model that has learnt with it"
        )
        raise RunConflictError(f"{run.store.url} holds no table of {name.replace('_', ' ')}: {cure}") from error


def _write(run: Run, name: str, table: Table) -> None:
    run.evaluation_store.write(f"{name}.parquet", to_parquet(table))
    run.evaluation_store.write(f"{name}.csv", to_csv(table))
