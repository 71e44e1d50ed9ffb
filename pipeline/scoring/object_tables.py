"""The scores of objects beside those of voxels: as columns of CSV, as a table in Markdown and for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from pipeline.formats import ABSENT, decimals, fixed, markdown_table, whole
from pipeline.scoring.object_scores import CONFIDENCE, ObjectScores

TITLES: Mapping[str, str] = {
    "ap": "AP",
    "ap_50": "AP.5",
    "ap_75": "AP.75",
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "pq": "PQ",
    "sq": "SQ",
    "vi_split_bits": "split, bits",
    "vi_merge_bits": "merged, bits",
    "adapted_rand_error": "Rand error",
    "count_ratio": "predicted ÷ true",
}
"""Of the scores that a table shows, in its order."""
MEANINGS: Mapping[str, str] = {
    "ap": "mean over IoU .5, .55 ... .95 of matches ÷ (matches + missed + invented)",
    "ap_50": "the same at an IoU of .5",
    "ap_75": "the same at an IoU of .75",
    "f1": "harmonic mean of precision and recall of objects, matched at an IoU of .5",
    "precision": "of the predicted objects, how many match a true one",
    "recall": "of the true objects, how many were found",
    "pq": "panoptic quality: SQ × F1",
    "sq": "mean IoU of the matches",
    "vi_split_bits": "how much true objects were split: H(prediction | truth)",
    "vi_merge_bits": "how much true objects were merged: H(truth | prediction)",
    "adapted_rand_error": "1 - F1 of pairs of voxels that belong together",
    "count_ratio": "how many objects there are, against the truth",
}
COUNTS: Mapping[str, str] = {"true": "true", "predicted": "predicted", "cut_true": "cut", "cut_predicted": "cut"}
_UNBOUNDED = ("vi_split_bits", "vi_merge_bits", "count_ratio")
_TERMINAL = ("ap", "ap_50", "f1", "pq", "count_ratio")


def csv_columns() -> list[str]:
    """Titles of the columns that `csv_cells` fills."""
    names = [name for score in TITLES for name in (score, f"{score}_low", f"{score}_high")]
    return [f"objects_{name}" for name in (*COUNTS, *names)]


def csv_cells(scores: ObjectScores | None) -> list[float | int | None]:
    """Counts, then each score with the ends of its interval; nothing for a class without objects."""
    if scores is None:
        return [None] * len(csv_columns())
    cells: list[float | int | None] = [getattr(scores.counts, name) for name in COUNTS]
    for name in TITLES:
        low, high = scores.intervals.get(name) or (None, None)
        cells += [scores.values[name], low, high]
    return cells


def to_markdown(objects: Mapping[str, ObjectScores]) -> str:
    """A row a class, and what stands in it."""
    titles = ["class", "true objects", "predicted", *TITLES.values()]
    rows = ([name, *_counts(scores), *(cell(scores, score) for score in TITLES)] for name, scores in objects.items())
    return "\n\n".join(
        [f"**Objects**, with {CONFIDENCE:.0%} intervals", markdown_table(titles, rows), *_notes(objects)]
    )


def to_rich(objects: Mapping[str, ObjectScores]) -> Table:
    """The table for a terminal, as wide as 80 columns."""
    view = Table(
        title="Objects", caption=escape("\n".join(notes(objects))) or None, box=box.SIMPLE_HEAD, pad_edge=False
    )
    view.add_column("class", no_wrap=True)
    for title in ("true\nobjects", "pre-\ndicted", *(TITLES[name] for name in _TERMINAL)):
        view.add_column(title, justify="right")
    for name, scores in objects.items():
        view.add_row(escape(name), *_counts(scores), *(value(scores, score) for score in _TERMINAL))
    return view


def value(scores: ObjectScores, name: str) -> str:
    """A score as text; a dash where it is not defined."""
    return _number(scores.values[name], name)


def cell(scores: ObjectScores, name: str) -> str:
    """A score with its interval in brackets."""
    interval = scores.intervals.get(name)
    if interval is None:
        return value(scores, name)
    low, high = (_number(end, name) for end in interval)
    return f"{value(scores, name)} [{low}, {high}]"


def notes(objects: Mapping[str, ObjectScores]) -> list[str]:
    """What a reader must know to understand the numbers."""
    return [
        f"{name}: {scores.counts.cut_true} of {scores.counts.true} true and {scores.counts.cut_predicted} of "
        f"{scores.counts.predicted} predicted objects touch what is not scored, and count as far as they are"
        for name, scores in objects.items()
        if scores.counts.cut_true or scores.counts.cut_predicted
    ]


def _notes(objects: Mapping[str, ObjectScores]) -> Sequence[str]:
    found = notes(objects)
    return ["\n".join(f"- {note}" for note in found)] if found else []


def _counts(scores: ObjectScores) -> list[str]:
    return [whole(scores.counts.true), whole(scores.counts.predicted)]


def _number(score: float | None, name: str) -> str:
    if score is None:
        return ABSENT
    return fixed(score, 2) if name in _UNBOUNDED else decimals(score)
