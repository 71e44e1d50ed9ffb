"""Training curves as small charts of one scale, a chart a target: lines need no colours where none cross."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from markupsafe import Markup

from pipeline.scoring.report.contents import History, TargetFacts
from pipeline.scoring.report.markup import element
from pipeline.scoring.tables import decimals

WIDTH, LEFT, RIGHT = 300.0, 34.0, 10.0
F1_TOP, F1_HEIGHT = 12.0, 92.0
LOSS_TOP, LOSS_HEIGHT = 130.0, 44.0
HEIGHT = 194.0

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """The chart of one target, and what it says."""

    target: str
    chart: Markup
    sentence: str
    rows: tuple[tuple[str, str, str], ...]
    """Step, loss and validation F1 of each record."""


@dataclass(frozen=True)
class _Plot:
    """A rectangle of the drawing in which values from 0 to `most` are drawn over steps from 0 to `last_step`."""

    top: float
    height: float
    most: float
    last_step: float

    def x(self, step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / self.last_step

    def y(self, value: float) -> float:
        return self.top + self.height * (1 - value / self.most)

    def line(self, points: Points, look: str) -> Markup:
        places = " ".join(f"{self.x(step):.1f},{self.y(value):.1f}" for step, value in points)
        return element("polyline", class_=look, points=places)

    def ticks(self, labels: Sequence[tuple[float, str]]) -> list[Markup]:
        return [
            part
            for value, label in labels
            for part in (
                element("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=self.y(value), y2=self.y(value)),
                element("text", label, x=LEFT - 5, y=self.y(value) + 3.5, text_anchor="end"),
            )
        ]


def training_curves(targets: Sequence[TargetFacts]) -> list[Curve]:
    """Return the charts of the targets that have a history, loss and F1 on the same scale in all of them."""
    drawn = [target for target in targets if target.history]
    losses = [value for target in drawn for _, value in series(target.history, "loss")]
    highest_loss = max(losses, default=0.0) or 1.0
    return [_curve(target, highest_loss) for target in drawn]


def series(history: History, key: str) -> Points:
    """Return steps and values of the records that hold a finite value."""
    return [
        (float(record["step"] or 0), float(value))
        for record in history
        if (value := record.get(key)) is not None and isfinite(value)
    ]


def _curve(target: TargetFacts, highest_loss: float) -> Curve:
    f1, loss = series(target.history, "validation_macro_f1"), series(target.history, "loss")
    last_step = max((step for step, _ in f1 + loss), default=1.0) or 1.0
    upper = _Plot(F1_TOP, F1_HEIGHT, 1.0, last_step)
    lower = _Plot(LOSS_TOP, LOSS_HEIGHT, highest_loss, last_step)
    sentence = _sentence(f1, loss, target.is_training)
    parts = [
        element("text", "validation F1", x=LEFT, y=F1_TOP - 3, class_="label"),
        *upper.ticks([(0.0, "0"), (0.5, ".5"), (1.0, "1")]),
        upper.line(f1, "curve f1"),
        *_best(upper, f1),
        element("text", "training loss", x=LEFT, y=LOSS_TOP - 5, class_="label"),
        *lower.ticks([(0.0, "0"), (highest_loss, f"{highest_loss:.2g}")]),
        lower.line(loss, "curve loss"),
        element("text", "0", x=LEFT, y=HEIGHT - 6, text_anchor="middle"),
        element("text", f"step {last_step:,.0f}", x=WIDTH - RIGHT, y=HEIGHT - 6, text_anchor="end"),
    ]
    chart = element(
        "svg",
        *parts,
        class_="plot",
        viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}",
        role="img",
        aria_label=f"Training of {target.name}: {sentence}",
    )
    return Curve(target.name, chart, sentence, tuple(_row(record) for record in target.history))


def _best(plot: _Plot, f1: Points) -> list[Markup]:
    if not f1:
        return []
    step, value = max(f1, key=lambda point: point[1])
    is_late = plot.x(step) > WIDTH / 2
    below = 15.0 if value > 0.85 else -8.0
    return [
        element("circle", class_="best", cx=plot.x(step), cy=plot.y(value), r=4),
        element(
            "text",
            decimals(value),
            class_="value",
            x=plot.x(step) + (3.0 if is_late else -3.0),
            y=plot.y(value) + below,
            text_anchor="end" if is_late else "start",
        ),
    ]


def _sentence(f1: Points, loss: Points, is_training: bool) -> str:
    parts = []
    if f1:
        step, value = max(f1, key=lambda point: point[1])
        parts.append(f"best validation F1 {decimals(value)} at step {step:,.0f}")
    if len(loss) > 1:
        parts.append(f"loss from {loss[0][1]:.2f} to {loss[-1][1]:.2f}")
    if is_training:
        parts.append("not ended yet")
    return ", ".join(parts) or "nothing was measured yet"


def _row(record: Mapping[str, float | None]) -> tuple[str, str, str]:
    loss, f1 = record.get("loss"), record.get("validation_macro_f1")
    is_known = f1 is not None and isfinite(f1)
    return f"{record['step']:,.0f}", "–" if loss is None else f"{loss:.4f}", decimals(f1 if is_known else None)
