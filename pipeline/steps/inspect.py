"""What a run holds, how far it is and what it scored."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from pipeline.errors import CheckpointError, RunConflictError
from pipeline.formats import decimals, sides
from pipeline.run.layout import Run
from pipeline.run.plan import BoostingPlan
from pipeline.run.progress import OUTDATED, TargetState, target_states, validations, why_no_renders
from pipeline.run.provenance import boosted, is_scored, steps_of
from pipeline.scoring import ablation_tables, tables


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
    for kind in ("figures", "renders"):
        files = list(run.evaluation_store.list(kind))
        if files:
            yield f"{kind}: {len(files)} in {run.evaluation_store.child(kind).url}"
    if reason := why_no_renders(run):
        yield f"[yellow]no renders: {escape(reason)}; to try again: vemseg render {escape(run_url)}[/yellow]"
    if run.store.exists("evaluation/report.html"):
        yield f"report: {run.evaluation_store.url}/report.html"


def _captures(run: Run) -> Table:
    table = Table("capture", "voxels z, y, x", "voxel size, nm", "train / validation / test, Mvoxel")
    for capture in run.plan.captures:
        parts = capture.split()
        shares = [sum(block.voxels for block in blocks) / 1e6 for blocks in (parts.train, parts.validation, parts.test)]
        table.add_row(
            capture.name,
            sides(capture.shape_zyx, by="x"),
            sides(capture.voxel_size_nm, by="x"),
            " / ".join(f"{share:.2f}" for share in shares) if capture.parts else "-",
        )
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
