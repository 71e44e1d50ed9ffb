"""vemseg boost: the steps that make volumes finer in x and y, and see what that does to their segmentation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.untrusted import InputIs, InputIsOption, run_confined
from pipeline.cli.values import BoxOption, LevelOption, check_worker, cut_of, method_name, triple
from pipeline.nn.zssr.methods import METHODS
from pipeline.run.fanout import PODS_PER_WORKFLOW

STUDY, VOLUME = "In a study", "A volume on its own"

app = typer.Typer(
    help="Make volumes finer in x and y: by interpolation, or by a network that learns from the volume itself.",
    epilog="A whole volume: vemseg run boost -p input=coarse.tif -p run=runs/fine",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


RunUrl = Annotated[str, typer.Option("--run", help="Run URL: a path, file:// or s3://", show_default=False)]
How = Annotated[str, typer.Option(help="How to boost", parser=method_name, metavar=f"[{'|'.join(METHODS)}]")]


@app.command(
    rich_help_panel=VOLUME, epilog='vemseg boost prepare --input coarse.tif --run runs/fine --settings "factor: 3"'
)
def prepare(
    volume: Annotated[str, typer.Option("--input", help="Volume to boost, in any readable format", show_default=False)],
    run_url: RunUrl,
    method: How = "zssr",
    settings: Annotated[
        str, typer.Option(help="The configuration's section boosting, as YAML, such as '{factor: 3}'")
    ] = "",
    voxel_size_nm: Annotated[
        str | None, typer.Option(help="z,y,x in nanometres, where the file does not state it")
    ] = None,
    level: LevelOption = "",
    box: BoxOption = "",
    outputs: Annotated[Path | None, typer.Option(help="Directory for the values that a workflow goes on with")] = None,
    pods_per_workflow: Annotated[int, typer.Option(help="Most workers of a workflow", min=1)] = PODS_PER_WORKFLOW,
    input_is: InputIsOption = InputIs.TRUSTED,
) -> None:
    """Take in a volume that is to be boosted."""
    if input_is is InputIs.UNTRUSTED:
        run_confined(volume, [], [run_url, outputs])
        return
    from pipeline.steps.boosting.prepare import prepare as step

    step(
        volume + cut_of(level, box),
        run_url,
        method=method,
        settings=settings,
        voxel_size_nm=None if not voxel_size_nm else triple(voxel_size_nm, "--voxel-size-nm", float),
        outputs=outputs,
        pods_per_workflow=pods_per_workflow,
        policy=input_is.policy,
    )


@app.command(rich_help_panel=STUDY, epilog="vemseg boost degrade --run runs/mine")
def degrade(run_url: RunUrl) -> None:
    """Make the test part of each capture coarse, to see what boosting gives back."""
    from pipeline.steps.boosting.degrade import degrade as step

    step(run_url)


@app.command(rich_help_panel=STUDY, epilog="vemseg boost train --run runs/mine")
def train(run_url: RunUrl) -> None:
    """Teach zero-shot super-resolution from the coarse slices; goes on from the last checkpoint."""
    from pipeline.steps.boosting.train import train as step

    step(run_url)


@app.command(rich_help_panel=STUDY, epilog="vemseg boost apply --run runs/mine --method zssr --worker 0 --workers 4")
def apply(
    run_url: RunUrl,
    method: How = "zssr",
    worker: Annotated[int, typer.Option(help="Number of this worker, from 0", min=0)] = 0,
    workers: Annotated[int, typer.Option(help="How many workers share the work", min=1)] = 1,
) -> None:
    """Boost this worker's shards."""
    from pipeline.steps.boosting.apply import apply as step

    check_worker(worker, workers)
    step(run_url, method=method, worker=worker, workers=workers)


@app.command(rich_help_panel=STUDY, epilog="vemseg boost compare --run runs/mine")
def compare(run_url: RunUrl) -> None:
    """Compare images and segmentations with and without boosting: tables, figures."""
    from pipeline.steps.boosting.compare import compare as step

    step(run_url)


@app.command(rich_help_panel=VOLUME, epilog="vemseg boost finish --run runs/fine")
def finish(run_url: RunUrl) -> None:
    """Finish a boosted volume: coarser levels for viewers, a picture."""
    from pipeline.steps.boosting.finish import finish as step

    step(run_url)
