"""The page: what there is to show, put into the templates beside this module."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from pipeline import formats
from pipeline.figures import chartdata
from pipeline.figures.markup import css_length, element, html_table
from pipeline.figures.palette import DARK_SCALE, LIGHT_SCALE, ink_on, shade
from pipeline.figures.report import charts
from pipeline.figures.report.contents import Contents, Kind, Lacking
from pipeline.figures.report.findings import findings, headline
from pipeline.figures.report.pictures import LOOKS
from pipeline.scoring import ablation_tables, object_tables
from pipeline.scoring.ablation import SIDE, Ablation
from pipeline.scoring.confusion import ClasswiseConfusion, ConfusionMatrix
from pipeline.scoring.tables import MEASURE_MEANINGS, MEASURE_TITLES

TITLES = {
    "classes": "How much of each class",
    "previews": "One slice",
    "scores": "Scores",
    "confusion": "What is taken for what",
    "regions": "Where it errs",
    "objects": "Objects",
    "training": "Training",
    "boosting": "Super-resolution",
    "renders": "In three dimensions",
    "run": "The run",
}
OF_A_STUDY = ("scores", "confusion", "objects", "regions", "training", "boosting", "renders", "run")
SECTIONS: Mapping[Kind, tuple[str, ...]] = {
    "study": OF_A_STUDY,
    "segmentation": ("classes", "objects", "previews", "run"),
    "boosting": ("previews", "run"),
}
"""Of the page of each kind of run, in their order."""
_QUALITIES = 4
"""Measures of image quality that the page shows; the table has all."""


@dataclass(frozen=True)
class Section:
    """A part of the page; `lacking` says why its body is not there, None where it is."""

    anchor: str
    title: str
    lacking: Lacking | None


def render(contents: Contents) -> str:
    """Return the page: HTML that loads nothing, and that its own policy forbids to load anything."""
    script = _source("script.js")
    table, ablation = contents.scores, contents.ablation
    lacking = {one.part: one for one in contents.lacking}
    matrix = table.multilabel if table and isinstance(table.multilabel, ConfusionMatrix) else None
    return _template().render(
        contents=contents,
        sections=[
            Section(anchor, TITLES[anchor], lacking.get(anchor))
            for anchor in SECTIONS[contents.kind]
            if anchor != "objects" or contents.objects or anchor in lacking
        ],
        headline=headline(contents),
        findings=findings(table, ablation),
        colors=contents.colors,
        sides=list(table.sides) if table else [],
        measures=[
            (measure, capitalized(title), MEASURE_MEANINGS[measure]) for measure, title in MEASURE_TITLES.items()
        ],
        matrix=chartdata.matrix(matrix) if matrix else None,
        tallies=_tallies(contents),
        object_scores=_object_scores(contents),
        object_notes=object_tables.notes(table.objects) if table else [],
        object_sizes=_object_sizes(contents),
        histograms=charts.size_histograms(contents.objects),
        curves=charts.training_curves(contents.targets),
        effects=charts.effects(ablation) if ablation else [],
        effect_ticks=charts.effect_ticks(ablation) if ablation else [],
        qualities=_qualities(ablation) if ablation else "",
        ablation_notes=ablation_tables.notes(ablation) if ablation else [],
        timeline=charts.timeline(contents.work),
        networks=_networks(contents),
        looks={kind.name.lower(): look for kind, look in LOOKS.items()},
        style=Markup(_source("style.css")),
        script=Markup(script),
        script_digest=_policy_digest(script),
    )


def breakable(name: str) -> Markup:
    """Return a name that may be broken after its underscores and other joints, and is escaped."""
    return Markup("").join(escape(letter) + Markup("<wbr>") if letter in "_-/." else escape(letter) for letter in name)


def capitalized(sentence: str) -> str:
    """Return a sentence with a capital letter at its start, and the others as they are."""
    return sentence[:1].upper() + sentence[1:]


def swatch(color: str) -> Markup:
    """Return a box of a class's colour."""
    box = element("rect", width=12, height=12, rx=3, fill=color)
    return element("svg", box, class_="swatch", viewBox="0 0 12 12", width=12, height=12, aria_hidden="true")


def cell_style(share: float) -> str:
    """Return CSS custom properties of a cell of the matrix: its colour and its text's, on a light and a dark page."""
    light, dark = shade(share, LIGHT_SCALE), shade(share, DARK_SCALE)
    return f"--light:{light};--light-ink:{ink_on(light)};--dark:{dark};--dark-ink:{ink_on(dark)}"


def scale_bar(width_nm: float) -> Markup:
    """Return a bar of about a quarter of a picture that is so wide."""
    length_nm = formats.round_length(0.3 * width_nm)
    text = element("span", formats.length(length_nm))
    return element("span", text, class_="scale-bar", style=f"width:{css_length(length_nm / width_nm)}")


def _tallies(contents: Contents) -> list[tuple[str, Markup]]:
    """By side, what was found, missed and invented of classes that are predicted one by one."""
    table = contents.scores
    if table is None:
        return []
    titles = (
        ("multilabel", table.multilabel, "Classes that may overlap"),
        ("binary", table.binary, "One network a class"),
        ("merged", table.merged, "All networks together"),
    )
    what = "found, missed and invented, in per cent of the class in the truth"
    return [
        (side, _tally(contents.colors, counts, f"{title}: {what} ({side})"))
        for side, counts, title in titles
        if isinstance(counts, ClasswiseConfusion)
    ]


def _tally(colors: Mapping[str, str], counts: ClasswiseConfusion, caption: str) -> Markup:
    rows = [
        (
            _named(name, colors),
            formats.whole(one.tp + one.fn),
            *(formats.percent_part(voxels, one.tp + one.fn) or "0" for voxels in (one.tp, one.fn, one.fp)),
        )
        for name, one in counts.by_class.items()
    ]
    return html_table(("class", "voxels", "found", "missed", "invented"), rows, caption=caption)


def _object_scores(contents: Contents) -> Markup:
    """Nothing where no objects were compared with a truth."""
    compared = [(one.name, one.scores) for one in contents.objects if one.scores]
    if not compared:
        return Markup("")
    rows: list[tuple[str | Markup, ...]] = [
        ("true objects", *(formats.whole(scores.counts.true) for _, scores in compared)),
        ("predicted objects", *(formats.whole(scores.counts.predicted) for _, scores in compared)),
    ]
    for name, title in object_tables.TITLES.items():
        meaning = element("span", object_tables.MEANINGS[name], class_="note")
        head = Markup(" ").join([escape(title), meaning])
        rows.append((head, *(object_tables.cell(scores, name) for _, scores in compared)))
    titles = ("score", *(_named(name, contents.colors) for name, _ in compared))
    return html_table(titles, rows, caption="Scores of objects, of the multilabel network")


def _object_sizes(contents: Contents) -> Markup:
    rows = [
        (
            _named(one.name, contents.colors),
            formats.whole(one.summary.count),
            formats.ABSENT if one.summary.median_um3 is None else formats.volume_um3(one.summary.median_um3),
            formats.whole(one.summary.cut),
            formats.whole(one.summary.touching),
        )
        for one in contents.objects
    ]
    titles = ("class", "objects", "median volume, µm³", "cut by the end of the volume", "touch another")
    return html_table(titles, rows, caption="Every object of what was predicted")


def _qualities(ablation: Ablation) -> Markup:
    nothing = (formats.ABSENT,) * _QUALITIES
    rows = [
        (
            one.name,
            *(ablation_tables.quality_cells(one.quality)[:_QUALITIES] if one.quality else nothing),
            *(formats.decimals(row.value("f1", SIDE)) for row in one.rows if row.is_average),
        )
        for one in ablation.inputs
    ]
    titles = ("input", *ablation_tables.QUALITY_TITLES[:_QUALITIES], "macro F1", "weighted F1")
    caption = "Each input: how near it is to the native slices, and what its segmentation scores"
    return html_table(titles, rows, caption=caption)


def _networks(contents: Contents) -> Markup:
    rows = [
        (
            breakable(target.name),
            target.trained,
            target.shards,
            element("code", target.weights_sha256[:16] or formats.ABSENT),
        )
        for target in contents.targets
    ]
    titles = ("target", "trained", "shards predicted", "weights, SHA-256")
    caption = "Each network: how far it is, and the digest of its weights"
    return html_table(titles, rows, caption=caption, text_columns=len(titles))


def _named(name: str, colors: Mapping[str, str]) -> Markup:
    return Markup(" ").join([swatch(colors[name]), breakable(name)])


FILTERS: Mapping[str, Callable[..., Any]] = {
    "amount": formats.amount,
    "bar": charts.bar,
    "breakable": breakable,
    "capitalized": capitalized,
    "cell_style": cell_style,
    "decimals": formats.decimals,
    "duration": formats.duration,
    "memory": formats.memory,
    "percent": formats.percent_number,
    "scale_bar": scale_bar,
    "sides": formats.sides,
    "signed": formats.signed,
    "swatch": swatch,
    "volume_um3": formats.volume_um3,
    "whole": formats.whole,
    "zip": zip,
}


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("pipeline.figures.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    return environment.get_template("page.html")


@cache
def _source(name: str) -> str:
    loader = PackageLoader("pipeline.figures.report")
    return loader.get_source(Environment(), name)[0]


def _policy_digest(script: str) -> str:
    """As a Content-Security-Policy names the one script that may run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
