"""A turn-table: prediction and errors side by side, turning once around, as an animated GIF."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from pipeline.figures.canvas import Canvas, Swatch, figure_png, text_width
from pipeline.figures.palette import BLACK, Rgb, rgb
from pipeline.figures.render.camera import turning
from pipeline.figures.render.drawing import surface_pictures
from pipeline.figures.render.outcomes import ConfusionView, Outcome, all_surfaces, outcome_styles
from pipeline.figures.render.panels import in_shadow
from pipeline.figures.render.surfaces import Surface, decimated

FRAMES = 24
_MOST_TRIANGLES = 80_000
_LONGEST_PANEL = 400
_FRAME_MILLISECONDS = 130
_COLORS = 192
_SHADES = (0.45, 0.6, 0.75, 0.9, 1.0)
"""Of a surface's colour, by how the light falls."""


def turntable_gif(view: ConfusionView, title: str) -> bytes:
    """Return the GIF of a view; it leaves out the class that fills the volume."""
    cameras = turning(view.size_nm, _LONGEST_PANEL, FRAMES)
    scenes = [decimated(found, _MOST_TRIANGLES) for found in (view.predicted_surfaces, _errors(view))]
    left, right = surface_pictures(scenes, cameras, sheer_layers=3)
    heading = _heading(view, title, 2 * cameras[0].pixels[0])
    frames = [np.vstack([heading, np.hstack(pair)]) for pair in zip(left, right, strict=True)]
    return _gif(frames, [view.colors[class_id - 1] for class_id in view.foreground])


def _errors(view: ConfusionView) -> list[Surface]:
    """The errors of all classes of the foreground, in the shadow of what was found."""
    found = all_surfaces({class_id: view.surfaces[class_id] for class_id in view.foreground})
    return [in_shadow(surface) if surface.style.name == "found" else surface for surface in found]


def _heading(view: ConfusionView, title: str, width: int) -> Rgb:
    """The title, what is in either half, and the colours of the classes."""
    em = 15
    wrapped = _lines([view.class_names[class_id - 1] for class_id in view.foreground], width / em)
    canvas = Canvas((width, round((4.4 + 1.6 * len(wrapped)) * em)), em)
    canvas.text(title, em / 2, 1.6 * em, weight="bold")
    canvas.text("Prediction", em / 2, 3.6 * em)
    canvas.text("Errors:", width / 2 + em / 2, 3.6 * em)
    styles = outcome_styles("", BLACK)
    for number, outcome in enumerate((Outcome.MISSED, Outcome.INVENTED)):
        look = Swatch(styles[outcome].color, styles[outcome].band_color)
        _entry(canvas, look, outcome.name.lower(), width / 2 + (4.6 + 5.6 * number) * em, 3.6 * em)
    colors = dict(zip(view.class_names, view.colors, strict=True))
    for number, line in enumerate(wrapped):
        for name, left in line:
            _entry(canvas, Swatch(colors[name]), name, left * em, (5.2 + 1.6 * number) * em)
    return np.asarray(Image.open(io.BytesIO(figure_png(canvas.figure))).convert("RGB"))


def _entry(canvas: Canvas, swatch: Swatch, text: str, left: float, baseline: float) -> None:
    canvas.swatch(swatch, left, baseline + 0.15 * canvas.em)
    canvas.text(text, left + 1.4 * canvas.em, baseline)


def _lines(names: Sequence[str], width: float) -> list[list[tuple[str, float]]]:
    """Names with the places of their entries, line by line; in em."""
    lines: list[list[tuple[str, float]]] = []
    left = width
    for name in names:
        needed = 2.4 + text_width(name)
        if left + needed > width:
            lines.append([])
            left = 0.5
        lines[-1].append((name, left))
        left += needed
    return lines


def _gif(frames: list[Rgb], colors: Sequence[str]) -> bytes:
    """One palette for all frames, lest colours flicker; a small class has its `colors` (#rrggbb) in it, too."""
    seen = np.hstack(frames[:: max(1, len(frames) // 4)])
    palette = Image.fromarray(np.vstack([seen, _shades(colors, seen.shape[1])])).quantize(_COLORS)
    images = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    file = io.BytesIO()
    images[0].save(
        file, "GIF", save_all=True, append_images=images[1:], duration=_FRAME_MILLISECONDS, loop=0, optimize=True
    )
    return file.getvalue()


def _shades(colors: Sequence[str], width: int) -> Rgb:
    """White, which is the ground, and the shades of each colour, in rows."""
    full = np.array([(255, 255, 255), *map(rgb, colors)])
    shades = np.outer(_SHADES, full.ravel()).reshape(-1, 1, 3)
    return np.broadcast_to(shades.repeat(6, axis=0), (6 * len(shades), width, 3)).astype(np.uint8)
