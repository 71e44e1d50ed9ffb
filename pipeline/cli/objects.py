"""vemseg objects: how many there are of each class and how large they are; their tables and surfaces as files."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.objects.columns import Table as ObjectTable
    from pipeline.run.layout import Run

PANEL = "Studies"
app = typer.Typer()


class What(StrEnum):
    """The tables that there are."""

    OBJECTS = "objects"
    CONTACTS = "contacts"
    MATCHES = "matches"


@app.command(rich_help_panel=PANEL, epilog="vemseg objects runs/mine mitochondria.csv --class mitochondria")
def objects(
    run_url: Annotated[str, typer.Argument(metavar="RUN", help="A run whose objects are told apart: a path or URL")],
    where: Annotated[
        Path | None,
        typer.Argument(
            help="File to write to: the table as .csv or .parquet, a mesh as .ply, .stl or, without an ending, in a "
            "folder of precomputed meshes; left out: a summary is shown"
        ),
    ] = None,
    what: Annotated[
        What,
        typer.Option(
            help="A row an object, a row for each two that touch, or a row a match with the truth (of a study)"
        ),
    ] = What.OBJECTS,
    class_name: Annotated[str | None, typer.Option("--class", help="Only the objects of this class")] = None,
    mesh: Annotated[
        int | None, typer.Option(metavar="ID", help="Write the surface of this object, in nm of the volume's space")
    ] = None,
    capture: Annotated[str | None, typer.Option(help="Of the mesh's object, where several captures have one")] = None,
) -> None:
    """Show how many objects of each class there are and how large, or write their table, or the mesh of one."""
    from pipeline.errors import InputError
    from pipeline.run.layout import Run
    from pipeline.run.objecttables import CONTACTS, MATCHES, OBJECTS, known_class, read_table, take_table

    if capture is not None and mesh is None:
        raise InputError(
            f"--capture {capture}: says of which capture the object of --mesh is; name one, or leave it out"
        )
    if mesh is not None and what is not What.OBJECTS:
        raise InputError(f"--what {what.value}: is a table, and --mesh writes a surface; leave one of them out")
    run = Run.open(run_url)
    if mesh is not None:
        _write_mesh(run, where, mesh, class_name, capture)
        return
    if where is not None:
        name = {What.OBJECTS: OBJECTS, What.CONTACTS: CONTACTS, What.MATCHES: MATCHES}[what]
        print(f"{where}: {take_table(run, name, where, class_name)} rows")
        return
    from rich.console import Console

    from pipeline.scoring import object_tables

    asked = run.instances.values() if class_name is None else [known_class(run, class_name)]
    console = Console()
    console.print(_sizes(read_table(run, OBJECTS), asked))
    scores = {name: each for name, each in (run.scores.objects if run.scores else {}).items() if name in asked}
    if scores:
        console.print(object_tables.to_rich(scores))


def _write_mesh(run: Run, where: Path | None, object_id: int, class_name: str | None, capture: str | None) -> None:
    from pipeline.errors import InputError
    from pipeline.figures.render import object_surface, write_object_mesh  # VTK is slow to import

    if where is None:
        raise InputError(f"--mesh {object_id}: name the file to write, such as object.ply")
    surface = object_surface(run, class_name, object_id, capture)
    write_object_mesh(surface, object_id, where)
    print(f"{where}: {surface.style.name}, {len(surface.triangles):,} triangles")


def _sizes(objects: ObjectTable, classes: Iterable[str]) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from pipeline.formats import ABSENT, volume_um3, whole
    from pipeline.objects.table import summary

    view = Table("class", box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("objects", "median\nµm³", "together\nµm³", "cut by\nthe end", "touch\nanother"):
        view.add_column(title, justify="right")
    for name in classes:
        found = summary(objects, name)
        median = ABSENT if found.median_um3 is None else volume_um3(found.median_um3)
        counts = (whole(found.cut), whole(found.touching))
        view.add_row(escape(name), whole(found.count), median, volume_um3(found.total_um3), *counts)
    return view
