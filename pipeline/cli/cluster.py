"""The commands for workflows on a cluster, and the check of manifests against a site's rules."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.argo.cluster import Workflows
    from pipeline.argo.cluster.kube import Cluster

PANEL = "Studies on a cluster"
app = typer.Typer()

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the workflow, as submit printed it")]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Default: ARGO_NAMESPACE, then the kubeconfig's")
]


@app.command(
    rich_help_panel=PANEL,
    epilog="vemseg submit vemseg-study -p config=/data/study.yaml -p run=/data/runs/first --watch",
)
def submit(
    workflow: Annotated[
        str, typer.Argument(help="An installed WorkflowTemplate, or a file such as workflows/study.yaml")
    ] = "vemseg-study",
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="A workflow parameter, name=value")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow it to its end")] = False,
    namespace: Namespace = None,
) -> None:
    """Start a workflow on a cluster, through Argo's server (ARGO_SERVER) or the Kubernetes API (KUBECONFIG)."""
    from pipeline.argo import cluster
    from pipeline.cli.values import pairs

    workflows = _connect(namespace)
    is_file = workflow.endswith((".yaml", ".yml", ".json")) or "/" in workflow
    source = cluster.from_file(Path(workflow)) if is_file else cluster.from_template(workflows, workflow)
    name = cluster.submit(workflows, source, pairs(parameter, "--parameter"), _around(workflows))["metadata"]["name"]
    print(name)
    if watch:
        _watch(workflows, name)
    print(f"vemseg watch {name}    vemseg logs {name}    vemseg pull {name} results", file=sys.stderr)


@app.command(rich_help_panel=PANEL, epilog="vemseg watch vemseg-study-x7k2p")
def watch(
    name: Name,
    namespace: Namespace = None,
    argo: Annotated[bool, typer.Option("--argo", help="Show the nodes of the workflow as Argo has them")] = False,
) -> None:
    """Follow a workflow to its end; Ctrl-C stops watching, not the workflow. Exits with the code of what failed."""
    _watch(_connect(namespace), name, argo=argo)


@app.command(rich_help_panel=PANEL, epilog="vemseg logs vemseg-study-x7k2p train --follow")
def logs(
    name: Name,
    node: Annotated[
        str | None, typer.Argument(help="A node such as 'target(0:multilabel).train', a task or a template")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new lines until the end")] = False,
    namespace: Namespace = None,
) -> None:
    """Print what the pods of a workflow have printed."""
    from pipeline.argo.cluster import print_logs

    print_logs(_connect(namespace), name, node, write=_print_now, follow_on=follow, note=_note)


@app.command(rich_help_panel=PANEL, epilog="vemseg stop vemseg-study-x7k2p")
def stop(
    name: Name,
    terminate: Annotated[bool, typer.Option("--terminate", help="Skip the summary at its end")] = False,
    namespace: Namespace = None,
) -> None:
    """End a workflow; its trainings write a checkpoint first, so that resume goes on from there."""
    from pipeline.argo.cluster import stop as stop_workflow

    stop_workflow(_connect(namespace), name, terminate=terminate)


@app.command(rich_help_panel=PANEL, epilog="vemseg resume vemseg-study-x7k2p --watch")
def resume(
    name: Name,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow it to its end")] = False,
    namespace: Namespace = None,
) -> None:
    """Continue a workflow that failed or was stopped; results that its run already holds are kept."""
    from pipeline.argo.cluster import resume as resume_workflow

    workflows = _connect(namespace)
    new_name = resume_workflow(workflows, name)["metadata"]["name"]
    print(new_name)
    if watch:
        _watch(workflows, new_name)


@app.command(rich_help_panel=PANEL, epilog="vemseg pull vemseg-study-x7k2p results")
def pull(
    what: Annotated[str, typer.Argument(metavar="NAME|RUN", help="A workflow, or a run: s3://..., /data/runs/first")],
    destination: Annotated[Path, typer.Argument(help="Folder to put the files into")],
    everything: Annotated[bool, typer.Option("--all", help="Volumes and predictions, too")] = False,
    namespace: Namespace = None,
) -> None:
    """Fetch the scores, figures and models of a run; repeat the command to continue an interrupted download."""
    from pipeline.argo.cluster import kubernetes
    from pipeline.argo.cluster import pull as pull_run

    received = pull_run(
        what,
        destination,
        everything=everything,
        workflows=lambda: _connect(namespace),
        cluster=lambda: kubernetes(os.environ, namespace),
        report=lambda name, done, total: _note(f"{done}/{total} {name}"),
    )
    already = f"; {received.there_already} were there already" if received.there_already else ""
    print(f"{destination}: {received.files} files, {received.size_bytes / 1e6:.1f} MB{already}")
    _keep_whole(destination, received.names)


def _keep_whole(folder: Path, names: Sequence[str]) -> None:
    """Remove what is not as the run's markers say, and raise RunConflictError naming it."""
    from pipeline.argo.cluster.receiving import place_of
    from pipeline.errors import RunConflictError
    from pipeline.run.verify import damages_of_copy

    damages = damages_of_copy(folder, names)
    for damage in damages:
        place_of(damage.key, folder).unlink(missing_ok=True)
        _note(f"not whole, not kept: {damage.key} {damage.problem}")
    if damages:
        raise RunConflictError(
            f"{folder} lacks {len(damages)} files that the run should hold, the first being {damages[0].key}; pull "
            "again. If they are missing or damaged again, `vemseg verify` says so where the run lies, and running the "
            "study again makes them anew"
        )


@app.command(rich_help_panel=PANEL, epilog="vemseg check --site nrp workflows/study.yaml")
def check(
    files: Annotated[list[str], typer.Argument(help="Workflows, manifests, rendered charts; - is standard input")],
    site: Annotated[str, typer.Option(help="Whose rules: nrp, generic or restricted")] = "generic",
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="Value of a workflow parameter, name=value")
    ] = None,
) -> None:
    """List the rules of a cluster that manifests break, and what to write instead; exits with 2 if there are any."""
    from pipeline.argo.sites import check_manifests, load_site, read_manifests
    from pipeline.cli.values import pairs

    rules = load_site(site)
    texts = {file: sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8") for file in files}
    manifests = read_manifests(texts)
    findings = check_manifests(manifests, rules, pairs(parameter, "--parameter"))
    for finding in findings:
        print(finding)
    if findings:
        print(f"{len(findings)} findings; the rules of {rules.title}: {rules.source}", file=sys.stderr)
        raise typer.Exit(2)
    print(f"{len(manifests)} objects break none of the {len(rules.rules)} rules of {rules.title}")


def _connect(namespace: str | None) -> Workflows:
    from pipeline.argo.cluster import connect

    return connect(os.environ, namespace)


def _around(workflows: Workflows) -> Cluster | None:
    """The namespace's claims, where the Kubernetes API can be asked; Argo's server does not show them."""
    from pipeline.argo.cluster import kubernetes
    from pipeline.errors import InputError

    try:
        return kubernetes(os.environ, workflows.namespace)
    except InputError:
        return None


def _watch(workflows: Workflows, name: str, *, argo: bool = False) -> None:
    """Show the workflow to its end, then leave with the exit code that `vemseg run` would have."""
    from rich.console import Console

    from pipeline.argo import exit_code, for_console
    from pipeline.argo.cluster import watch as watch_workflow
    from pipeline.cli.studyview import for_people

    console = Console()
    view = for_console(console) if argo or not name.startswith("vemseg-") else for_people(console)
    outcome = watch_workflow(workflows, name, view)
    if outcome.interrupted:
        _note(f"{name} is still running: vemseg watch {name}")
    elif exit_code(outcome) == 0 and not argo:
        _note(f"{name} has ended well; what it found comes here with: vemseg pull {name} FOLDER")
    else:
        _note(f"{name} {outcome.phase}{': ' * bool(outcome.message)}{outcome.message}")
    raise typer.Exit(exit_code(outcome))


def _print_now(text: str) -> None:
    print(text, flush=True)


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
