"""vemseg model: trained models as packages that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Share trained models as packages of bioimage.io, and take them back.", no_args_is_help=True)


@app.command(
    "export",
    epilog='vemseg model export runs/mine mine.zip --author "A. Person" --license CC-BY-4.0 --cite "Person 2026" '
    "--cite-at 10.5281/zenodo.1234567",
)
def export_(
    run_url: Annotated[str, typer.Argument(metavar="RUN", help="A run with a trained model", show_default=False)],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The zip to write", show_default=False)],
    authors: Annotated[list[str], typer.Option("--author", help="Who made it; several times", show_default=False)],
    license_: Annotated[
        str, typer.Option("--license", help="Of the model, by its SPDX identifier", show_default=False)
    ],
    cite: Annotated[str, typer.Option(help="What to cite", show_default=False)],
    cite_at: Annotated[str, typer.Option(help="Its DOI or address", show_default=False)],
    target: Annotated[str, typer.Option(help="multilabel, or a class that has a network of its own")] = "multilabel",
) -> None:
    """Write a model as a package of bioimage.io, with the network as TorchScript."""
    from pipeline.steps.bioimage import Credits, export_model

    export_model(run_url, target, file, Credits(tuple(authors), license_, (cite, cite_at)))
    print(f"{file}; to try it as others would: bioimageio test {file}")


@app.command("import", epilog="vemseg model import mine.zip models/mine")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A package that vemseg wrote", show_default=False)],
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="Where to put the model: a path or URL", show_default=False)
    ],
) -> None:
    """Take the model back from a package, to segment with it or to learn on from it."""
    from pipeline.steps.bioimage import import_model

    description = import_model(file, folder)
    names = ", ".join(member["name"] for member in description["classes"]["members"])
    print(f"{folder}: {description['target']['name']}, classes {names}; vemseg run segment -p model={folder} ...")
