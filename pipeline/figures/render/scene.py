"""An interactive scene as one HTML file that needs no network: plotly's WebGL meshes in a page of our own.

plotly is taken because its whole library is one script that its Python package carries, so that the scene opens from a
file, and because each surface can be shown and hidden by itself; the page of trame-vtk, which PyVista's own export
uses, shows all or nothing. The controls around it are plain HTML, for keyboards, touch and screen readers.

Positions travel as 16-bit fractions of the scene's box and corners as differences from the one before, both
deflated: a triangle takes some six bytes.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.figures.render.surfaces import BANDS, Surface
from pipeline.formats import length, round_length
from pipeline.volume.geometry import ZyxNm
from pipeline.volume.stores import whole_file

MOST_BYTES = 15_000_000
_STEPS = 2**16 - 1


def scene_html(found: Sequence[Surface], *, title: str, size_nm: ZyxNm, note: str = "") -> str:
    """Return a page in which the surfaces can be turned, zoomed, shown and hidden.

    Args:
        found: what to show; surfaces of one group are listed together.
        title: heading of the page.
        size_nm: sides z, y, x of the volume, which is drawn as a box.
        note: a sentence below the heading.

    Raises InputError when there is no surface, or when the page would have more than `MOST_BYTES`.
    """
    if not found:
        raise InputError(f"{title}: there is no surface to show; none of the classes occurs here")
    box_xyz = np.array(size_nm[::-1], np.float64)
    data = {
        "size": box_xyz.tolist(),
        "bar": _scale_bar(box_xyz),
        "bands": BANDS,
        "surfaces": [_packed(surface, box_xyz) for surface in found],
    }
    page = _filled(title, note, json.dumps(data, separators=(",", ":")))
    if len(page) > MOST_BYTES:
        raise InputError(f"{title}: the scene would have {len(page) / 1e6:.0f} MB; give fewer triangles")
    return page


def write_scene_html(found: Sequence[Surface], path: Path, *, title: str, size_nm: ZyxNm, note: str = "") -> Path:
    """Write the page of `scene_html` to a file, which appears when it is complete."""
    page = scene_html(found, title=title, size_nm=size_nm, note=note)
    with whole_file(path, "the scene") as partial:
        partial.write_text(page, encoding="utf-8")
    return path


def _filled(title: str, note: str, data: str) -> str:
    from plotly.offline import get_plotlyjs

    page = _part("scene.html")
    parts = {
        "title": escape(title),
        "note": escape(note),
        "style": _part("scene.css"),
        # Within a script element only "</" could end it early.
        "data": data.replace("</", "<\\/"),
        "library": get_plotlyjs(),
        "script": _part("scene.js"),
    }
    for name, text in parts.items():
        page = page.replace(f"{{{{{name}}}}}", text)
    return page


def _part(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _scale_bar(box_xyz: NDArray[np.float64]) -> dict[str, Any]:
    length_nm = 1000 * round_length(0.3 * float(box_xyz.max()) / 1000)
    return {"length": length_nm, "text": length(length_nm)}


def _packed(surface: Surface, box_xyz: NDArray[np.float64]) -> dict[str, Any]:
    style = surface.style
    fractions = np.clip(np.rint(surface.points_nm / box_xyz * _STEPS), 0, _STEPS).astype("<u2")
    differences = np.diff(surface.triangles.ravel(), prepend=np.int32(0)).astype("<i4")
    return {
        "name": style.name,
        "group": style.group,
        "color": style.color,
        "opacity": style.opacity,
        "band": style.band_color,
        "shown": style.shown,
        "voxels": surface.voxels,
        "points": _deflated(fractions.T),
        "corners": _deflated(differences),
    }


def _deflated(values: NDArray[Any]) -> str:
    """Bytes of equal weight together compress better."""
    planes = np.ascontiguousarray(values).view(np.uint8).reshape(-1, values.dtype.itemsize).T
    return base64.b64encode(zlib.compress(np.ascontiguousarray(planes).tobytes(), 6)).decode()
