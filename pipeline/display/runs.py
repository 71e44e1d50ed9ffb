"""A run in a notebook: what is in it, and how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.display import parts
from pipeline.display.scores import scores_html

if TYPE_CHECKING:
    from pipeline.steps.run import Run


def run_html(run: Run) -> str:
    """Captures, networks with their state, and scores of a run; of one that is not planned yet, that."""
    if not run.store.exists("plan.json"):
        return parts.heading("Run", run.store.url) + parts.note("not planned yet")
    pieces = [parts.heading(run.config.name, run.store.url), _captures(run)]
    if run.plan.targets:
        pieces.append(_targets(run))
    scores = run.scores
    pieces.append(scores_html(scores) if scores else parts.note("not scored yet"))
    return "".join(pieces)


def _captures(run: Run) -> str:
    rows = [
        (
            capture.name,
            " × ".join(f"{side:,}" for side in capture.shape_zyx),
            " × ".join(f"{size:g}" for size in capture.voxel_size_nm),
        )
        for capture in run.plan.captures
    ]
    return parts.table(["capture", "voxels (z, y, x)", "voxel size, nm"], rows)


def _targets(run: Run) -> str:
    from pipeline.scoring.tables import decimals
    from pipeline.steps.inspect import target_states

    rows = [
        (state.target, state.trained, decimals(state.validation_macro_f1), state.shards_text)
        for state in target_states(run)
    ]
    return parts.table(["network", "trained", "validation macro F1", "shards predicted"], rows)
