"""The few numbers at the top of the page."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.scoring.report.contents import Contents
from pipeline.scoring.report.numbers import amount, duration
from pipeline.scoring.tables import ScoreTable, decimals


@dataclass(frozen=True)
class Figure:
    """A number, what it is, and what to read it with."""

    title: str
    value: str
    note: str


def headline(contents: Contents) -> list[Figure]:
    """Return the scores where there are any, then the size of the study."""
    scores = [] if contents.scores is None else _scores(contents.scores)
    return [*scores, *_size(contents)]


def _scores(table: ScoreTable) -> list[Figure]:
    sides = table.sides
    main = "multilabel" if "multilabel" in sides else "binary"
    figures = []
    for average, meaning in (("weighted", "classes by their share"), ("macro", "all classes alike")):
        others = [f"{side} {decimals(getattr(scores, average).f1)}" for side, scores in sides.items() if side != main]
        figures.append(
            Figure(
                f"{average} F1, {main}",
                decimals(getattr(sides[main], average).f1),
                ", ".join([*others, meaning]),
            )
        )
    return figures


def _size(contents: Contents) -> list[Figure]:
    test = sum(capture.part_voxels.get("test", 0) for capture in contents.captures)
    voxels = sum(capture.shape_zyx[0] * capture.shape_zyx[1] * capture.shape_zyx[2] for capture in contents.captures)
    trained = sum(target.trained != "no" for target in contents.targets)
    figures = [
        Figure("voxels", amount(voxels), f"{amount(test)} of them to score on" if test else "none of them labelled"),
        Figure("networks", f"{trained}", f"trained, of {len(contents.targets)}"),
    ]
    if contents.work:
        start = min(work.spans[0][0] for work in contents.work)
        stop = max(work.spans[-1][1] for work in contents.work)
        busy = sum(work.cpu_seconds for work in contents.work)
        note = f"from first to last step; {duration(busy)} of processor time" if busy else "from first to last step"
        figures.append(Figure("time", duration(stop - start), note))
    return figures
