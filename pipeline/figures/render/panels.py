"""Figures of a prediction in three dimensions: one class in every way, and all classes beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.figures.canvas import Entry, Panel, Swatch, panels_figure
from pipeline.figures.palette import ANY_CLASS, SHADOW, Rgb, rgb
from pipeline.figures.render.camera import Camera, fitted
from pipeline.figures.render.drawing import fog_picture, surface_pictures
from pipeline.figures.render.outcomes import MEANINGS, ConfusionView, Outcome, outcome_styles
from pipeline.figures.render.surfaces import Style, Surface, class_styles
from pipeline.figures.slices import grey_image
from pipeline.formats import decimals, whole
from pipeline.volume.geometry import Zyx, ZyxNm

_LONGEST_PANEL = {"class": 620, "overview": 460}
_LEAST_COLUMN = {"class": 380, "overview": 300}
_MOST_COLUMNS = 5
_CONTEXT_OPACITY = 0.12
"""Of what was found, in the pictures of errors: it says where they are."""
_FOG_OPACITY = {Outcome.FOUND: 0.25, Outcome.MISSED: 0.9, Outcome.INVENTED: 0.9}
_GAP = 14
"""Pixels between the planes; marks in it say where the others cut."""
_BAND = 4
_MARK_COLOR = (20, 26, 33)
_OVERLAY = 0.85
"""How much of the colour an opaque style lays over the raw data."""


@dataclass(frozen=True)
class Planes:
    """The planes of a volume through the voxel `at` (z, y, x), each an array whose axes its name says, rows first."""

    yx: NDArray[Any]
    yz: NDArray[Any]
    zx: NDArray[Any]
    at: Zyx


def class_figure(view: ConfusionView, class_id: int, raw: Planes, labels: Planes, title: str) -> Figure:
    """Return what was found, missed and invented of a class, as surfaces, as fog and in orthogonal slices.

    `raw` and `labels` are planes of the grey values and of the class's outcomes, at the same voxels of one size: they
    may be finer than the view.
    """
    camera = fitted(view.size_nm, _LONGEST_PANEL["class"])
    found = {surface.style.name: surface for surface in view.surfaces[class_id]}
    shares, styles = outcome_shares(view, class_id), view.styles(class_id)
    width, height = max(camera.pixels[0], _LEAST_COLUMN["class"]), camera.pixels[1]
    headings = [f"{outcome.name.capitalize()}: {shares[outcome]}" for outcome in Outcome]
    scenes = [*(_alone(found, outcome) for outcome in Outcome), list(found.values())]
    *alone, all_three = _in_space([*headings, "All three"], scenes, camera, scale_bars=len(headings))
    fog_styles: dict[int, Style] = {kind: replace(styles[kind], opacity=_FOG_OPACITY[kind]) for kind in Outcome}
    fog = fog_picture(view.outcomes(class_id), fog_styles, view.voxel_size_nm, camera)
    slices, scale = orthogonal_picture(raw, labels, styles, _plane_voxel_size_nm(view, raw), (width, height))
    together = [
        all_three,
        Panel("Volume rendering", fog),
        Panel("Slices through most errors: xy, zy, xz", slices, width_nm=slices.shape[1] * scale),
    ]
    counts, scores = view.counts(class_id), view.scores(class_id)
    entries = [Entry(MEANINGS[kind], _swatch(styles[kind]), f"{whole(counts[kind])} voxels") for kind in Outcome]
    entries.append(Entry(f"F1 {decimals(scores.f1)}"))
    entries.append(Entry(f"precision {decimals(scores.precision)}, recall {decimals(scores.recall)}"))
    em = int(np.clip(width / 24, 18, 24))
    legend = {"What became of the class": entries}
    return panels_figure([alone, together], (width, height), em=em, title=title, legend=legend)


def overview_figure(view: ConfusionView, title: str) -> Figure:
    """Return truth and prediction without the class that fills the volume, and the errors of each class by itself."""
    camera = fitted(view.size_nm, _LONGEST_PANEL["overview"])
    headings = ["Truth", "Prediction"]
    headings += [f"{view.class_names[k - 1]}, F1 {decimals(view.scores(k).f1)}" for k in view.drawn]
    scenes = [view.truth_surfaces, view.predicted_surfaces, *(view.surfaces[k] for k in view.drawn)]
    panels = _in_space(headings, scenes, camera, scale_bars=1)
    width, height = max(camera.pixels[0], _LEAST_COLUMN["overview"]), camera.pixels[1]
    columns = min(_MOST_COLUMNS, -(-len(panels) // 2))
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    of_any_class = outcome_styles("", ANY_CLASS)
    remarks = {Outcome.FOUND: "in the colour of the class, sheer"}
    legend = {
        "Truth and prediction": _class_entries(view),
        "Each class": [Entry(MEANINGS[kind], _swatch(of_any_class[kind]), remarks.get(kind, "")) for kind in Outcome],
    }
    em = int(np.clip(width / 18, 16, 22))
    return panels_figure(rows, (width, height), em=em, title=title, legend=legend)


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


def in_shadow(surface: Surface) -> Surface:
    """Return what was found so faint that it only says where the errors are."""
    return replace(surface, style=replace(surface.style, color=SHADOW, opacity=_CONTEXT_OPACITY))


def orthogonal_picture(
    raw: Planes,
    labels: Planes,
    styles: Mapping[int, Style],
    voxel_size_nm: ZyxNm,
    largest: tuple[int, int],
) -> tuple[Rgb, float]:
    """Return the three planes as one picture (y, x, 3), and its nanometres a pixel.

    The plane of a slice (y, x) has z, y to its right and z, x below it. `largest` is the width and height that the
    picture must not exceed. Labels with a style are laid over the raw data, in bands where they are banded.
    """
    size_nm = _size_nm(raw, voxel_size_nm)
    scale = _nm_a_pixel(size_nm, largest)
    depth, height, width = (max(1, round(side / scale)) for side in size_nm)
    rows, columns = height + _GAP + depth, width + _GAP + depth
    joined = np.full((rows, columns, 3), 255, np.uint8)
    joined[:height, :width] = _overlaid(raw.yx, labels.yx, styles, (height, width))
    joined[:height, -depth:] = _overlaid(raw.yz, labels.yz, styles, (height, depth))
    joined[-depth:, :width] = _overlaid(raw.zx, labels.zx, styles, (depth, width))
    z, y, x = (int((at + 0.5) * voxel / scale) for at, voxel in zip(raw.at, voxel_size_nm, strict=True))
    edge = slice(2, _GAP - 2)
    joined[height:, :][edge, x - 1 : x + 1] = _MARK_COLOR
    joined[y - 1 : y + 1, width:][:, edge] = _MARK_COLOR
    joined[height:, -depth:][edge, z : z + 2] = _MARK_COLOR
    joined[-depth:, width:][z : z + 2, edge] = _MARK_COLOR
    return joined, scale


def _in_space(
    headings: Sequence[str], scenes: Sequence[Sequence[Surface]], camera: Camera, *, scale_bars: int
) -> list[Panel]:
    """A panel a scene; so many of the first ones have a scale bar."""
    pictures = [picture for (picture,) in surface_pictures(scenes, [camera])]
    width_nm = camera.pixels[0] * camera.scale
    return [
        Panel(heading, picture, width_nm=width_nm if place < scale_bars else None, on_white=True)
        for place, (heading, picture) in enumerate(zip(headings, pictures, strict=True))
    ]


def _alone(found: dict[str, Surface], outcome: Outcome) -> list[Surface]:
    """One outcome, solid; beside an error what was found is a shadow."""
    name = outcome.name.lower()
    shown = [replace(found[name], style=replace(found[name].style, opacity=1.0))] if name in found else []
    return [*shown, in_shadow(found["found"])] if outcome is not Outcome.FOUND and "found" in found else shown


def _swatch(style: Style) -> Swatch:
    return Swatch(style.color, style.band_color, style.opacity)


def _class_entries(view: ConfusionView) -> list[Entry]:
    styles = class_styles(view.class_names, view.colors)
    entries = [Entry(view.class_names[class_id - 1], _swatch(styles[class_id])) for class_id in view.foreground]
    if view.background:
        entries.append(Entry(f"(not drawn: {view.class_names[view.background - 1]})"))
    return entries


def _plane_voxel_size_nm(view: ConfusionView, raw: Planes) -> ZyxNm:
    rows, columns = raw.yx.shape
    depth_nm, height_nm, width_nm = view.size_nm
    return depth_nm / len(raw.zx), height_nm / rows, width_nm / columns


def _size_nm(raw: Planes, voxel_size_nm: ZyxNm) -> ZyxNm:
    voxel_z, voxel_y, voxel_x = voxel_size_nm
    rows, columns = raw.yx.shape
    return len(raw.zx) * voxel_z, rows * voxel_y, columns * voxel_x


def _nm_a_pixel(size_nm: ZyxNm, largest: tuple[int, int]) -> float:
    depth, height, width = size_nm
    most_columns, most_rows = largest
    return max((width + depth) / (most_columns - _GAP), (height + depth) / (most_rows - _GAP))


def _overlaid(
    raw: NDArray[Any], labels: NDArray[Any], styles: Mapping[int, Style], shape: tuple[int, int]
) -> NDArray[np.uint8]:
    """A plane in pixels: each shows the voxel below its middle."""
    rows, columns = (((np.arange(n) + 0.5) * side / n).astype(int) for n, side in zip(shape, raw.shape, strict=True))
    seen = grey_image(raw)[np.ix_(rows, columns)].astype(np.float32)
    kinds = labels[np.ix_(rows, columns)]
    odd_band = (np.add.outer(np.arange(shape[0]), np.arange(shape[1])) // _BAND) % 2 == 1
    for label, style in styles.items():
        here = kinds == label
        for place, color in ((here & ~odd_band, style.color), (here & odd_band, style.band_color)):
            share = _OVERLAY * max(style.opacity, 0.4)
            seen[place] = (1 - share) * seen[place] + share * np.array(rgb(color))
    return seen.round().astype(np.uint8)
