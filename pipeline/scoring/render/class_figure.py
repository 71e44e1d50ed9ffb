"""The figure of one class: what was found, missed and invented of it, as surfaces, as fog and in orthogonal slices."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from matplotlib.figure import Figure

from pipeline.scoring.canvas import Canvas
from pipeline.scoring.render.camera import Camera, fitted
from pipeline.scoring.render.confusion import ConfusionView
from pipeline.scoring.render.fog import fog_picture
from pipeline.scoring.render.legend import Entry, draw_legend, legend_width
from pipeline.scoring.render.orthogonal import Planes, orthogonal_picture
from pipeline.scoring.render.outcomes import MEANINGS, Outcome
from pipeline.scoring.render.stills import surface_picture
from pipeline.scoring.render.surfaces import Style, Surface
from pipeline.scoring.slices import Rgb
from pipeline.scoring.tables import decimals

LONGEST_PANEL = 620
_LEAST_COLUMN = 380
_CONTEXT_OPACITY = 0.12
"""Of what was found, in the pictures of errors: it says where they are."""
_FOG_OPACITY = {Outcome.FOUND: 0.25, Outcome.MISSED: 0.9, Outcome.INVENTED: 0.9}


@dataclass(frozen=True)
class Panel:
    """A picture with its heading; `scale` in nm a pixel, where it has a scale bar, and whether its ground is white."""

    heading: str
    picture: Rgb
    scale: float | None = None
    on_white: bool = True


def class_figure(view: ConfusionView, class_id: int, raw: Planes, labels: Planes, title: str) -> Figure:
    """Return the figure of a class.

    `raw` and `labels` are planes of the grey values and of the class's outcomes, at the same voxels of one size: they
    may be finer than the view.
    """
    camera = fitted(view.size_nm, LONGEST_PANEL)
    found = {surface.style.name: surface for surface in view.surfaces[class_id]}
    shares = outcome_shares(view, class_id)
    column = max(camera.pixels[0], _LEAST_COLUMN)
    panels = [
        Panel(f"{outcome.name.capitalize()}: {shares[outcome]}", _alone(found, outcome, camera), camera.scale)
        for outcome in Outcome
    ]
    panels.append(Panel("All three", surface_picture(list(found.values()), camera)))
    styles = view.styles(class_id)
    fog_styles: dict[int, Style] = {kind: replace(styles[kind], opacity=_FOG_OPACITY[kind]) for kind in Outcome}
    panels.append(
        Panel("Volume rendering", fog_picture(view.outcomes(class_id), fog_styles, view.voxel_size_nm, camera))
    )
    voxel_size_nm = _plane_voxel_size_nm(view, raw)
    slices, scale = orthogonal_picture(raw, labels, styles, voxel_size_nm, (column, camera.pixels[1]))
    panels.append(Panel("Slices through most errors: xy, zy, xz", slices, scale, on_white=False))
    return _composed(panels, column, camera.pixels[1], _entries(view, class_id), title)


def outcome_shares(view: ConfusionView, class_id: int) -> dict[Outcome, str]:
    """Return what part of the truth, or of the prediction, each outcome is."""
    scores, counts = view.scores(class_id), view.counts(class_id)

    def share(outcome: Outcome, whole: int, of: str) -> str:
        return f"{100 * counts[outcome] / whole:.1f} % of the {of}" if whole else f"no {of}"

    return {
        Outcome.FOUND: share(Outcome.FOUND, scores.support, "truth"),
        Outcome.MISSED: share(Outcome.MISSED, scores.support, "truth"),
        Outcome.INVENTED: share(Outcome.INVENTED, scores.predicted, "prediction"),
    }


def _alone(found: dict[str, Surface], outcome: Outcome, camera: Camera) -> Rgb:
    """One outcome, solid; beside an error what was found is a shadow."""
    name = outcome.name.lower()
    shown = [replace(found[name], style=replace(found[name].style, opacity=1.0))] if name in found else []
    if outcome is not Outcome.FOUND and "found" in found:
        context = found["found"]
        shown.append(replace(context, style=replace(context.style, color="#7b8794", opacity=_CONTEXT_OPACITY)))
    return surface_picture(shown, camera)


def _plane_voxel_size_nm(view: ConfusionView, raw: Planes) -> tuple[float, float, float]:
    rows, columns = raw.yx.shape
    depth_nm, height_nm, width_nm = view.size_nm
    return depth_nm / len(raw.zx), height_nm / rows, width_nm / columns


def _entries(view: ConfusionView, class_id: int) -> list[Entry]:
    styles, counts, scores = view.styles(class_id), view.counts(class_id), view.scores(class_id)
    outcomes = [Entry(styles[kind], MEANINGS[kind], f"{counts[kind]:,} voxels") for kind in Outcome]
    return [
        *outcomes,
        Entry(None, f"F1 {decimals(scores.f1)}"),
        Entry(None, f"precision {decimals(scores.precision)}, recall {decimals(scores.recall)}"),
    ]


def _composed(panels: list[Panel], width: int, height: int, entries: list[Entry], title: str) -> Figure:
    """Two rows of three panels, the legend on their right."""
    em = int(np.clip(width / 24, 18, 24))
    column, row = width + em, height + 3 * em
    canvas = Canvas((em + 3 * column + legend_width(entries, em), 3 * em + 2 * row + em), em)
    canvas.text(title, em, 2.2 * em, scale=1.35, weight="bold")
    for number, panel in enumerate(panels):
        left, lower = em + number % 3 * column, 3 * em + (number // 3 + 1) * row - em // 2
        place_panel(canvas, panel, left, lower, height)
    draw_legend(canvas, "What became of the class", entries, em + 3 * column, 3 * em + em // 2)
    return canvas.figure


def place_panel(canvas: Canvas, panel: Panel, left: int, lower: int, height: int) -> None:
    """Draw a panel into a place `height` pixels high, whose lower left corner is given."""
    rows, columns = panel.picture.shape[:2]
    canvas.text(panel.heading, left, lower - height - 0.5 * canvas.em, scale=1.05)
    lower -= height - rows
    canvas.image(panel.picture, left, lower, columns, rows)
    if panel.scale:
        canvas.scale_bar(left, lower, columns, columns * panel.scale, on_white=panel.on_white)
