"""What the numbers say, in sentences: what a reader would otherwise look for in the tables."""

from __future__ import annotations

from pipeline.scoring.ablation import NATIVE, Ablation
from pipeline.scoring.ablation_tables import signed, verdict
from pipeline.scoring.confusion import ConfusionMatrix
from pipeline.scoring.report.mistakes import taken_for
from pipeline.scoring.tables import Row, ScoreTable, decimals

WORTH_TELLING = 0.2
"""Share of a class that is lost to one other."""


def findings(table: ScoreTable | None, ablation: Ablation | None) -> list[str]:
    """Return the sentences that can be said."""
    said = [] if table is None else [_extremes(table), _networks(table)]
    said += [] if ablation is None else [_boosting(ablation)]
    return [sentence for sentence in said if sentence]


def _extremes(table: ScoreTable) -> str:
    side = "multilabel" if table.multilabel is not None else "binary"
    scored = sorted((f1, row.name) for row in table.rows if not row.is_average and (f1 := _f1(row, side)) is not None)
    if len(scored) < 2:
        return ""
    (low, weakest), (high, strongest) = scored[0], scored[-1]
    return (
        f"The {side} segmentation is best in {strongest} (F1 {decimals(high)}) and weakest in {weakest} "
        f"({decimals(low)}).{_loss(table, weakest)}"
    )


def _loss(table: ScoreTable, name: str) -> str:
    """Where most of a class went, if that is worth a sentence."""
    if not isinstance(table.multilabel, ConfusionMatrix):
        return ""
    mistake = taken_for(table.multilabel, name)
    support = next(row.support for row in table.rows if row.name == name)
    if not mistake or not support or mistake.voxels < WORTH_TELLING * support:
        return ""
    fate = f"taken for {mistake.other}" if mistake.other else "not predicted"
    return f" {100 * mistake.voxels / support:.0f} % of {name} is {fate}."


def _networks(table: ScoreTable) -> str:
    gains = [
        (multilabel - binary, row.name)
        for row in table.rows
        if not row.is_average
        and (multilabel := _f1(row, "multilabel")) is not None
        and (binary := _f1(row, "binary")) is not None
    ]
    if not gains:
        return ""
    ahead = sum(gain > 0 for gain, _ in gains)
    (least, behind), (most, leading) = min(gains), max(gains)
    text = f"The multilabel network is ahead of the binary ones in {ahead} of {len(gains)} classes"
    if most > 0:
        text += f", most in {leading} ({signed(most)})"
    if least < 0:
        text += f"; it is behind most in {behind} ({signed(least)})"
    return text + "."


def _boosting(ablation: Ablation) -> str:
    said = "; ".join(verdict(comparison) for comparison in ablation.against(NATIVE))
    return f"Boosting, by weighted F1: {said}." if said else ""


def _f1(row: Row, side: str) -> float | None:
    scores = row.sides.get(side)
    return None if scores is None else scores.f1
