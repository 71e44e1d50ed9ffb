"""What boosting does to the segmentation: differences of F1 from native with their intervals, on one axis."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10

from markupsafe import Markup

from pipeline.scoring.ablation import NATIVE, Ablation, Comparison
from pipeline.scoring.ablation_tables import interval_text, signed
from pipeline.scoring.bootstrap import FEWEST_BLOCKS, Difference, Interval
from pipeline.scoring.report.strips import Range, mark, whisker
from pipeline.scoring.tables import decimals


@dataclass(frozen=True)
class Effect:
    """One method on one class or average."""

    method: str
    key: Markup
    strip: Markup
    text: str
    is_clear: bool
    """Whether zero lies outside the interval."""


@dataclass(frozen=True)
class EffectGroup:
    """All methods on one class or average."""

    name: str
    is_average: bool
    note: str
    effects: tuple[Effect, ...]


@dataclass(frozen=True)
class Tick:
    """A value on the axis; `place` is where, in per cent of the width."""

    text: str
    place: str


@dataclass(frozen=True)
class QualityLine:
    """An input: how near it is to native, and what the segmentation of it scores."""

    name: str
    cells: tuple[str, ...]


QUALITY_TITLES = ("PSNR, dB", "SSIM", "contrast kept, %", "high frequencies kept, %", "macro F1", "weighted F1")


def effects(ablation: Ablation) -> list[EffectGroup]:
    """Return a group for the averages, which are what one looks for first, then for every class."""
    comparisons = ablation.against(NATIVE)
    if not comparisons:
        return []
    axis = axis_of(ablation)
    rows = sorted(range(len(comparisons[0].rows)), key=lambda i: not comparisons[0].rows[i].is_average)
    return [_group([(one, one.rows[i]) for one in comparisons], axis) for i in rows]


def axis_of(ablation: Ablation) -> Range:
    """Return a range about zero that holds every difference from native and its interval."""
    intervals = [row.f1 for one in ablation.against(NATIVE) for row in one.rows]
    ends = [end for one in intervals for end in (one.estimate, one.low, one.high) if end is not None]
    low, high = min(0.0, *ends, -0.005), max(0.0, *ends, 0.005)
    margin = 0.04 * (high - low)
    return Range(low - margin, high + margin)


def ticks(axis: Range) -> list[Tick]:
    """Return three to six round values of an axis, zero among them."""
    rough = (axis.high - axis.low) / 4
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    values = [i * step for i in range(ceil(axis.low / step), floor(axis.high / step) + 1)]
    return [Tick(signed(value) if value else "0", f"{100 * axis.place(value):.2f}%") for value in values]


def quality_lines(ablation: Ablation) -> list[QualityLine]:
    """Return a line an input, native first."""
    lines = []
    for one in ablation.inputs:
        quality = one.quality
        pictures = (
            ("–",) * 4
            if quality is None
            else (
                _fixed(quality.psnr_db, 2),
                decimals(quality.ssim),
                _fixed(quality.contrast_kept, 1, 100),
                _fixed(quality.high_frequency_kept, 1, 100),
            )
        )
        scores = one.scores
        lines.append(QualityLine(one.name, (*pictures, decimals(scores.macro.f1), decimals(scores.weighted.f1))))
    return lines


def _group(rows: list[tuple[Comparison, Difference]], axis: Range) -> EffectGroup:
    first = rows[0][1]
    few = not first.is_average and first.blocks < FEWEST_BLOCKS
    note = f"in {first.blocks} block{'s' * (first.blocks != 1)} only: no interval" if few else ""
    return EffectGroup(
        f"{first.name} average" if first.is_average else first.name,
        first.is_average,
        note,
        tuple(_effect(comparison.name, row.f1, axis, number) for number, (comparison, row) in enumerate(rows)),
    )


def _effect(method: str, interval: Interval, axis: Range, number: int) -> Effect:
    return Effect(
        method, mark(number), whisker(interval, axis, number), interval_text(interval), interval.excludes_zero
    )


def _fixed(value: float | None, digits: int, scale: float = 1) -> str:
    return "–" if value is None else f"{scale * value:.{digits}f}"
