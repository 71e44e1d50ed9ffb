"""A turn-table: prediction and errors side by side, turning once around, as an animated GIF."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
from PIL import Image

from pipeline.scoring.canvas import Canvas
from pipeline.scoring.figures import figure_png
from pipeline.scoring.render.camera import turning
from pipeline.scoring.render.confusion import ConfusionView, all_surfaces
from pipeline.scoring.render.legend import swatch
from pipeline.scoring.render.outcomes import Outcome, outcome_styles
from pipeline.scoring.render.stills import surface_pictures
from pipeline.scoring.render.surfaces import Surface, decimated
from pipeline.scoring.slices import Rgb

FRAMES = 24
_MOST_TRIANGLES = 80_000
_LONGEST_PANEL = 400
_FRAME_MILLISECONDS = 130
_COLORS = 128
_CONTEXT_OPACITY = 0.1


def turntable_gif(view: ConfusionView, title: str) -> bytes:
    """Return the GIF of a view; it leaves out the class that fills the volume."""
    cameras = turning(view.size_nm, _LONGEST_PANEL, FRAMES)
    _, predicted = view.truth_and_predicted
    left, right = (
        surface_pictures(decimated(found, _MOST_TRIANGLES), cameras)
        for found in (view.class_surfaces(predicted), _errors(view))
    )
    heading = _heading(title, 2 * cameras[0].pixels[0])
    frames = [np.vstack([heading, np.hstack(pair)]) for pair in zip(left, right, strict=True)]
    return _gif(frames)


def _errors(view: ConfusionView) -> list[Surface]:
    """The errors of all classes of the foreground, in the shadow of what was found."""
    found = all_surfaces({class_id: view.surfaces[class_id] for class_id in view.foreground})
    return [
        replace(surface, style=replace(surface.style, color="#7b8794", opacity=_CONTEXT_OPACITY))
        if surface.style.name == "found"
        else surface
        for surface in found
    ]


def _heading(title: str, width: int) -> Rgb:
    em = 15
    canvas = Canvas((width, round(4.4 * em)), em)
    canvas.text(title, em / 2, 1.6 * em, weight="bold")
    canvas.text("Prediction", em / 2, 3.6 * em)
    canvas.text("Errors:", width / 2 + em / 2, 3.6 * em)
    styles = outcome_styles("", "#000000")
    for number, outcome in enumerate((Outcome.MISSED, Outcome.INVENTED)):
        place = width / 2 + (4.6 + 5.6 * number) * em
        swatch(canvas, styles[outcome], place, 3.75 * em)
        canvas.text(outcome.name.lower(), place + 1.4 * em, 3.6 * em)
    return np.asarray(Image.open(io.BytesIO(figure_png(canvas.figure))).convert("RGB"))


def _gif(frames: list[Rgb]) -> bytes:
    """One palette for all frames, lest colours flicker."""
    palette = Image.fromarray(np.hstack(frames[:: max(1, len(frames) // 4)])).quantize(_COLORS)
    images = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    file = io.BytesIO()
    images[0].save(
        file, "GIF", save_all=True, append_images=images[1:], duration=_FRAME_MILLISECONDS, loop=0, optimize=True
    )
    return file.getvalue()
