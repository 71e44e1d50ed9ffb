"""The page: what there is to show, put into the templates beside this module."""

from __future__ import annotations

import base64
import hashlib
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from pipeline.scoring.ablation_tables import notes as ablation_notes
from pipeline.scoring.confusion import ConfusionMatrix
from pipeline.scoring.report import boosting, timeline
from pipeline.scoring.report.contents import Contents
from pipeline.scoring.report.curves import training_curves
from pipeline.scoring.report.filters import FILTERS
from pipeline.scoring.report.findings import findings
from pipeline.scoring.report.headline import headline
from pipeline.scoring.report.matrix import matrix, tallies
from pipeline.scoring.report.panels import LOOKS
from pipeline.scoring.report.score_lines import MEANINGS, MEASURE_TITLES, score_lines
from pipeline.scoring.report.sections import sections


def render(contents: Contents) -> str:
    """Return the page: HTML that loads nothing, and that its own policy forbids to load anything."""
    script = _source("script.js")
    table, ablation = contents.scores, contents.ablation
    return _template().render(
        contents=contents,
        sections=sections(contents),
        headline=headline(contents),
        findings=findings(table, ablation),
        colors={one.name: one.color for one in contents.classes},
        score_lines=score_lines(table) if table else [],
        sides=list(table.sides) if table else [],
        measure_titles=MEASURE_TITLES,
        measure_meanings=MEANINGS,
        matrix=matrix(table.multilabel) if table and isinstance(table.multilabel, ConfusionMatrix) else None,
        tallies=_tallies(contents),
        curves=training_curves(contents.targets),
        effects=boosting.effects(ablation) if ablation else [],
        effect_ticks=boosting.ticks(boosting.axis_of(ablation)) if ablation else [],
        quality_titles=boosting.QUALITY_TITLES,
        quality_lines=boosting.quality_lines(ablation) if ablation else [],
        ablation_notes=ablation_notes(ablation) if ablation else [],
        timeline=timeline.timeline(contents.work),
        looks={kind.name.lower(): look for kind, look in LOOKS.items()},
        style=Markup(_source("style.css")),
        script=Markup(script),
        script_digest=_policy_digest(script),
    )


def _tallies(contents: Contents) -> list[tuple[str, list[object]]]:
    """By side, the counts of classes that are predicted one by one."""
    table = contents.scores
    if table is None:
        return []
    sides = (("multilabel", table.multilabel), ("binary", table.binary))
    return [(side, [*tallies(one)]) for side, one in sides if one is not None and not isinstance(one, ConfusionMatrix)]


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("pipeline.scoring.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    return environment.get_template("page.html")


@cache
def _source(name: str) -> str:
    loader = PackageLoader("pipeline.scoring.report")
    return loader.get_source(Environment(), name)[0]


def _policy_digest(script: str) -> str:
    """As a Content-Security-Policy names the one script that may run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
