"""The tables of objects that a run ends with, as Parquet and CSV beside its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.errors import InputError, RunConflictError
from pipeline.objects.columns import Table, from_parquet, joined, to_csv, to_parquet
from pipeline.objects.table import contact_table, object_table, of_class
from pipeline.run.layout import Run
from pipeline.run.objects import measured, measuring
from pipeline.scoring.object_matches import match_table
from pipeline.scoring.overlaps import Overlaps

OBJECTS, CONTACTS, MATCHES = "objects", "contacts", "object_matches"
"""Names of the tables, without their endings."""
WRITERS = {".parquet": to_parquet, ".csv": to_csv}


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


def take_table(run: Run, name: str, path: Path, class_name: str | None = None) -> int:
    """Write a table, or what it holds of one class, to a file; returns how many rows these are.

    Raises:
        InputError: the file's name ends neither in .csv nor in .parquet, or there are no objects of the class.
        RunConflictError: the run has no such table.
    """
    if path.suffix not in WRITERS:
        raise InputError(f"{path}: a table is written as {' or '.join(WRITERS)}; end the name so")
    table = read_table(run, name)
    if class_name is not None:
        table = of_class(table, known_class(run, class_name))
    path.write_bytes(WRITERS[path.suffix](table))
    return int(table.num_rows)


def known_class(run: Run, name: str) -> str:
    """The name of a class whose objects are told apart; InputError where they are not."""
    known = list(run.instances.values())
    if name not in known:
        raise InputError(f"no objects of {name!r} are told apart in this run, but of {', '.join(known)}")
    return name


def _write(run: Run, name: str, table: Table) -> None:
    for ending, write in WRITERS.items():
        run.evaluation_store.write(f"{name}{ending}", write(table))
