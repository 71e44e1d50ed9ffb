"""The table of scores: binary, multilabel and merged side by side, as CSV, JSON, Markdown and for the terminal.

A row a class, then the macro and the weighted average; the weighted F1 is the headline. Any side may be
absent, and the binary side may hold only some of the classes. Where objects are told apart, their scores stand beside
those of voxels. All formats are made from one `ScoreTable`;
its JSON keeps the counts behind the scores, so that it can be read back and merged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rich import box
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pipeline.errors import DataError, InputError
from pipeline.formats import csv_table, decimals, markdown_table, percent_number
from pipeline.scoring import object_scores, object_tables
from pipeline.scoring.confusion import ClasswiseConfusion, Confusion, confusion_from_json
from pipeline.scoring.object_scores import ObjectScores
from pipeline.scoring.reliability import LIKELIEST
from pipeline.scoring.scores import MEASURES, ClassScores, Measures, Scores

AVERAGES = ("macro", "weighted")
MEASURE_TITLES: Mapping[str, str] = {"f1": "F1", "iou": "IoU", "precision": "precision", "recall": "recall"}
MEASURE_MEANINGS: Mapping[str, str] = {
    "f1": "harmonic mean of precision and recall",
    "iou": "overlap of truth and prediction over their union",
    "precision": "of what was taken for the class, how much is",
    "recall": "of what is the class, how much was found",
}


@dataclass(frozen=True)
class Row:
    """One line of the table: a class, or an average over the classes of each side."""

    name: str
    is_average: bool
    share: float | None
    """Share of the labelled test voxels that are of the class."""
    support: int | None
    """Labelled test voxels of the class."""
    sides: Mapping[str, Measures | None]
    """By side ("binary", "multilabel", "merged"); None for a class that the side does not hold."""

    @property
    def kind(self) -> str:
        """What CSV and JSON call it."""
        return "average" if self.is_average else "class"

    @property
    def markdown_title(self) -> str:
        """Its name, that of an average in bold."""
        return f"**{self.name}**" if self.is_average else self.name

    def value(self, measure: str, side: str) -> float | None:
        """Return a score, one of `MEASURES`; None where it is undefined, or the side is absent or lacks the class."""
        scores = self.sides.get(side)
        return None if scores is None else scores.value(measure)

    def gain(self, measure: str) -> float | None:
        """Return the score of multilabel minus that of binary; None where either is undefined."""
        multilabel, binary = self.value(measure, "multilabel"), self.value(measure, "binary")
        return None if multilabel is None or binary is None else multilabel - binary


@dataclass(frozen=True)
class ScoreTable:
    """Counts of the multilabel network, the binary ones and what is merged of both, with the rows made from them."""

    multilabel: Confusion | None
    binary: ClasswiseConfusion | None
    merged: Confusion | None = None
    trust: Mapping[str, Any] = field(default_factory=dict)
    """How far probabilities and doubt can be believed: see `Trust.summary`."""
    objects: Mapping[str, ObjectScores] = field(default_factory=dict)
    """Scores of objects, by class; only of classes whose objects are told apart, by the multilabel network."""

    def __post_init__(self) -> None:
        if self.multilabel is None and self.binary is None:
            raise InputError("neither multilabel nor binary scores: there is nothing to tabulate; infer first")
        unknown = set() if self.binary is None else set(self.binary.class_names) - set(self.class_names)
        if unknown:
            raise InputError(f"binary scores of {', '.join(sorted(unknown))}: multilabel has no such class")

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in the order of the configuration."""
        counts = self.binary if self.multilabel is None else self.multilabel
        return () if counts is None else counts.class_names

    @property
    def sides(self) -> dict[str, Scores]:
        """Scores by side, in the order of the columns; only the sides that are there."""
        pairs = (("binary", self.binary), ("multilabel", self.multilabel), ("merged", self.merged))
        return {side: counts.scores() for side, counts in pairs if counts is not None}

    @property
    def rows(self) -> list[Row]:
        """A row a class, then the averages."""
        sides = self.sides
        return [_class_row(name, sides) for name in self.class_names] + _average_rows(sides)

    @property
    def headline(self) -> dict[str, float | None]:
        """Weighted F1 by side."""
        return {side: scores.weighted.f1 for side, scores in self.sides.items()}

    @property
    def notes(self) -> list[str]:
        """What a reader must know to compare the numbers: classes that a side lacks or cannot score."""
        notes = [note for side, scores in self.sides.items() for note in self._notes(side, scores)]
        return [*notes, *_trust_notes(self.trust)]

    def _notes(self, side: str, scores: Scores) -> list[str]:
        notes = []
        if len(scores.classes) < len(self.class_names):
            held = ", ".join(c.name for c in scores.classes)
            notes.append(
                f"{side}: averages over {len(scores.classes)} of {len(self.class_names)} classes ({held}); "
                "not to be compared with the other sides'"
            )
        if scores.undefined:
            notes.append(
                f"{side}: {', '.join(scores.undefined)} neither in the truth nor predicted; "
                "F1 is undefined and left out of the averages"
            )
        absent = [c.name for c in scores.classes if not c.support and c.predicted]
        if absent:
            notes.append(
                f"{side}: {', '.join(absent)} not in the truth, but predicted; F1 is 0 and counts in the macro average"
            )
        return notes


def score_table(
    multilabel: Confusion | None,
    binary: ClasswiseConfusion | None,
    merged: Confusion | None = None,
    trust: Mapping[str, Any] | None = None,
) -> ScoreTable:
    """Return the table of the sides; the binary classes are put in the order of the multilabel ones.

    Raises InputError when both are None or a binary class is none of the multilabel ones.
    """
    if multilabel is not None and binary is not None:
        order = [n for n in multilabel.class_names if n in binary.by_class]
        rest = [n for n in binary.by_class if n not in multilabel.class_names]
        binary = ClasswiseConfusion({name: binary.by_class[name] for name in order + rest})
    return ScoreTable(multilabel, binary, merged, trust or {})


def _trust_notes(trust: Mapping[str, Any]) -> list[str]:
    notes = []
    for network, errors in trust.get("calibration", {}).items():
        if LIKELIEST in errors:
            before, after = errors[LIKELIEST]["before"], errors[LIKELIEST]["after"]
            most = max((error["after"] or 0.0 for name, error in errors.items() if name != LIKELIEST), default=None)
            notes.append(
                f"{network}: probabilities of the likeliest class are off by {decimals(after)} on average "
                f"({decimals(before)} before calibration), those of a class by {decimals(most)} at most"
            )
    for name, areas in trust.get("doubt", {}).items():
        if areas["roc_area"] is not None:
            notes.append(
                f"{name}: area under the ROC curve {decimals(areas['roc_area'])} as a predictor of errors of what is "
                f"merged, under the error-retention curve {areas['retention_area']:.4f}"
            )
    return notes


def with_objects(table: ScoreTable, objects: Mapping[str, ObjectScores]) -> ScoreTable:
    """The table with scores of objects, by class."""
    return replace(table, objects=objects)


def to_json(table: ScoreTable) -> str:
    """Return headline, rows and notes in full precision, and the counts that they come from."""
    data = {
        "weighted_f1": table.headline,
        "accuracy": {side: scores.accuracy for side, scores in table.sides.items()},
        "rows": [_row_json(row) for row in table.rows],
        "notes": table.notes,
        **({"trust": table.trust} if table.trust else {}),
        **({"objects": {name: scores.to_json() for name, scores in table.objects.items()}} if table.objects else {}),
        "confusion": {
            "binary": None if table.binary is None else table.binary.to_json(),
            "multilabel": None if table.multilabel is None else table.multilabel.to_json(),
            **({} if table.merged is None else {"merged": table.merged.to_json()}),
        },
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def from_json(text: str) -> ScoreTable:
    """Return the table whose `to_json` is `text`, from its counts; DataError when it is something else."""
    try:
        told = json.loads(text)
        counts = told["confusion"]
        multilabel = counts["multilabel"] and confusion_from_json(counts["multilabel"])
        merged = counts.get("merged") and confusion_from_json(counts["merged"])
        binary = counts["binary"] and confusion_from_json(counts["binary"])
        trust = told.get("trust", {})
        objects = {name: object_scores.from_json(scores) for name, scores in told.get("objects", {}).items()}
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"this is not a table of scores ({error}); evaluate again") from error
    if binary is not None and not isinstance(binary, ClasswiseConfusion):
        raise DataError("the binary scores of this table are not counted class by class; evaluate again")
    return ScoreTable(multilabel, binary, merged, trust, objects)


def to_csv(table: ScoreTable) -> str:
    """Return one line a row in full precision, with columns of their own for objects; an undefined score is empty."""
    columns = _columns(table)
    of_objects = object_tables.csv_columns() if table.objects else []

    def cells(row: Row) -> list[Any]:
        voxels = [row.kind, row.name, row.share, row.support, *(row.value(measure, side) for measure, side in columns)]
        if not of_objects:
            return voxels
        return voxels + object_tables.csv_cells(None if row.is_average else table.objects.get(row.name))

    return csv_table(
        ["row", "name", "share", "support_voxels", *(f"{measure}_{side}" for measure, side in columns), *of_objects],
        map(cells, table.rows),
    )


def to_markdown(table: ScoreTable) -> str:
    """Return the headline, the table to three decimals, and the notes."""
    columns = _columns(table)
    titles = ["class", "share, %", *(f"{MEASURE_TITLES[measure]} {side}" for measure, side in columns)]
    shown = markdown_table(
        titles, ([row.markdown_title, percent_number(row.share), *_texts(row, columns)] for row in table.rows)
    )
    notes = "\n".join(f"- {note}" for note in table.notes)
    objects = [object_tables.to_markdown(table.objects)] if table.objects else []
    return "\n\n".join([f"**{headline(table)}**", shown, *([notes] if notes else []), *objects]) + "\n"


def to_rich(table: ScoreTable) -> Group:
    """Return the table for a terminal of 80 columns: F1, and IoU where there are one or two sides."""
    measures = ("f1", "iou") if len(table.sides) < 3 else ("f1",)
    columns = [column for column in _columns(table) if column[0] in measures]
    view = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    view.add_column("class", no_wrap=True)
    view.add_column("share\n%", justify="right", no_wrap=True)
    for measure, side in columns:
        view.add_column(f"{MEASURE_TITLES[measure]}\n{side}", justify="right", no_wrap=True)
    rows = table.rows
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        ends_classes = following is not None and following.is_average and not row.is_average
        cells = [percent_number(row.share), *_texts(row, columns)]
        style = "bold" if row.name == "weighted" and row.is_average else None
        view.add_row(escape(row.name), *cells, style=style, end_section=ends_classes)
    # A table's own title and caption break at its width, which three columns make narrow.
    notes = [Text(note, style="dim italic") for note in table.notes]
    return Group(Text(headline(table), style="italic"), view, *notes)


def headline(table: ScoreTable) -> str:
    """Return the weighted F1 of each side in words, as in "Weighted F1: binary .948, multilabel .954"."""
    return "Weighted F1: " + ", ".join(f"{side} {decimals(value)}" for side, value in table.headline.items())


def _class_row(name: str, sides: Mapping[str, Scores]) -> Row:
    found: dict[str, ClassScores | None] = {
        side: next((c for c in scores.classes if c.name == name), None) for side, scores in sides.items()
    }
    # Both sides see the same truth; the multilabel one comes last and holds every class.
    known = [scores for scores in found.values() if scores is not None][-1]
    return Row(name, False, known.share, known.support, found)


def _average_rows(sides: Mapping[str, Scores]) -> list[Row]:
    return [
        Row("macro", True, None, None, {side: scores.macro for side, scores in sides.items()}),
        Row("weighted", True, None, None, {side: scores.weighted for side, scores in sides.items()}),
    ]


def _columns(table: ScoreTable) -> list[tuple[str, str]]:
    return [(measure, side) for measure in MEASURES for side in table.sides]


def _texts(row: Row, columns: Sequence[tuple[str, str]]) -> list[str]:
    return [decimals(row.value(measure, side)) for measure, side in columns]


def _row_json(row: Row) -> dict[str, Any]:
    sides = {
        side: None if scores is None else {measure: scores.value(measure) for measure in MEASURES}
        for side, scores in row.sides.items()
    }
    return {"row": row.kind, "name": row.name, "share": row.share, "support_voxels": row.support, **sides}
