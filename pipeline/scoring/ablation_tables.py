"""The tables of an ablation: CSV, JSON and Markdown, all made from one `Ablation`.

Markdown shows image quality, F1 and IoU, and the F1 differences with their intervals. CSV and JSON hold everything in
full precision; JSON can be read back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from math import inf
from typing import Any

from pipeline.errors import DataError
from pipeline.formats import csv_table, decimals, fixed, markdown_table, percent_number, signed
from pipeline.scoring.ablation import SIDE, Ablation, Comparison, InputResult
from pipeline.scoring.bootstrap import FEWEST_BLOCKS, Difference, Interval
from pipeline.scoring.confusion import confusion_from_json
from pipeline.scoring.image_quality import Quality
from pipeline.scoring.scores import MEASURES
from pipeline.scoring.tables import MEASURE_TITLES, Row

COMPARED = ("f1", "iou")
"""The scores whose differences have intervals."""
QUALITY_TITLES = (
    "PSNR, dB",
    "SSIM",
    "contrast kept, %",
    "high frequencies kept, %",
    "detail correlation",
    "flicker, % of range",
    "error flicker, % of range",
    "sharpness flicker, %",
)


def to_json(ablation: Ablation) -> str:
    """Return quality, scores, differences and notes in full precision, and the counts that the scores come from.

    An infinite PSNR is the string "inf", since JSON has no such number.
    """
    data = {
        "inputs": [_input_json(one) for one in ablation.inputs],
        "comparisons": [asdict(comparison) for comparison in ablation.comparisons],
        "blocks": ablation.blocks,
        "resamples": ablation.resamples,
        "confidence": ablation.confidence,
        "notes": notes(ablation),
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def from_json(text: str) -> Ablation:
    """Return the ablation whose `to_json` is `text`; DataError when it is something else."""
    try:
        data = json.loads(text)
        return Ablation(
            inputs=tuple(_input_from_json(one) for one in data["inputs"]),
            comparisons=tuple(_comparison_from_json(one) for one in data["comparisons"]),
            blocks=data["blocks"],
            resamples=data["resamples"],
            confidence=data["confidence"],
        )
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DataError(f"this is not the result of an ablation ({error}); run it again") from error


def to_csv(ablation: Ablation) -> str:
    """Return one line a value, with its differences from the references; what is undefined or not compared is empty."""
    references = list(dict.fromkeys(comparison.reference for comparison in ablation.comparisons))
    ends = [f"{what}_{reference}" for reference in references for what in ("difference_from", "low_from", "high_from")]
    lines: list[list[object]] = []
    for one in ablation.inputs:
        for measure, value in _quality_values(one.quality).items():
            lines.append([one.name, "quality", "stack", measure, value, *[None] * len(ends)])
        compared = {c.reference: c for c in ablation.comparisons if c.name == one.name}
        for row in one.rows:
            for measure in MEASURES:
                found = [_interval(compared.get(reference), row, measure) for reference in references]
                cells = [cell for interval in found for cell in (interval.estimate, interval.low, interval.high)]
                lines.append([one.name, row.kind, row.name, measure, row.value(measure, SIDE), *cells])
    return csv_table(["input", "row", "name", "measure", "value", *ends], lines)


def to_markdown(ablation: Ablation) -> str:
    """Return the headline, the three tables, and the notes on how to read them."""
    parts = [f"**{headline(ablation)}**", _quality_table(ablation), _score_table(ablation)]
    references = dict.fromkeys(comparison.reference for comparison in ablation.comparisons)
    parts += [_difference_table(ablation, reference) for reference in references]
    parts.append("\n".join(f"- {note}" for note in notes(ablation)))
    return "\n\n".join(parts) + "\n"


def headline(ablation: Ablation) -> str:
    """Return the weighted F1 of each input in words, as in "Weighted F1: native .954, bicubic .921"."""
    scores = (f"{one.name} {decimals(one.scores.weighted.f1)}" for one in ablation.inputs)
    return f"Weighted F1: {', '.join(scores)}"


def verdict(comparison: Comparison) -> str:
    """Return one comparison in words by its weighted F1, as in "zssr better than bicubic: +.012 [+.003, +.021]"."""
    interval = comparison.row("weighted", is_average=True).f1
    if not interval.excludes_zero:
        relation = "not clearly different from"
    else:
        relation = "better than" if (interval.estimate or 0) > 0 else "worse than"
    return f"{comparison.name} {relation} {comparison.reference}: {interval_text(interval)}"


def notes(ablation: Ablation) -> list[str]:
    """Return what a reader must know: the verdicts, what the intervals mean, and classes without one."""
    verdicts = [f"weighted F1: {verdict(comparison)}" for comparison in ablation.comparisons]
    meaning = (
        f"intervals: {100 * ablation.confidence:g} %, paired bootstrap over {ablation.blocks} blocks of the test "
        f"region, {ablation.resamples} resamples; bold where zero is outside. They hold for this network and tissue, "
        "not for another training"
    )
    return [*verdicts, meaning, *_rare_notes(ablation), *_undefined_notes(ablation)]


def _rare_notes(ablation: Ablation) -> list[str]:
    rows = ablation.comparisons[0].rows if ablation.comparisons else ()
    rare = [f"{row.name} ({row.blocks})" for row in rows if row.blocks < FEWEST_BLOCKS]
    return [f"no interval where fewer than {FEWEST_BLOCKS} blocks hold the class: {', '.join(rare)}"] if rare else []


def _undefined_notes(ablation: Ablation) -> list[str]:
    undefined = {one.name: one.scores.undefined for one in ablation.inputs}
    return [
        f"{name}: {', '.join(classes)} neither in the truth nor predicted; F1 is undefined and left out of the averages"
        for name, classes in undefined.items()
        if classes
    ]


def interval_text(interval: Interval) -> str:
    """Return a difference with its interval, as in "+.012 [+.003, +.021]"; without one where there is none."""
    estimate = signed(interval.estimate)
    if interval.low is None or interval.high is None:
        return estimate
    return f"{estimate} [{signed(interval.low)}, {signed(interval.high)}]"


def quality_cells(quality: Quality) -> list[str]:
    """Return the measures of image quality as text, in the order of `QUALITY_TITLES`."""
    return [
        fixed(quality.psnr_db, 2),
        fixed(quality.ssim, 4),
        fixed(quality.contrast_kept, 1, scale=100),
        fixed(quality.high_frequency_kept, 1, scale=100),
        fixed(quality.detail_correlation, 3),
        fixed(quality.flicker, 3, scale=100),
        fixed(quality.error_flicker, 3, scale=100),
        fixed(quality.sharpness_flicker, 2, scale=100),
    ]


def _quality_table(ablation: Ablation) -> str:
    rows = [[one.name, *quality_cells(one.quality)] for one in ablation.inputs if one.quality is not None]
    return markdown_table(["input", *QUALITY_TITLES], rows)


def _score_table(ablation: Ablation) -> str:
    columns = [(measure, one.name, one.rows) for measure in COMPARED for one in ablation.inputs]
    titles = ["class", "share, %", *(f"{MEASURE_TITLES[measure]} {name}" for measure, name, _ in columns)]
    lines = [
        [row.markdown_title, percent_number(row.share)]
        + [decimals(rows[place].value(measure, SIDE)) for measure, _, rows in columns]
        for place, row in enumerate(ablation.inputs[0].rows)
    ]
    return markdown_table(titles, lines)


def _difference_table(ablation: Ablation, reference: str) -> str:
    comparisons = ablation.against(reference)
    titles = ["F1 difference", *(f"{comparison.name} − {reference}" for comparison in comparisons)]
    rows = [
        [row.markdown_title, *(_difference_cell(comparison.rows[place].f1) for comparison in comparisons)]
        for place, row in enumerate(ablation.inputs[0].rows)
    ]
    return markdown_table(titles, rows)


def _difference_cell(interval: Interval) -> str:
    text = interval_text(interval)
    return f"**{text}**" if interval.excludes_zero else text


def _interval(comparison: Comparison | None, row: Row, measure: str) -> Interval:
    if comparison is None or measure not in COMPARED:
        return Interval(None)
    difference = comparison.row(row.name, is_average=row.is_average)
    return difference.f1 if measure == "f1" else difference.iou


def _quality_values(quality: Quality | None) -> dict[str, Any]:
    return {} if quality is None else asdict(quality)


def _input_json(one: InputResult) -> dict[str, Any]:
    quality = {name: "inf" if value == inf else value for name, value in _quality_values(one.quality).items()}
    scores = [
        {"row": row.kind, "name": row.name, **{measure: row.value(measure, SIDE) for measure in MEASURES}}
        for row in one.rows
    ]
    return {"name": one.name, "quality": quality or None, "scores": scores, "confusion": one.confusion.to_json()}


def _input_from_json(data: Mapping[str, Any]) -> InputResult:
    values: dict[str, Any] = {name: inf if value == "inf" else value for name, value in (data["quality"] or {}).items()}
    return InputResult(data["name"], Quality(**values) if values else None, confusion_from_json(data["confusion"]))


def _comparison_from_json(data: Mapping[str, Any]) -> Comparison:
    rows = [Difference(**{**row, "f1": Interval(**row["f1"]), "iou": Interval(**row["iou"])}) for row in data["rows"]]
    return Comparison(data["name"], data["reference"], tuple(rows))
