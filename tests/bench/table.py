"""What benchmarks measured, as rows of one table: Markdown, JSON and a plot.

A row holds what either side took, turn by turn: sides take turns, so that a busy machine slows both alike, and the
ratio of each turn is taken before its median.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from pipeline.formats import markdown_table


@dataclass(frozen=True)
class Row:
    """One comparison.

    Args:
        what: is done.
        peer: what it is compared with.
        unit: of what either side takes; less is better.
        ours: in each turn.
        theirs: in each turn; none: ours is judged as it is.
        bar: that the ratio is to reach; none: nothing is asked of it.
        at_most: the ratio is ours ÷ theirs and may be as large as the bar; else it is theirs ÷ ours, at least the bar.
        note: what one has to know beside it.
    """

    what: str
    peer: str
    unit: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...] = ()
    bar: float | None = None
    at_most: bool = False
    note: str = ""

    @property
    def ratios(self) -> list[float]:
        """Of each turn."""
        if not self.theirs:
            return list(self.ours)
        pairs = zip(self.ours, self.theirs, strict=True)
        return [ours / theirs if self.at_most else theirs / ours for ours, theirs in pairs]

    @property
    def ratio(self) -> float:
        """The median of the turns."""
        return median(self.ratios)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Between which half of the turns lie."""
        ratios = self.ratios
        if len(ratios) < 2:
            return ratios[0], ratios[0]
        low, _, high = quantiles(ratios, n=4, method="inclusive")
        return low, high

    @property
    def reached(self) -> bool | None:
        """Whether the bar is; None without one."""
        if self.bar is None:
            return None
        return self.ratio <= self.bar if self.at_most else self.ratio >= self.bar

    @property
    def share_of_bar(self) -> float | None:
        """How far the ratio is on the right side of the bar: 1 just reaches it, more is better."""
        if self.bar is None:
            return None
        return self.bar / self.ratio if self.at_most else self.ratio / self.bar

    def as_json(self) -> dict[str, Any]:
        """What JSON can hold of it; `from_json` takes ``measured`` back."""
        low, high = self.quartiles
        facts = {"ratio": self.ratio, "quartiles": [low, high], "turns": len(self.ours), "reached": self.reached}
        return {"measured": dict(vars(self)), **facts}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Row:
        """The inverse of `as_json`."""
        measured = told["measured"]
        return cls(**measured | {side: tuple(measured[side]) for side in ("ours", "theirs")})

    def cells(self) -> list[str]:
        """Of the table."""
        low, high = self.quartiles
        spread = f" ({low:.3g} to {high:.3g})" if len(self.ours) > 1 else ""
        bar = "" if self.bar is None else f"{'≤' if self.at_most else '≥'} {self.bar:g}"
        reached = {None: "", True: "yes", False: "no"}[self.reached]
        sides = [f"{median(side):.3g} {self.unit}".strip() if side else "" for side in (self.ours, self.theirs)]
        return [self.what, self.peer, *sides, f"{self.ratio:.3g}{spread}", bar, reached, self.note]


def markdown(rows: Iterable[Row]) -> str:
    """The rows as a table: medians, and of the ratio the quartiles."""
    titles = ["what", "beside", "ours", "theirs", "ratio (quartiles)", "bar", "reached", "note"]
    return markdown_table(titles, [row.cells() for row in rows])


def draw(rows: Sequence[Row], place: Path) -> None:
    """A picture (PNG) of how far each row is from its bar, with its quartiles."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    judged = [row for row in rows if row.bar is not None][::-1]
    figure, axes = pyplot.subplots(figsize=(10, 1.2 + 0.36 * len(judged)), layout="constrained")
    for height, row in enumerate(judged):
        assert row.bar is not None
        ends = sorted(row.bar / end if row.at_most else end / row.bar for end in row.quartiles)
        colour = "#0072b2" if row.reached else "#d55e00"
        axes.plot(ends, [height] * 2, color=colour, linewidth=3, alpha=0.5)
        axes.plot([row.share_of_bar], [height], "o", color=colour)
        axes.annotate(f"{row.ratio:.3g}", (row.share_of_bar or 0, height), (7, 4), textcoords="offset points")
    axes.axvline(1, color="#404040", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks(range(len(judged)), [f"{row.what}: {row.peer}" for row in judged], fontsize=8)
    axes.set_xlabel("times its bar: right of 1 it is reached")
    axes.margins(x=0.12)
    place.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(place, dpi=120)
    pyplot.close(figure)


def options(doc: str | None, *, repetitions: int) -> argparse.ArgumentParser:
    """What every benchmark can be asked for."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="threads of torch, the same for all (default 1)")
    parser.add_argument(
        "--repetitions", type=int, default=repetitions, help=f"turns that are measured (default {repetitions})"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there, too")
    return parser


def show(rows: Iterable[Row], asked: argparse.Namespace) -> None:
    """Print the table, and write the rows where they are asked for."""
    measured = list(rows)
    print(markdown(measured), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps([row.as_json() for row in measured], indent=1), encoding="utf-8")
