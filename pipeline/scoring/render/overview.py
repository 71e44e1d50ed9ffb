"""The figure of all classes: truth and prediction, and the errors of each class in a panel of its own."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from pipeline.scoring.canvas import Canvas
from pipeline.scoring.render.camera import fitted
from pipeline.scoring.render.class_figure import Panel, place_panel
from pipeline.scoring.render.confusion import ConfusionView
from pipeline.scoring.render.legend import Entry, draw_legend, legend_width
from pipeline.scoring.render.outcomes import MEANINGS, Outcome, outcome_styles
from pipeline.scoring.render.stills import surface_picture
from pipeline.scoring.render.surfaces import class_styles
from pipeline.scoring.tables import decimals

_LONGEST_PANEL = 460
_LEAST_COLUMN = 300
_MOST_COLUMNS = 5
_FOUND_COLOR = "#8fa3b5"
"""In the legend, where "found" is of no class."""


def overview_figure(view: ConfusionView, title: str) -> Figure:
    """Return the figure of a view; the class that fills the volume is left out of truth and prediction."""
    camera = fitted(view.size_nm, _LONGEST_PANEL)
    truth, predicted = view.truth_and_predicted
    panels = [
        Panel("Truth", surface_picture(view.class_surfaces(truth), camera), camera.scale),
        Panel("Prediction", surface_picture(view.class_surfaces(predicted), camera)),
    ]
    panels += [
        Panel(
            f"{view.class_names[class_id - 1]}, F1 {decimals(view.scores(class_id).f1)}",
            surface_picture(view.surfaces[class_id], camera),
        )
        for class_id in view.drawn
    ]
    width, height = max(camera.pixels[0], _LEAST_COLUMN), camera.pixels[1]
    columns = min(_MOST_COLUMNS, -(-len(panels) // 2))
    rows = -(-len(panels) // columns)
    em = int(np.clip(width / 18, 16, 22))
    column, row = width + em, height + 3 * em
    classes, outcomes = _class_entries(view), _outcome_entries()
    canvas = Canvas((em + columns * column + legend_width([*classes, *outcomes], em), 3 * em + rows * row + em), em)
    canvas.text(title, em, 2.2 * em, scale=1.35, weight="bold")
    for number, panel in enumerate(panels):
        left, lower = em + number % columns * column, 3 * em + (number // columns + 1) * row - em // 2
        place_panel(canvas, panel, left, lower, height)
    left, upper = em + columns * column, 3 * em + em / 2
    below = draw_legend(canvas, "Truth and prediction", classes, left, upper)
    draw_legend(canvas, "Each class", outcomes, left, below + em)
    return canvas.figure


def _class_entries(view: ConfusionView) -> list[Entry]:
    styles = class_styles(view.class_names, view.colors)
    entries = [Entry(styles[class_id], view.class_names[class_id - 1]) for class_id in view.foreground]
    if view.background:
        entries.append(Entry(None, f"(not drawn: {view.class_names[view.background - 1]})"))
    return entries


def _outcome_entries() -> list[Entry]:
    styles = outcome_styles("", _FOUND_COLOR)
    remarks = {Outcome.FOUND: "in the colour of the class, sheer"}
    return [Entry(styles[kind], MEANINGS[kind], remarks.get(kind, "")) for kind in Outcome]
