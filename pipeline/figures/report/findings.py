"""What the numbers say: the few at the top of the page, and sentences that a reader would look for in the tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.figures.report.contents import Contents
from pipeline.formats import amount, decimals, duration, rough_duration, signed, volume_um3
from pipeline.scoring.ablation import NATIVE, Ablation
from pipeline.scoring.ablation_tables import verdict
from pipeline.scoring.confusion import ConfusionMatrix
from pipeline.scoring.tables import ScoreTable

WORTH_TELLING = 0.2
"""Share of a class that is lost to one other."""


@dataclass(frozen=True)
class Figure:
    """A number, what it is, and what to read it with."""

    title: str
    value: str
    note: str


class Mistake(NamedTuple):
    """The other class and how many voxels of it, or as it, there are; "" is of what was not predicted."""

    other: str
    voxels: int


def headline(contents: Contents) -> list[Figure]:
    """Return the scores where there are any, then the size of the study."""
    scores = [] if contents.scores is None else _scores(contents.scores)
    return [*scores, *_size(contents)]


def findings(table: ScoreTable | None, ablation: Ablation | None) -> list[str]:
    """Return the sentences that can be said."""
    said = [] if table is None else [_extremes(table), _networks(table)]
    said += [] if ablation is None else [_boosting(ablation)]
    return [sentence for sentence in said if sentence]


def mistakes(counts: ConfusionMatrix, name: str) -> str:
    """Return what a class is mostly mistaken for, and what for it, in a sentence; "" where nothing is mistaken."""
    own = counts.class_names.index(name)
    missed, invented = _taken_for(counts, name), _most(np.delete(counts.counts[:, own + 1], own))
    parts = []
    if missed:
        parts.append(f"most of what is missed was {f'taken for {missed.other}' if missed.other else 'not predicted'}")
    if invented:
        others = [other for other in counts.class_names if other != name]
        parts.append(f"most of what is invented is {others[invented[0]]}")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _scores(table: ScoreTable) -> list[Figure]:
    sides = table.sides
    main = "multilabel" if "multilabel" in sides else "binary"
    figures = []
    for average, meaning in (("weighted", "classes by their share"), ("macro", "all classes alike")):
        others = [f"{side} {decimals(getattr(scores, average).f1)}" for side, scores in sides.items() if side != main]
        value = decimals(getattr(sides[main], average).f1)
        figures.append(Figure(f"{average} F1, {main}", value, ", ".join([*others, meaning])))
    return figures


def _size(contents: Contents) -> list[Figure]:
    voxels = sum(grid.block.voxels for _, grid in contents.grids)
    if contents.kind == "study":
        test, trained = contents.part_voxels("test"), sum(target.trained != "no" for target in contents.targets)
        note = f"{amount(test)} of them to score on" if test else "none of them labelled"
        figures = [
            Figure("voxels", amount(voxels), note),
            Figure("networks", f"{trained}", f"trained, of {len(contents.targets)}"),
        ]
    else:
        volume = sum(grid.block.voxels * grid.voxel_um3 for _, grid in contents.grids)
        figures = [Figure("voxels", amount(voxels), f"{volume_um3(volume)} µm³")]
    if contents.work:
        start = min(work.spans[0][0] for work in contents.work)
        stop = max(work.spans[-1][1] for work in contents.work)
        busy = sum(work.cpu_seconds for work in contents.work)
        note = f"from first to last step; {duration(busy)} of processor time" if busy else "from first to last step"
        figures.append(Figure("time", rough_duration(stop - start), note))
    return figures


def _extremes(table: ScoreTable) -> str:
    side = "multilabel" if table.multilabel is not None else "binary"
    rows = [row for row in table.rows if not row.is_average]
    scored = sorted((f1, row.name) for row in rows if row.support and (f1 := row.value("f1", side)) is not None)
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
    mistake = _taken_for(table.multilabel, name)
    support = next(row.support for row in table.rows if row.name == name)
    if not mistake or not support or mistake.voxels < WORTH_TELLING * support:
        return ""
    fate = f"taken for {mistake.other}" if mistake.other else "not predicted"
    return f" {100 * mistake.voxels / support:.0f} % of {name} is {fate}."


def _networks(table: ScoreTable) -> str:
    gains = [(gain, row.name) for row in table.rows if not row.is_average and (gain := row.gain("f1")) is not None]
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


def _taken_for(counts: ConfusionMatrix, name: str) -> Mistake | None:
    """What most of the missed voxels of a class were taken for; None when none was missed."""
    own = counts.class_names.index(name)
    most = _most(np.delete(counts.counts[own], own + 1))
    others = ("", *(other for other in counts.class_names if other != name))
    return Mistake(others[most[0]], most[1]) if most else None


def _most(voxels: NDArray[np.int64]) -> tuple[int, int] | None:
    """Place and size of the largest count; None where all are 0."""
    if not voxels.any():
        return None
    worst = int(voxels.argmax())
    return worst, int(voxels[worst])
