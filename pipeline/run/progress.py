"""How far a run is: what each of its networks has learnt and predicted so far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import nan
from typing import Any

from pipeline.errors import CheckpointError, RunConflictError
from pipeline.run.events import read_events
from pipeline.run.layout import Run
from pipeline.run.provenance import predicted

OUTDATED, DAMAGED = "of an earlier plan", "damaged"


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


def target_states(run: Run) -> Iterator[TargetState]:
    """How far each target of a run is."""
    for target in run.plan.targets:
        store = run.model_store(target)
        if not store.exists("model.json"):
            yield TargetState(target, "no", _last_score(run, target))
            continue
        try:
            works = predicted(run, target)
        except (RunConflictError, CheckpointError) as error:
            trained = OUTDATED if isinstance(error, RunConflictError) else DAMAGED
            yield TargetState(target, trained, _last_score(run, target))
            continue
        model = store.read_json("model.json")
        yield TargetState(
            target,
            trained=f"{model.get('steps', '?')} steps",
            validation_macro_f1=model.get("validation_macro_f1"),
            shards_done=sum(work.marker.done for work in works),
            shards=len(works),
        )


def validations(run: Run, target: str) -> list[dict[str, Any]]:
    """What a training that need not have ended has measured so far, by step; of a step told twice, the later."""
    events = read_events(run.store, f"events/train-{target}.jsonl")
    measured = [event for event in events if event["event"] == "validated"]
    by_step = {row["step"]: {name: nan if of is None else of for name, of in row.items()} for row in measured}
    return [by_step[step] for step in sorted(by_step)]


def why_no_renders(run: Run) -> str:
    """Why the last scoring drew no renders; empty where it did, or was not asked to."""
    events = read_events(run.store, "events/evaluate.jsonl")
    last = [event for event in events if event["event"] in ("started", "no renders")][-1:]
    return str(last[0]["reason"]) if last and last[0]["event"] == "no renders" else ""


def _last_score(run: Run, target: str) -> float | None:
    measured = validations(run, target)
    return float(measured[-1]["validation_macro_f1"]) if measured else None
