"""vemseg: a thin command line. Each command is a function of the package that can be called from Python as well.

Modules are imported by the command that needs them, so that ``vemseg --help`` answers at once.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from pipeline import __version__, cli_app, cli_boost, cli_cluster
from pipeline.cli_values import check_worker, count, pairs, triple
from pipeline.fanout import PODS_PER_WORKFLOW

if TYPE_CHECKING:
    from rich.console import Console

STUDY, STEPS, DATA, SETTINGS = "Studies", "Steps (what the pods of a workflow run)", "Volumes", "Configuration"
# Trying again brings no file where there is none, and opens none that is not to be opened.
MISPLACED = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)
# A pod's own file for this; Argo copies it into the Workflow object, which must stay small.
TERMINATION_LOG, TERMINATION_CHARACTERS = Path("/dev/termination-log"), 300

app = typer.Typer(
    name="vemseg",
    help="Segment volume electron microscopy: train on a small labelled capture, predict whole volumes, score them.",
    epilog="A first study: vemseg phantom capture && vemseg run workflows/study.yaml -p config=capture/study.yaml "
    "-p run=runs/first",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="Write, explain and check configurations.", no_args_is_help=True)
app.add_typer(cli_cluster.app)
app.add_typer(cli_app.app)
app.add_typer(cli_boost.app, name="boost", rich_help_panel=STEPS)
app.add_typer(config_app, name="config", rich_help_panel=SETTINGS)

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
    from pipeline.errors import VemsegError

    try:
        app()
    except VemsegError as error:
        _end(str(error), error.exit_code)
    except OSError as error:
        _end(
            f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), 2 if isinstance(error, MISPLACED) else 74
        )


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version")] = False) -> None:
    """Print the version when asked to."""
    if show:
        print(f"vemseg {__version__}")
        raise typer.Exit


def _print_fields(asked: bool) -> None:
    if asked:
        from pipeline.workflow.fieldlist import markdown

        print(markdown(), end="")
        raise typer.Exit


@app.command(
    rich_help_panel=STUDY, epilog="vemseg run workflows/study.yaml -p config=study.yaml -p run=runs/mine --jobs 2"
)
def run(
    workflow: Annotated[Path, typer.Argument(help="Argo Workflows YAML, such as workflows/study.yaml")],
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="A workflow parameter, name=value")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes at once; default: one a core", min=1)] = None,
    volume: Annotated[
        list[str] | None, typer.Option(help="Directory in place of a volume claim, claim=directory")
    ] = None,
    semaphore: Annotated[list[str] | None, typer.Option(help="Places of a semaphore, configmap/key=number")] = None,
    state: Annotated[
        Path | None, typer.Option(help="Where the runner keeps its state; default: <run>/workflow")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget what an earlier, unfinished run of it has done")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would run, and stop")] = False,
    _fields: Annotated[
        bool,
        typer.Option(
            "--fields",
            help="Print what becomes of each field of a file, and stop",
            callback=_print_fields,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Run an Argo workflow on this machine, without a cluster; the same command later goes on where it stopped."""
    from rich.console import Console

    from pipeline.workflow import describe, exit_code, for_console, load
    from pipeline.workflow import run as run_workflow

    loaded = load(workflow)
    values = pairs(parameter, "--parameter")
    volumes = pairs(volume, "--volume")
    semaphores = {key: count(value, key) for key, value in pairs(semaphore, "--semaphore").items()}
    state_dir = state or _state_directory(values, workflow)
    console = Console()
    if dry_run:
        console.print(
            describe(loaded, values, state_dir=state_dir, volumes=volumes),
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        return
    result = run_workflow(
        loaded,
        values,
        state_dir=state_dir,
        jobs=jobs,
        volumes=volumes,
        semaphores=semaphores,
        view=for_console(console),
        fresh=fresh,
    )
    if exit_code(result) == 0 and "run" in values:
        _show(values["run"], console)
    raise typer.Exit(exit_code(result))


@app.command(rich_help_panel=STUDY, epilog="vemseg inspect runs/mine")
def inspect(run_url: Annotated[str, typer.Argument(metavar="RUN", help="Run URL")]) -> None:
    """Say what a run holds, how far it is and what it scored."""
    from rich.console import Console

    _show(run_url, Console())


@app.command(rich_help_panel=STUDY, epilog="vemseg render runs/mine")
def render(run_url: Annotated[str, typer.Argument(metavar="RUN", help="Run URL")]) -> None:
    """Draw in 3D what was found, missed and invented of each class: pictures, a turn-table, an interactive scene."""
    from pipeline.steps.render import render as step

    step(run_url)


@app.command(rich_help_panel=STUDY, epilog="vemseg report runs/mine")
def report(
    run_url: Annotated[str, typer.Argument(metavar="RUN", help="Run URL: a path, file:// or s3://")],
    unless_current: Annotated[
        bool, typer.Option("--unless-current", help="Leave a report that shows the present results")
    ] = False,
) -> None:
    """Write what a run holds, finished or not, as one page that opens anywhere: evaluation/report.html."""
    from pipeline.steps.report import report as step

    step(run_url, unless_current=unless_current)


@app.command(rich_help_panel=STEPS, epilog="vemseg plan --config study.yaml --run runs/mine")
def plan(
    config: Annotated[str, typer.Option(help="Configuration: a path or URL", show_default=False)],
    run_url: RunUrl,
    outputs: Outputs = None,
    pods_per_workflow: PodsPerWorkflow = PODS_PER_WORKFLOW,
    update: Annotated[bool, typer.Option("--update", help="Take a changed configuration into an existing run")] = False,
) -> None:
    """Take in the captures, plan the networks and split the data."""
    from pipeline.steps.plan import plan as step

    step(config, run_url, outputs=outputs, pods_per_workflow=pods_per_workflow, update=update)


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
    target: Target,
    variant: Annotated[str, typer.Option(help="The captures as they are (native), or boosted by a method")] = "native",
    worker: Worker = 0,
    workers: Workers = 1,
) -> None:
    """Predict this worker's shards with a trained network."""
    from pipeline.steps.infer import infer as step

    check_worker(worker, workers)
    step(run_url, target=target, variant=variant, worker=worker, workers=workers)


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
    workers: Workers = 2,
    outputs: Outputs = None,
    pods_per_workflow: PodsPerWorkflow = PODS_PER_WORKFLOW,
) -> None:
    """Take in a volume without labels, to segment it with a trained model."""
    from pipeline.steps.prepare import prepare as step

    size = None if not voxel_size_nm else triple(voxel_size_nm, "--voxel-size-nm", float)
    step(
        model,
        volume,
        run_url,
        voxel_size_nm=size,
        workers=workers,
        outputs=outputs,
        pods_per_workflow=pods_per_workflow,
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
    settled_seconds: Annotated[float, typer.Option(help="Leave a volume that has changed since", min=0)] = 300.0,
    outputs: Outputs = None,
) -> None:
    """Find the volumes of a folder that have no run yet."""
    from pipeline.steps.inbox import inbox as step

    look = step(folder, runs, settled_seconds=settled_seconds, outputs=outputs)
    for volume in look.found:
        print(f"{volume.input}: new, to be segmented in {volume.run}")
    for name, reason in look.left_alone.items():
        print(f"{name}: left alone, {reason}")


@app.command(rich_help_panel=STEPS, epilog="vemseg summary --run runs/mine --workflow study --status Succeeded")
def summary(
    run_url: RunUrl,
    workflow: Annotated[str, typer.Option(help="Name of the workflow", show_default=False)],
    status: Annotated[str, typer.Option(help="How it ended: Argo's workflow.status", show_default=False)],
    duration: Annotated[float, typer.Option(help="Seconds that it took: Argo's workflow.duration", min=0)] = 0.0,
    failures: Annotated[str, typer.Option(help="Failed nodes as JSON: Argo's workflow.failures")] = "",
) -> None:
    """Leave in the run how its workflow ended, and why."""
    from pipeline.steps.summary import summary as step

    step(run_url, workflow=workflow, status=status, duration_s=duration, failures=failures)


@app.command(rich_help_panel=DATA, epilog="vemseg phantom capture --shape 25,700,700 --seed 1")
def phantom(
    directory: Annotated[Path, typer.Argument(help="Folder to write raw.tif, labels.tif and study.yaml to")],
    shape: Annotated[str, typer.Option(help="Voxels z,y,x")] = "25,700,700",
    seed: Annotated[int, typer.Option(help="Another seed is another tissue", min=0)] = 0,
    example: Annotated[str, typer.Option(help="Which configuration to write beside it: phantom or demo")] = "phantom",
) -> None:
    """Make a FIB-SEM-like capture with labels of the eight default classes."""
    from pipeline.steps.phantom import write_phantom

    write_phantom(directory, triple(shape, "--shape", int), seed=seed, example=example)


@app.command(
    rich_help_panel=DATA, epilog="vemseg export runs/new/predictions/multilabel/volume/labels/segmentation out.tif"
)
def export(
    volume: Annotated[str, typer.Argument(help="An OME-Zarr image or label volume")],
    destination: Annotated[Path, typer.Argument(help="File to write: .tif or .npy")],
) -> None:
    """Write a volume as TIFF or NumPy."""
    from pipeline.volume.export import export_image
    from pipeline.volume.omezarr import open_image
    from pipeline.volume.stores import Store

    export_image(open_image(Store.open(volume)), destination)


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
) -> None:
    """Bring a volume to another voxel size, such as that of a model's training."""
    from pipeline.steps.resample import resample as step

    size = None if not voxel_size_nm else triple(voxel_size_nm, "--voxel-size-nm", float)
    step(volume, output, to_nm=triple(to_nm, "--to-nm", float), voxel_size_nm=size)


@config_app.command("example", epilog="vemseg config example > study.yaml")
def config_example(
    name: Annotated[str, typer.Argument(help="phantom, demo or sections")] = "phantom",
) -> None:
    """Print a configuration to start from."""
    from pipeline.examples import example_text

    print(example_text(name), end="")


@config_app.command("schema", epilog="vemseg config schema > study.schema.json")
def config_schema() -> None:
    """Print the JSON schema, for editors that complete and check as one types."""
    from pipeline.config import schema_json

    print(schema_json())


@config_app.command("check", epilog="vemseg config check study.yaml")
def config_check(path: Annotated[Path, typer.Argument(help="Configuration file")]) -> None:
    """Say what is wrong with a configuration, and where."""
    from pipeline.config import load_config

    config = load_config(path)
    captures = ", ".join(capture.name for capture in config.data.captures)
    print(f"{path}: right. Captures: {captures} (their files are looked at by `vemseg plan`)")
    print(f"Targets: {', '.join(config.targets)}")


def _end(reason: str, code: int) -> NoReturn:
    """End with the reason on standard error and, in a pod, as Kubernetes' reason why the container ended."""
    print(f"vemseg: {reason}", file=sys.stderr)
    if TERMINATION_LOG.is_file():
        with suppress(OSError):
            TERMINATION_LOG.write_text(reason[:TERMINATION_CHARACTERS], encoding="utf-8")
    sys.exit(code)


def _show(run_url: str, console: Console) -> None:
    from pipeline.steps.inspect import overview

    for part in overview(run_url):
        console.print(part)


def _state_directory(values: dict[str, str], workflow: Path) -> Path:
    """Beside the run where that is a local directory, else below the working directory."""
    run_url = values.get("run", "")
    if run_url and "://" not in run_url:
        return Path(run_url) / "workflow"
    return Path(".vemseg") / workflow.stem
