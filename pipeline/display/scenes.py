"""A scene in a notebook: the surfaces of a label volume, to be turned around."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.display.volumes import class_ids
from pipeline.errors import InputError
from pipeline.scoring.render.scene import scene_html, write_scene_html
from pipeline.scoring.render.surfaces import MOST_VOXELS, Surface, class_styles, surfaces
from pipeline.scoring.slices import most_frequent
from pipeline.volume.coarse import coarse_labels

if TYPE_CHECKING:
    from pipeline.volume.geometry import Block
    from pipeline.volume.multiscale import Volume

_HEIGHT = 560


@dataclass(frozen=True)
class Scene:
    """Surfaces within a volume of `size_nm` (z, y, x): the last value of a notebook's cell is shown."""

    surfaces: tuple[Surface, ...]
    title: str
    size_nm: tuple[float, float, float]

    def save(self, path: str | Path) -> Path:
        """Write the scene as one HTML file that opens anywhere."""
        return write_scene_html(self.surfaces, Path(path), title=self.title, size_nm=self.size_nm)

    def _repr_html_(self) -> str:
        page = scene_html(self.surfaces, title=self.title, size_nm=self.size_nm)
        style = f"width:100%;height:{_HEIGHT}px;border:1px solid rgba(128,128,128,.4)"
        return f'<iframe title="{escape(self.title)}" srcdoc="{escape(page)}" style="{style}"></iframe>'


def scene(labels: Volume, region: Block | None = None, *, title: str = "") -> Scene:
    """Return the scene of the classes of a label volume, or of a region of it (None: all).

    The class that fills the volume is hidden at first. A large volume is drawn on a coarser grid, on which thin classes
    stay. Raises InputError when the volume holds no labels.
    """
    if not labels.classes:
        raise InputError(f"{labels.store.url} is no label volume with classes: there are no surfaces to show")
    coarse = coarse_labels(labels, MOST_VOXELS, region, lambda values: class_ids(labels, values))
    names, colors = [name for _, name, _ in labels.classes], [color for _, _, color in labels.classes]
    styles = class_styles(names, colors, background=most_frequent(coarse.ids))
    found = surfaces(coarse.ids, styles, coarse.voxel_size_nm)
    z, y, x = (n * size for n, size in zip(coarse.ids.shape, coarse.voxel_size_nm, strict=True))
    return Scene(tuple(found), title or labels.name, (z, y, x))
