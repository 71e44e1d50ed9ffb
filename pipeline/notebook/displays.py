"""What a notebook shows of a volume, a table of scores and a run, and scenes to turn around."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import InputError
from pipeline.figures.markup import Attributes, Cell, Look, element, html_table
from pipeline.figures.palette import rgb
from pipeline.figures.render.scene import scene_html, write_scene_html
from pipeline.figures.render.surfaces import MOST_VOXELS, Surface, class_styles, surfaces
from pipeline.figures.slices import grey_image, most_frequent, topmost_class
from pipeline.formats import decimals, percent_number, sides
from pipeline.run.layout import Run
from pipeline.run.progress import target_states
from pipeline.scoring import object_tables
from pipeline.scoring.tables import ScoreTable, headline
from pipeline.volume.coarse import coarse_labels
from pipeline.volume.geometry import Block, ZyxNm
from pipeline.volume.omezarr import Level, Volume

_SLICE_PX = 420
"""Width of a slice in the page."""
_SCENE_PX = 560
_CELL = "padding:.15em .7em;white-space:nowrap;border-bottom:1px solid rgba(128,128,128,.3);"
_NUMBER = _CELL + "text-align:right;"
_LOOK = Look(
    table={"style": "border-collapse:collapse;margin:.4em 0"},
    title={"style": _NUMBER + "opacity:.75;font-weight:600"},
    text={"style": _CELL + "text-align:left;font-weight:normal"},
    number={"style": _NUMBER},
)
_OBJECT_SCORES = ("ap", "ap_50", "f1", "pq")
_BAR = "rgba(86,180,233,.35)"
"""Sheer, so that text on it is read on a light ground and on a dark one."""
_BOX = "display:inline-block;width:.9em;height:.9em;border:1px solid rgba(128,128,128,.8);vertical-align:-.1em;"


@dataclass(frozen=True)
class Scene:
    """Surfaces within a volume of `size_nm` (z, y, x): the last value of a notebook's cell is shown."""

    surfaces: tuple[Surface, ...]
    title: str
    size_nm: ZyxNm

    def save(self, path: str | Path) -> Path:
        """Write the scene as one HTML file that opens anywhere."""
        return write_scene_html(self.surfaces, Path(path), title=self.title, size_nm=self.size_nm)

    def _repr_html_(self) -> str:
        page = scene_html(self.surfaces, title=self.title, size_nm=self.size_nm)
        style = f"width:100%;height:{_SCENE_PX}px;border:1px solid rgba(128,128,128,.4)"
        return f'<iframe title="{escape(self.title)}" srcdoc="{escape(page)}" style="{style}"></iframe>'


def register() -> None:
    """Let volumes, tables of scores and runs show themselves: IPython asks an object for `_repr_html_`."""
    displays: dict[type, Callable[[Any], str]] = {Volume: volume_html, ScoreTable: scores_html, Run: run_html}
    for shown, display in displays.items():
        setattr(shown, "_repr_html_", display)  # noqa: B010  # mypy knows the attributes of a class


def scene(labels: Volume, region: Block | None = None, *, title: str = "") -> Scene:
    """Return the scene of the classes of a label volume, or of a region of it (None: all).

    The class that fills the volume is hidden at first. A large volume is drawn on a coarser grid, on which thin classes
    stay; voxels are counted on its own. Raises InputError when the volume holds no labels.
    """
    if not labels.classes:
        raise InputError(f"{labels.store.url} is no label volume with classes: there are no surfaces to show")
    coarse = coarse_labels(labels, MOST_VOXELS, region, lambda values: class_ids(labels, values))
    names, colors = [name for _, name, _ in labels.classes], [color for _, _, color in labels.classes]
    styles = class_styles(names, colors, background=most_frequent(coarse.ids))
    found = surfaces(coarse.ids, styles, coarse.voxel_size_nm, coarse.voxels)
    z, y, x = (n * size for n, size in zip(coarse.ids.shape, coarse.voxel_size_nm, strict=True))
    return Scene(tuple(found), title or labels.name, (z, y, x))


def volume_html(volume: Volume) -> str:
    """Return shape, voxel size and type of a volume, a slice of it, and the colours of its classes."""
    level = _level_to_show(volume)
    z = level.geometry.shape_zyx[0] // 2
    slice_of_volume = z * volume.shape_zyx[0] // level.geometry.shape_zyx[0]
    _, height_nm, width_nm = (n * size for n, size in zip(volume.shape_zyx, volume.geometry.voxel_size_nm, strict=True))
    channels = f", channels {', '.join(volume.channels)}" if volume.channels else ""
    kind = "labels" if volume.is_labels else "image"
    facts = (
        f"{_grouped(volume.shape_zyx)} voxels of {sides(volume.geometry.voxel_size_nm)} nm (z, y, x), {volume.dtype}, "
        f"{len(volume.levels)} levels{channels}"
    )
    pieces = [
        _heading(volume.name or kind, f"{kind}: {facts}"),
        _picture(_slice(volume, level, z), f"Slice {slice_of_volume}", width_nm / height_nm),
        _note(f"slice {slice_of_volume}, {width_nm / 1000:.3g} × {height_nm / 1000:.3g} µm"),
        _legend((name, color) for _, name, color in volume.classes) if volume.classes else "",
    ]
    return "".join(pieces)


def scores_html(table: ScoreTable) -> str:
    """Return the headline, F1 by class and network, averages last, and what one must know to read them."""
    rows: list[list[str | Cell]] = [
        [
            row.name,
            _bar(percent_number(row.share), row.share),
            *(_bar(decimals(f1), f1) for f1 in (row.value("f1", side) for side in table.sides)),
        ]
        for row in table.rows
    ]
    titles = ["class", "share, %", *(f"F1 {side}" for side in table.sides)]
    pieces = [_heading(headline(table)), html_table(titles, rows, look=_LOOK), *map(_note, table.notes)]
    return "".join([*pieces, *_objects_html(table)])


def _objects_html(table: ScoreTable) -> list[Markup]:
    """Scores of objects, a row a class; nothing where there are none."""
    if not table.objects:
        return []
    rows = [
        (name, f"{scores.counts.true:,}", f"{scores.counts.predicted:,}",
         *(object_tables.cell(scores, score) for score in _OBJECT_SCORES))
        for name, scores in table.objects.items()
    ]  # fmt: skip
    titles = ["objects", "true", "predicted", *(object_tables.TITLES[score] for score in _OBJECT_SCORES)]
    return [html_table(titles, rows, look=_LOOK), *map(_note, object_tables.notes(table.objects))]


def run_html(run: Run) -> str:
    """Return captures, networks with their state, and scores of a run; of one that is not planned yet, that."""
    if not run.store.exists("plan.json"):
        return _heading("Run", run.store.url) + _note("not planned yet")
    captures = [
        (capture.name, _grouped(capture.shape_zyx), sides(capture.voxel_size_nm)) for capture in run.plan.captures
    ]
    networks = [
        (state.target, state.trained, decimals(state.validation_macro_f1), state.shards_text)
        for state in target_states(run)
    ]
    titles = ["network", "trained", "validation macro F1", "shards predicted"]
    scores = run.scores
    pieces = [
        _heading(run.config.name, run.store.url),
        html_table(["capture", "voxels (z, y, x)", "voxel size, nm"], captures, look=_LOOK),
        html_table(titles, networks, look=_LOOK) if networks else "",
        scores_html(scores) if scores else _note("not scored yet"),
    ]
    return "".join(pieces)


def class_ids(volume: Volume, values: NDArray[Any]) -> NDArray[np.uint16]:
    """Return places (from 1) in the volume's classes of what is stored in it; of overlapping classes the last one's."""
    if values.dtype == np.uint32:
        return topmost_class(values, len(volume.classes)).astype(np.uint16)
    ids = np.zeros(np.iinfo(values.dtype).max + 1, np.uint16)
    for place, (value, _, _) in enumerate(volume.classes, start=1):
        ids[value] = place
    return np.asarray(ids[values])


def _level_to_show(volume: Volume) -> Level:
    """The coarsest level that has a pixel of the slice for each of the page."""
    fine_enough = [level for level in volume.levels if level.geometry.shape_zyx[2] >= _SLICE_PX]
    return fine_enough[-1] if fine_enough else volume.levels[0]


def _slice(volume: Volume, level: Level, z: int) -> NDArray[np.uint8]:
    """RGB, or of labels RGBA in which what has no class is clear; of channels the first."""
    _, rows, columns = level.geometry.shape_zyx
    values = level.read(Block((z, 0, 0), (z + 1, rows, columns)))
    plane = values.reshape(-1, rows, columns)[0]
    if not volume.is_labels:
        return grey_image(plane)
    colors = np.array([(0, 0, 0, 0), *((*rgb(color), 255) for _, _, color in volume.classes)], np.uint8)
    return np.asarray(colors[class_ids(volume, plane)])


def _heading(text: str, remark: str = "") -> Markup:
    """A bold line, and a fainter remark behind it."""
    faint = [Markup(" "), element("span", remark, style="opacity:.7")] if remark else []
    return element("div", element("b", text), *faint, style="margin:.4em 0")


def _note(text: str) -> Markup:
    """A faint line."""
    return element("div", text, style="opacity:.75;margin:.3em 0")


def _bar(text: str, share: float | None) -> Cell:
    """A number with a bar behind it."""
    filled = f"linear-gradient(90deg,{_BAR} {100 * (share or 0):.1f}%,transparent 0)"
    return Cell(text, {"style": f"{_NUMBER}min-width:6em;background:{filled}"})


def _legend(names_and_colors: Iterable[tuple[str, str]]) -> Markup:
    """Names, each behind a box of its colour (#rrggbb)."""
    entry: Attributes = {"style": "white-space:nowrap;margin-right:1em"}
    entries = (
        element("span", element("span", style=f"{_BOX}background:{color}"), Markup(" "), name, **entry)
        for name, color in names_and_colors
    )
    return element("div", *entries, style="margin:.4em 0;max-width:44em;line-height:1.7")


def _picture(pixels: NDArray[np.uint8], text: str, aspect: float) -> Markup:
    """An RGB or RGBA image (y, x, channel) as PNG; `text` says what is in it, `aspect` is width by height."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    source = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    shape = f"width:{_SLICE_PX}px;max-width:100%;aspect-ratio:{aspect:.4f}"
    style = f"{shape};display:block;outline:1px solid rgba(128,128,128,.3)"
    return Markup(f'<img src="{source}" alt="{escape(text)}" style="{style}">')


def _grouped(shape_zyx: tuple[int, int, int]) -> str:
    return " × ".join(f"{side:,}" for side in shape_zyx)
