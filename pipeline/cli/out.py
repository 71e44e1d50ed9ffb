"""vemseg view, export, suggest, corrections: results in the reader's own tools, and what is corrected there back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.values import triple

PANEL = "Studies"
app = typer.Typer()
corrections = typer.Typer(help="Suggested blocks out to be labelled, and back into a study.", no_args_is_help=True)
app.add_typer(corrections, name="corrections", rich_help_panel=PANEL)

Place = Annotated[
    str, typer.Argument(metavar="RUN|VOLUME", help="A run, or an OME-Zarr image or label volume: a path or URL")
]
Capture = Annotated[str | None, typer.Option(help="Which capture of the run; default: the first that is predicted")]


@app.command(rich_help_panel=PANEL, epilog="vemseg view runs/mine")
def view(
    place: Place,
    capture: Capture = None,
    port: Annotated[int, typer.Option(help="Port of this machine; 0: a free one", min=0, max=65535)] = 0,
    open_browser: Annotated[bool, typer.Option("--open", help="Open Neuroglancer in the browser")] = False,
) -> None:
    """Show grey values with the classes in Neuroglancer or napari: serves them to this machine and prints how."""
    import webbrowser

    from pipeline.run.layout import DOUBT
    from pipeline.run.outcome import RAW, outcome
    from pipeline.volume.viewers import NAMES, LabelLayer, VolumeServer, neuroglancer_url

    found = outcome(place, capture)
    stores = {name: volume.store for name, volume in found.volumes.items()}
    with VolumeServer(stores, {name: volume.classes for name, volume in found.labels.items()}, port) as server:
        layers = [
            LabelLayer(
                name,
                server.url(name),
                volume.classes,
                f"{server.url(name)}/{NAMES}" * bool(volume.classes),
                visible=number == 0,
            )
            for number, (name, volume) in enumerate(found.labels.items())
        ]
        raw = "" if found.image is None else server.url(RAW)
        shown = found.image.shown if found.image else None
        doubt = "" if found.doubt is None else server.url(DOUBT)
        link = neuroglancer_url(raw, layers, found.volume(None).geometry, shown=shown, doubt_url=doubt)
        more = [name for name in found.captures if name != found.name]
        print(f"{found.name}: {', '.join(found.volumes)}")
        if more:
            print(f"other captures: {', '.join(more)} (--capture {more[0]})")
        print(f"\nNeuroglancer, in a browser on this machine, while this command runs:\n{link}")
        print(f"\nnapari:\nnapari --plugin napari-ome-zarr {(found.image or found.volume(None)).store.readable_place}")
        print("\nCtrl-C ends this.", flush=True)
        if open_browser:
            webbrowser.open(link)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("ended")


@app.command(rich_help_panel=PANEL, epilog="vemseg export runs/mine classes.tif")
def export(
    place: Place,
    where: Annotated[
        Path | None, typer.Argument(help="File or folder to write; default: named after the capture, here")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="tif (for Fiji), bigtiff, npy, mrc, nrrd, h5 (for ilastik), png (slices), precomputed (for "
            "Neuroglancer); default: by the ending of the file, else tif",
        ),
    ] = None,
    what: Annotated[
        str | None,
        typer.Option(
            help="segmentation (the default), raw, truth, probabilities, doubt, masks (0 and 255, one a class)"
        ),
    ] = None,
    box_zyx: Annotated[
        str | None,
        typer.Option("--box", help="Only this part: z0:z1,y0:y1,x0:x1 in voxels of full resolution, or nm behind it"),
    ] = None,
    level: Annotated[int, typer.Option(help="Of the pyramid: 0 is full resolution, 1 the next coarser", min=0)] = 0,
    capture: Capture = None,
) -> None:
    """Write a segmentation, or what else a run holds, for Fiji, Amira, ilastik, Neuroglancer and others."""
    from pipeline.run.takeout import take_out
    from pipeline.volume.sources.cut import box_of

    part = None if box_zyx is None else box_of(box_zyx)
    for line in take_out(place, where, form=form, what=what, box=part, level=level, capture=capture):
        print(line)


@app.command(rich_help_panel=PANEL, epilog="vemseg suggest runs/mine --blocks 20 --size 1,256,256")
def suggest(
    run_url: Annotated[str, typer.Argument(metavar="RUN", help="A study or segmentation", show_default=False)],
    blocks: Annotated[int, typer.Option(help="How many, at most", min=1)] = 20,
    size: Annotated[str, typer.Option(help="z,y,x of a block, in voxels")] = "1,256,256",
    capture: Capture = None,
) -> None:
    """Say which blocks a person should label next: where the networks doubt, no two alike; with a table and a map."""
    from pipeline.run.layout import SUGGESTIONS
    from pipeline.steps.suggest import suggest as suggested

    found = suggested(run_url, capture=capture, count=blocks, size_zyx=triple(size, "--size", int))
    for rank, each in enumerate(found.blocks, start=1):
        unlike = "" if each.unlike is None else f", unlike the others by {each.unlike:.2f}"
        z, y, x = each.block.start_zyx
        print(f"{rank:3}  {found.capture} from z {z}, y {y}, x {x}: doubt {each.doubt:.2f}{unlike}")
    print(f"of {found.looked_at} blocks, whose average doubt is 1")
    print(f"evaluation/{SUGGESTIONS}.csv, evaluation/figures/{SUGGESTIONS}.png")
    print(f"to label them: vemseg corrections out {run_url} FOLDER")


@corrections.command("out", epilog="vemseg corrections out runs/mine to-label")
def corrections_out(
    run_url: Annotated[str, typer.Argument(metavar="RUN", help="With suggestions", show_default=False)],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="To write them to", show_default=False)],
) -> None:
    """Write the suggested blocks as images with proposed labels, for Fiji and napari."""
    from pipeline.steps.corrections import corrections_out as write

    names = write(run_url, folder)
    print(f"{folder}: {len(names)} blocks, each with image.tif, labels.tif and both.zarr; README.txt says how to go on")


@corrections.command("in", epilog="vemseg corrections in to-label --study study.yaml > better.yaml")
def corrections_in(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="That was labelled", show_default=False)],
    study: Annotated[str, typer.Option(help="Configuration that is to learn from it", show_default=False)],
    accept_unchanged: Annotated[bool, typer.Option(help="Take blocks that are as they were proposed, too")] = False,
) -> None:
    """Check labelled blocks, and print the study's configuration with them as captures to train on."""
    from pipeline.steps.corrections import corrections_in as take

    taken = take(folder, study, accept_unchanged=accept_unchanged)
    print(taken.study, end="")
    left = f"; as proposed, and not taken: {', '.join(taken.left)}" if taken.left else ""
    print(f"taken: {', '.join(taken.changed)}{left}", file=sys.stderr)
