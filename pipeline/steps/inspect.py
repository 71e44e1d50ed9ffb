"""What a run holds, how far it is and what it scored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from pipeline.errors import CheckpointError, RunConflictError
from pipeline.formats import decimals, percent_number, sides, volume_um3
from pipeline.run.layout import Run
from pipeline.run.plan import BoostingPlan, CapturePlan
from pipeline.run.progress import OUTDATED, TargetState, target_states, validations, why_no_renders
from pipeline.run.provenance import boosted, is_scored, steps_of
from pipeline.run.shares import ClassShare, read_shares
from pipeline.scoring import ablation_tables, tables
from pipeline.volume.geometry import Geometry


def overview(run_url: str) -> Iterator[RenderableType]:
    """What there is to say about a run, piece by piece."""
    run = Run.open(run_url)
    yield f"[bold]{run.config.name}[/bold] at {run.store.url}"
    yield _captures(run)
    if run.plan.targets:
        yield _targets(run)
    if run.plan.boosting:
        yield _boosting(run, run.plan.boosting)
    if (scores := run.scores) is not None:
        if not is_scored(run):
            yield f"[yellow]The scores and figures are {OUTDATED} or version; run the study again.[/yellow]"
        yield tables.to_rich(scores)
    if run.store.exists("evaluation/ablation.json"):
        yield ablation_tables.headline(ablation_tables.from_json(run.evaluation_store.read("ablation.json").decode()))
    if not run.plan.networks and (shares := read_shares(run.evaluation_store)):
        yield _shares(run, shares)
    for kind in ("figures", "renders"):
        files = list(run.evaluation_store.list(kind))
        if files:
            yield f"{kind}: {len(files)} in {run.evaluation_store.child(kind).url}"
    if reason := why_no_renders(run):
        yield f"[yellow]no renders: {escape(reason)}; to try again: vemseg render {escape(run_url)}[/yellow]"
    if run.store.exists("evaluation/report.html"):
        yield f"report: {run.evaluation_store.url}/report.html"


def _captures(run: Run) -> Table:
    parts = ["train / validation / test, Mvoxel"] if run.plan.networks else []
    table = Table("capture", "voxels z, y, x", "voxel size, nm", *parts)
    own = run.volume_as_it_came
    if own is not None:
        table.add_row("volume, as it came", *_grid(own.geometry))
    for capture in run.plan.captures:
        name = capture.name if own is None else "for the model"
        grid = _grid(Geometry(capture.shape_zyx, capture.voxel_size_nm))
        table.add_row(name, *grid, *([_part_sizes(capture)] if parts else []))
    return table


def _grid(geometry: Geometry) -> tuple[str, str]:
    return sides(geometry.shape_zyx, by="x"), sides(geometry.voxel_size_nm, by="x")


def _part_sizes(capture: CapturePlan) -> str:
    parts = capture.split()
    sizes = [sum(block.voxels for block in blocks) / 1e6 for blocks in (parts.train, parts.validation, parts.test)]
    return " / ".join(f"{size:.2f}" for size in sizes)


def _shares(run: Run, shares: Sequence[ClassShare]) -> Table:
    table = Table("class", "share, %", "volume, µm³")
    for each in shares:
        volume = each.voxels * run.predicted_geometry(each.capture).voxel_um3
        table.add_row(each.name, percent_number(each.share), volume_um3(volume))
    return table


def _targets(run: Run) -> Table:
    table = Table("target", "trained", "validation macro F1", "shards predicted")
    for state in target_states(run):
        score = state.validation_macro_f1
        table.add_row(state.target, _trained(run, state), "-" if score is None else decimals(score), state.shards_text)
    return table


def _trained(run: Run, state: TargetState) -> str:
    measured = validations(run, state.target)
    if state.trained != "no" or not measured:
        return state.trained
    return f"training, {measured[-1]['step']} of {steps_of(run, state.target)} steps so far"


def _boosting(run: Run, plan: BoostingPlan) -> Table:
    table = Table(f"boosted by {plan.factor:g}", "shards done")
    for method in plan.methods:
        try:
            works = boosted(run, method)
        except (RunConflictError, CheckpointError):
            table.add_row(method, "-")
            continue
        table.add_row(method, f"{sum(work.marker.done for work in works)} of {len(works)}")
    return table
