"""What a run holds, how far it is and what it scored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from pipeline.errors import RunConflictError
from pipeline.scoring import ablation_tables, tables
from pipeline.steps.boosting.apply import boosted_works
from pipeline.steps.evaluate import is_scored
from pipeline.steps.infer import shard_works
from pipeline.steps.run import Run
from pipeline.steps.runplan import BoostingPlan
from pipeline.telemetry import read_events

OUTDATED = "of an earlier plan"


@dataclass(frozen=True)
class TargetState:
    """How far a target is; shards are counted once it is trained."""

    target: str
    trained: str
    validation_macro_f1: float | None
    shards_done: int = 0
    shards: int = 0

    @property
    def shards_text(self) -> str:
        """Shards predicted, as a table shows them."""
        return f"{self.shards_done} of {self.shards}" if self.shards else "-"


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
            yield f"[yellow]The scores and figures are {OUTDATED}; run the study again.[/yellow]"
        yield tables.to_rich(scores)
    if run.store.exists("evaluation/ablation.json"):
        yield ablation_tables.headline(ablation_tables.from_json(run.evaluation_store.read("ablation.json").decode()))
    for kind in ("figures", "renders"):
        files = list(run.evaluation_store.list(kind))
        if files:
            yield f"{kind}: {len(files)} in {run.evaluation_store.child(kind).url}"
    if run.store.exists("evaluation/report.html"):
        yield f"report: {run.evaluation_store.url}/report.html"


def _captures(run: Run) -> Table:
    table = Table("capture", "voxels z, y, x", "voxel size, nm", "train / validation / test, Mvoxel")
    for capture in run.plan.captures:
        parts = capture.split()
        shares = [sum(block.voxels for block in blocks) / 1e6 for blocks in (parts.train, parts.validation, parts.test)]
        table.add_row(
            capture.name,
            " x ".join(map(str, capture.shape_zyx)),
            " x ".join(f"{edge:g}" for edge in capture.voxel_size_nm),
            " / ".join(f"{share:.2f}" for share in shares) if capture.parts else "-",
        )
    return table


def target_states(run: Run) -> Iterator[TargetState]:
    """How far each target of a run is."""
    for target in run.plan.targets:
        store = run.model_store(target)
        if not store.exists("model.json"):
            yield TargetState(target, "no", _last_score(run, target))
            continue
        try:
            works = shard_works(run, target)
        except RunConflictError:
            yield TargetState(target, OUTDATED, _last_score(run, target))
            continue
        model = store.read_json("model.json")
        yield TargetState(
            target,
            trained=f"{model.get('steps', '?')} steps",
            validation_macro_f1=model.get("validation_macro_f1"),
            shards_done=sum(work.marker.done for work in works),
            shards=len(works),
        )


def _targets(run: Run) -> Table:
    table = Table("target", "trained", "validation macro F1", "shards predicted")
    for state in target_states(run):
        score = state.validation_macro_f1
        table.add_row(state.target, state.trained, "-" if score is None else tables.decimals(score), state.shards_text)
    return table


def _boosting(run: Run, plan: BoostingPlan) -> Table:
    table = Table(f"boosted by {plan.factor:g}", "shards done")
    for method in plan.methods:
        try:
            works = boosted_works(run, method)
        except RunConflictError:
            table.add_row(method, "-")
            continue
        table.add_row(method, f"{sum(work.marker.done for work in works)} of {len(works)}")
    return table


def validations(run: Run, target: str) -> list[dict[str, Any]]:
    """What a training that need not have ended has measured so far, by step; of a step told twice, the later."""
    events = read_events(run.store, f"events/train-{target}.jsonl")
    by_step = {event["step"]: event for event in events if event["event"] == "validated"}
    return [by_step[step] for step in sorted(by_step)]


def _last_score(run: Run, target: str) -> float | None:
    measured = validations(run, target)
    return float(measured[-1]["validation_macro_f1"]) if measured else None
