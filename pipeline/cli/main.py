"""vemseg: a thin command line. Each command is a function of the package that can be called from Python as well.

Modules are imported by the command that needs them, so that ``vemseg --help`` answers at once.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NoReturn
from urllib.parse import unquote

import typer

from pipeline import __version__
from pipeline.cli import app as app_command
from pipeline.cli import bench, boost, cluster, config, describe, init, model, objects, out, study
from pipeline.cli.untrusted import InputIs, InputIsOption, run_confined
from pipeline.cli.values import BoxOption, LevelOption, check_worker, cut_of, treatment, triple
from pipeline.run.fanout import PODS_PER_WORKFLOW
from pipeline.run.phases import SEPARATION
from pipeline.volume.treatments import TREATMENTS, Treatment

STEPS, DATA, SETTINGS = "Steps (what the pods of a workflow run)", "Volumes", "Configuration"
# A pod's own file for this; Argo copies it into the Workflow object, which must stay small.
TERMINATION_LOG, TERMINATION_CHARACTERS = Path("/dev/termination-log"), 300
_FORK_LINK = "VEMSEG_FORK_LINK"  # set by `argo.forks`

app = typer.Typer(
    name="vemseg",
    help="Segment volume electron microscopy: train on a small labelled capture, predict whole volumes, score them.",
    epilog="A first study: vemseg phantom capture && vemseg run study -p config=capture/study.yaml -p run=runs/first",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
# Before those of this file, as help lists them.
for each in (init, bench, study):
    app.registered_commands.extend(each.app.registered_commands)
app.add_typer(study.workflows_app, name="workflows", rich_help_panel=study.PANEL)
app.add_typer(out.app)
app.add_typer(objects.app)
app.add_typer(model.app, name="model", rich_help_panel=study.PANEL)
app.add_typer(cluster.app)
app.add_typer(app_command.app)
app.add_typer(boost.app, name="boost", rich_help_panel=STEPS)
app.add_typer(config.app, name="config", rich_help_panel=SETTINGS)

RunUrl = Annotated[str, typer.Option("--run", help="Run URL: a path, file:// or s3://", show_default=False)]
Worker = Annotated[int, typer.Option(help="Number of this worker, from 0", min=0)]
Workers = Annotated[int, typer.Option(help="How many workers share the work", min=1)]
Target = Annotated[str, typer.Option(help="multilabel, or the name of a class", show_default=False)]
Outputs = Annotated[Path | None, typer.Option(help="Directory for the values that a workflow goes on with")]
PodsPerWorkflow = Annotated[
    int,
    typer.Option(help="Workers that one workflow holds; those of the inference beyond them go to nested ones", min=1),
]


def main() -> None:
    """Run the command line; errors that a user can mend end it with their message and exit code."""
    if (link := os.environ.pop(_FORK_LINK, None)) is not None:
        from pipeline.argo.forkserver import serve
        from pipeline.cli.warm import import_for

        serve(int(link), import_for, main)
    from pipeline.errors import VemsegError, told

    atexit.register(gc.freeze)  # Python ends sooner where it looks for no rubbish in all that was imported
    if os.environ.pop("VEMSEG_ARGUMENTS", "") == "percent":  # in the pods of a workflow: see workflows/source/pods.part
        sys.argv[1:] = [unquote(word) for word in sys.argv[1:]]
    try:
        app()
    except (VemsegError, OSError) as error:
        _end(*told(error))


def command(words: list[str]) -> None:
    """Do a command in this process, as a confined one does; errors are raised."""
    app(words, standalone_mode=False)


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version")] = False) -> None:
    """Print the version when asked to."""
    if show:
        print(f"vemseg {__version__}")
        raise typer.Exit


@app.command(rich_help_panel=STEPS, epilog="vemseg plan --config study.yaml --run runs/mine")
def plan(
    config: Annotated[str, typer.Option(help="Configuration: a path or URL", show_default=False)],
    run_url: RunUrl,
    outputs: Outputs = None,
    pods_per_workflow: PodsPerWorkflow = PODS_PER_WORKFLOW,
    at_once: Annotated[
        int,
        typer.Option(help="Pods that run at once, where few do: one predicts many targets; 0: any number", min=0),
    ] = 0,
    update: Annotated[bool, typer.Option("--update", help="Take a changed configuration into an existing run")] = False,
) -> None:
    """Take in the captures, plan the networks and split the data."""
    from pipeline.steps.plan import plan as step

    step(config, run_url, outputs=outputs, pods_per_workflow=pods_per_workflow, at_once=at_once, update=update)


@app.command(rich_help_panel=STEPS, epilog="vemseg augment --run runs/mine --worker 0 --workers 2")
def augment(run_url: RunUrl, worker: Worker = 0, workers: Workers = 1) -> None:
    """Write this worker's part of the pool of augmented samples."""
    from pipeline.steps.augment import augment as step

    check_worker(worker, workers)
    step(run_url, worker=worker, workers=workers)


@app.command(rich_help_panel=STEPS, epilog="vemseg train --run runs/mine --target multilabel")
def train(run_url: RunUrl, target: Target) -> None:
    """Train one network; goes on from its last checkpoint."""
    from pipeline.steps.train import train as step

    step(run_url, target=target)


@app.command(rich_help_panel=STEPS, epilog="vemseg infer --run runs/mine --target multilabel --worker 0 --workers 4")
def infer(
    run_url: RunUrl,
    target: Annotated[
        str,
        typer.Option(help="multilabel, or the name of a class; several with commas between", show_default=False),
    ],
    variant: Annotated[str, typer.Option(help="The captures as they are (native), or boosted by a method")] = "native",
    worker: Worker = 0,
    workers: Workers = 1,
) -> None:
    """Predict this worker's shards with a trained network, or several that read each block once."""
    from pipeline.steps.infer import infer as step

    check_worker(worker, workers)
    step(run_url, target=target, variant=variant, worker=worker, workers=workers)


@app.command(rich_help_panel=STEPS, epilog="vemseg separate --run runs/mine --phase cores --worker 0 --workers 4")
def separate(
    run_url: RunUrl,
    phase: Annotated[
        str | None,
        typer.Option(help=f"One of {', '.join(SEPARATION)}, once all before it are done; left out: all of them"),
    ] = None,
    worker: Worker = 0,
    workers: Workers = 1,
) -> None:
    """Tell the objects of classes apart: an id for each, the same however the work is shared."""
    from pipeline.steps.separate import separate as step

    check_worker(worker, workers)
    step(run_url, phase=phase, worker=worker, workers=workers)


@app.command(rich_help_panel=STEPS, epilog="vemseg merge --run runs/mine --worker 0 --workers 4")
def merge(run_url: RunUrl, worker: Worker = 0, workers: Workers = 1) -> None:
    """Merge what all networks say of this worker's shards into one segmentation."""
    from pipeline.steps.merge import merge as step

    check_worker(worker, workers)
    step(run_url, worker=worker, workers=workers)


@app.command(rich_help_panel=STEPS, epilog="vemseg evaluate --run runs/mine")
def evaluate(run_url: RunUrl) -> None:
    """Score the predictions: tables, confusion volumes, figures."""
    from pipeline.steps.evaluate import evaluate as step

    step(run_url)


@app.command(
    rich_help_panel=STEPS,
    epilog="vemseg prepare --model runs/mine/models/multilabel --input new.tif --run runs/new",
)
def prepare(
    model: Annotated[str, typer.Option(help="A trained model: a run's models/<target>", show_default=False)],
    volume: Annotated[
        str, typer.Option("--input", help="Volume to segment, in any readable format", show_default=False)
    ],
    run_url: RunUrl,
    voxel_size_nm: Annotated[
        str | None, typer.Option(help="z,y,x in nanometres, where the file does not state it")
    ] = None,
    level: LevelOption = "",
    box: BoxOption = "",
    intensity: Annotated[
        Treatment | None,
        typer.Option(
            parser=treatment,
            metavar=f"[{'|'.join(TREATMENTS)}]",
            help="Grey values beside the training's: kept, their quantiles laid on its quantiles (inverted contrast is "
            "turned round), or stretched between their outermost half percents. Left out: kept, and refused where "
            "they are far from it",
        ),
    ] = None,
    keep_model_grid: Annotated[
        bool, typer.Option(help="Leave a result that was resampled for the model at the model's voxel size")
    ] = False,
    probabilities: Annotated[
        bool, typer.Option(help="Keep how sure the network is of each class, too (vemseg suggest)")
    ] = False,
    workers: Workers = 2,
    outputs: Outputs = None,
    pods_per_workflow: PodsPerWorkflow = PODS_PER_WORKFLOW,
    input_is: InputIsOption = InputIs.TRUSTED,
) -> None:
    """Take in a volume without labels, to segment it with a trained model.

    One with another voxel size than the model's is resampled, and the result is brought back to its own voxels.
    """
    if input_is is InputIs.UNTRUSTED:
        run_confined(volume, [model], [run_url, outputs])
        return
    from pipeline.config.model import Inference
    from pipeline.steps.prepare import prepare as step

    size = None if not voxel_size_nm else triple(voxel_size_nm, "--voxel-size-nm", float)
    step(
        model,
        volume + cut_of(level, box),
        run_url,
        voxel_size_nm=size,
        keep_model_grid=keep_model_grid,
        intensity=intensity,
        inference=Inference(probabilities=probabilities),
        workers=workers,
        outputs=outputs,
        pods_per_workflow=pods_per_workflow,
        policy=input_is.policy,
    )


@app.command(rich_help_panel=STEPS, epilog="vemseg finish --run runs/new")
def finish(run_url: RunUrl) -> None:
    """Finish a segmentation: coarser levels for viewers, class shares, a preview."""
    from pipeline.steps.finish import finish as step

    step(run_url)


@app.command(rich_help_panel=STEPS, epilog="vemseg inbox --folder /data/inbox --runs /data/segmented")
def inbox(
    folder: Annotated[str, typer.Option(help="Folder whose entries are volumes", show_default=False)],
    runs: Annotated[str, typer.Option(help="Folder of their runs", show_default=False)],
    settled_seconds: Annotated[float, typer.Option(help="Skip what has changed within so many seconds", min=0)] = 300.0,
    level: LevelOption = "",
    box: BoxOption = "",
    outputs: Outputs = None,
) -> None:
    """Find the volumes of a folder that have no run yet; of each, the same level and box are to be segmented."""
    from pipeline.steps.inbox import inbox as step

    look = step(folder, runs, settled_seconds=settled_seconds, cut=cut_of(level, box), outputs=outputs)
    for volume in look.found:
        print(f"{volume.input}: new, to be segmented in {volume.run}")
    for name, reason in look.left_alone.items():
        print(f"{name}: skipped, {reason}")


@app.command(rich_help_panel=STEPS, epilog="vemseg summary --run runs/mine --workflow study --status Succeeded")
def summary(
    run_url: RunUrl,
    workflow: Annotated[str, typer.Option(help="Name of the workflow", show_default=False)],
    status: Annotated[str, typer.Option(help="How it ended: Argo's workflow.status", show_default=False)],
    duration: Annotated[float, typer.Option(help="Seconds that it took: Argo's workflow.duration", min=0)] = 0.0,
    failures: Annotated[str, typer.Option(help="Failed nodes as JSON: Argo's workflow.failures")] = "",
) -> None:
    """Record in the run how its workflow ended, and why."""
    from pipeline.steps.summary import summary as step

    step(run_url, workflow=workflow, status=status, duration_s=duration, failures=failures)


# After the steps, as help lists it.
app.registered_commands.extend(describe.app.registered_commands)


@app.command(rich_help_panel=DATA, epilog="vemseg phantom capture --shape 25,700,700 --seed 1")
def phantom(
    directory: Annotated[Path, typer.Argument(help="Folder to write raw.tif, labels.tif and study.yaml to")],
    shape: Annotated[str, typer.Option(help="Voxels z,y,x")] = "25,700,700",
    seed: Annotated[int, typer.Option(help="Seed of the random tissue", min=0)] = 0,
    example: Annotated[
        str, typer.Option(help="Which configuration to write beside it: phantom, demo or objects")
    ] = "phantom",
    touching: Annotated[
        bool, typer.Option("--touching", help="Let mitochondria and vesicles touch, and write ids of each")
    ] = False,
) -> None:
    """Make a FIB-SEM-like capture with labels of the eight default classes."""
    from pipeline.steps.phantom import write_phantom

    write_phantom(directory, triple(shape, "--shape", int), seed=seed, example=example, touching=touching)


@app.command(
    rich_help_panel=DATA,
    epilog="vemseg resample --input fine.tif --voxel-size-nm 4,4,4 --to-nm 10,5,5 --output coarser",
)
def resample(
    volume: Annotated[str, typer.Option("--input", help="Volume in any readable format", show_default=False)],
    output: Annotated[str, typer.Option(help="Place of the result, OME-Zarr: <output>/resampled", show_default=False)],
    to_nm: Annotated[str, typer.Option(help="Voxel size to bring it to, z,y,x in nanometres", show_default=False)],
    voxel_size_nm: Annotated[
        str | None, typer.Option(help="z,y,x in nanometres, where the file does not state it")
    ] = None,
    input_is: InputIsOption = InputIs.TRUSTED,
) -> None:
    """Bring a volume to another voxel size, such as that of a model's training."""
    if input_is is InputIs.UNTRUSTED:
        run_confined(volume, [], [output])
        return
    from pipeline.steps.resample import resample as step

    size = None if not voxel_size_nm else triple(voxel_size_nm, "--voxel-size-nm", float)
    step(volume, output, to_nm=triple(to_nm, "--to-nm", float), voxel_size_nm=size, policy=input_is.policy)


def _end(reason: str, code: int) -> NoReturn:
    """End with the reason on standard error and, in a pod, as Kubernetes' reason why the container ended."""
    print(f"vemseg: {reason}", file=sys.stderr)
    if TERMINATION_LOG.is_file():
        with suppress(OSError):
            TERMINATION_LOG.write_text(reason[:TERMINATION_CHARACTERS], encoding="utf-8")
    sys.exit(code)
