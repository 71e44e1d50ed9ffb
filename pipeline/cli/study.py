"""The commands of a study on this machine: run a workflow, see how far it is, read what workflows there are."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.values import RunPlace, count, pairs

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.argo.model import Parameter

PANEL = "Studies"
app = typer.Typer()
workflows_app = typer.Typer(help="The workflows that come with vemseg.", no_args_is_help=True)


def _print_fields(asked: bool) -> None:
    if asked:
        from pipeline.argo.fields import markdown

        print(markdown(), end="")
        raise typer.Exit


@app.command(rich_help_panel=PANEL, epilog="vemseg run study -p config=study.yaml -p run=runs/mine")
def run(
    workflow: Annotated[str, typer.Argument(help="study, segment, boost, or a file of Argo Workflows YAML")] = "",
    others: Annotated[list[str] | None, typer.Argument(hidden=True, help="None; what stands here lacks its -p")] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="A workflow parameter, name=value")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(help="Processes at once; default: one a core, or as many as a study has networks", min=1),
    ] = None,
    volume: Annotated[
        list[str] | None, typer.Option(help="Directory in place of a volume claim, claim=directory")
    ] = None,
    semaphore: Annotated[list[str] | None, typer.Option(help="Places of a semaphore, configmap/key=number")] = None,
    state: Annotated[
        Path | None, typer.Option(help="Where the runner keeps its state; default: <run>/workflow")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew instead of going on with an earlier, unfinished run")
    ] = False,
    argo: Annotated[bool, typer.Option("--argo", help="Show the nodes of the workflow as Argo has them")] = False,
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
    """Run a workflow on this machine, without a cluster; the same command later goes on where it stopped."""
    from rich.console import Console

    from pipeline.argo import describe, exit_code, for_console, load, settled_parameters
    from pipeline.argo import run as run_workflow
    from pipeline.argo.local import cores
    from pipeline.argo.nodes import POD, SUCCEEDED
    from pipeline.argo.shipped import find_workflow
    from pipeline.cli.preflight import look_first
    from pipeline.cli.studyview import for_people
    from pipeline.errors import InputError

    if not workflow:
        raise InputError("say which workflow: vemseg run study -p config=study.yaml -p run=runs/mine")
    if others:
        is_config = others[0].endswith((".yaml", ".yml"))
        meant = others[0] if "=" in others[0] else f"config={others[0]}" if is_config else "name=value"
        raise InputError(
            f"{others[0]} is no parameter as it stands; write each as -p {meant}, such as -p run=runs/mine"
        )
    path = find_workflow(workflow)
    loaded = load(path)
    values = pairs(parameter, "--parameter")
    volumes = pairs(volume, "--volume")
    semaphores = {key: count(value, key) for key, value in pairs(semaphore, "--semaphore").items()}
    state_dir = state or _state_directory(values, path)
    console = Console()
    if dry_run:
        console.print(
            describe(loaded, values, state_dir=state_dir, volumes=volumes),
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        return
    settled_parameters(loaded, values)
    if not volumes:  # else paths are not those of this machine
        jobs = jobs or look_first(loaded.name, values)
    if any(each.name == "at-once" for each in loaded.parameters):
        values.setdefault("at-once", str(jobs or cores()))
    result = run_workflow(
        loaded,
        values,
        state_dir=state_dir,
        jobs=jobs,
        volumes=volumes,
        semaphores=semaphores,
        view=for_console(console) if argo or not loaded.name.startswith("vemseg-") else for_people(console),
        fresh=fresh,
        is_whole=partial(_is_whole, values.get("run", "")),
    )
    again = f"the same command{' without --fresh' if fresh else ''} goes on from here"
    if result.interrupted:
        print(f"stopped; {again}", file=sys.stderr)
    elif exit_code(result) and any(node.type == POD and node.phase == SUCCEEDED for node in result.nodes.values()):
        print(f"what is done stays: once the cause is mended, {again}", file=sys.stderr)
    if exit_code(result) == 0 and "run" in values:
        _show(values["run"], console)
        if loaded.name in ("vemseg-study", "vemseg-segment"):
            run_url = shlex.quote(values["run"])
            print(f"look at it: vemseg view {run_url}; take it to Fiji: vemseg export {run_url} classes.tif")
    raise typer.Exit(exit_code(result))


# What a person types who takes a workflow for a command.
_ANY_WORDS = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command("study", hidden=True, context_settings=_ANY_WORDS)
@app.command("segment", hidden=True, context_settings=_ANY_WORDS)
def no_command(context: typer.Context) -> None:
    """Say how a workflow is run."""
    from pipeline.errors import InputError

    raise InputError(
        f"{context.info_name} is a workflow: vemseg run {shlex.join([str(context.info_name), *context.args])}"
    )


def _is_whole(run_url: str) -> bool:
    """Whether nothing that a run holds so far is damaged; steps leave alone what is whole, and make the rest anew."""
    from pipeline.errors import InputError
    from pipeline.run.verify import verify as damages_of

    try:
        return not run_url or not damages_of(run_url, unfinished=True)
    except InputError:  # no run yet, or none whose results are vouched for
        return True


def _state_directory(values: dict[str, str], workflow: Path) -> Path:
    """Beside the run where that is a local directory, else below the working directory."""
    run_url = values.get("run", "")
    if run_url and "://" not in run_url:
        return Path(run_url) / "workflow"
    return Path(".vemseg") / workflow.stem


@app.command(rich_help_panel=PANEL, epilog="vemseg inspect runs/mine")
def inspect(run_url: RunPlace) -> None:
    """Show what a run holds, how far it is and what it scored."""
    from rich.console import Console

    _show(run_url, Console())


def _show(run_url: str, console: Console) -> None:
    from pipeline.steps.inspect import overview

    for part in overview(run_url):
        console.print(part)


@app.command(rich_help_panel=PANEL, epilog="vemseg verify runs/mine")
def verify(run_url: RunPlace) -> None:
    """Look through a run for files that are missing, damaged or exchanged; the same `vemseg run` makes them anew."""
    from pipeline.run.verify import verify as damages_of

    damages = damages_of(run_url)
    for damage in damages:
        print(damage)
    if damages:
        print(f"missing or damaged: {len(damages)}; run the study again: it makes these anew, no others")
        raise typer.Exit(1)
    print("every result is as it was written")


@app.command(rich_help_panel=PANEL, epilog="vemseg render runs/mine")
def render(run_url: RunPlace) -> None:
    """Draw in 3D what was found, missed and invented of each class: pictures, a turn-table, an interactive scene."""
    from pipeline.steps.render import render as step

    step(run_url)


@app.command(rich_help_panel=PANEL, epilog="vemseg report runs/mine")
def report(
    run_url: RunPlace,
    unless_current: Annotated[
        bool, typer.Option("--unless-current", help="Do nothing where the report shows the present results")
    ] = False,
) -> None:
    """Write what a run holds, finished or not, as one page that opens anywhere: evaluation/report.html."""
    from pipeline.steps.report import report as step

    step(run_url, unless_current=unless_current)


Shipped = Annotated[str, typer.Argument(metavar="NAME", help="study, segment or boost", show_default=False)]


@workflows_app.command("list", epilog="vemseg workflows list")
def workflows_list() -> None:
    """Say what workflows there are, what each is for and what `-p` must give it."""
    from pipeline.argo import load
    from pipeline.argo.shipped import purpose, shipped

    for name, path in shipped().items():
        wanted = " ".join(f"-p {each.name}=..." for each in load(path).parameters if _is_required(each))
        print(f"{name}: {purpose(path)}\n    vemseg run {name} {wanted}")


def _is_required(parameter: Parameter) -> bool:
    return parameter.value is None and parameter.default is None and parameter.config_map_key is None


@workflows_app.command("show", epilog="vemseg workflows show segment")
def workflows_show(name: Shipped) -> None:
    """Print a workflow: Argo Workflows YAML."""
    from pipeline.argo.shipped import workflow_file

    print(workflow_file(name).read_text(encoding="utf-8"), end="")


@workflows_app.command("copy", epilog="vemseg workflows copy study workflows")
def workflows_copy(name: Shipped, folder: Annotated[Path, typer.Argument(help="Where to put NAME.yaml")]) -> None:
    """Copy a workflow into a folder, to be changed; `vemseg run FOLDER/NAME.yaml` then runs that one."""
    from pipeline.argo.shipped import workflow_file
    from pipeline.errors import InputError

    copy = folder / f"{name}.yaml"
    if copy.exists():
        raise InputError(f"{copy} is there already; choose another folder, or remove it")
    source = workflow_file(name)
    folder.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(source.read_bytes())
    print(copy)
