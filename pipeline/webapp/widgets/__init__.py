"""Two parts of the pages that run in the browser: the upload of large files, and the slice viewer.

They are Streamlit components (v2), registered once a process: HTML, CSS and JavaScript that lie beside this file and
are built by nothing.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.volume.geometry import Zyx, ZyxNm

if TYPE_CHECKING:
    from streamlit.components.v2.types import BidiComponentKey, ComponentRenderer

    from pipeline.webapp.results import Whereabouts

FOLDER = Path(__file__).parent


def upload_widget(url: str, *, kinds: str, key: BidiComponentKey) -> str | None:
    """Let the user upload a file to ``url``; the upload's id in the one run of the page after it has arrived."""
    answer = _component("upload")(data={"url": url, "kinds": kinds}, key=key, on_uploaded_change=_nothing)
    identifier: str | None = answer.uploaded
    return identifier


def viewer_widget(
    url: str,
    *,
    shape_zyx: Zyx,
    voxel_size_nm: ZyxNm,
    classes: list[tuple[str, str]],
    background: int | None,
    at: Whereabouts | None = None,
    key: BidiComponentKey,
) -> None:
    """Show the slices that are served below ``url`` as ``<axis>/<index>.png``.

    Args:
        url: Where the slices are.
        shape_zyx: Voxels of the volume.
        voxel_size_nm: Size of a voxel, z, y, x.
        classes: Name and colour (#rrggbb) of each; the k-th is number k, from 1, in the slices.
        background: Number of the class that is not coloured at first, since most of the tissue is of it.
        at: An object to go to, and to draw a box around; None leaves the view where it is.
        key: Name of this widget on its page.
    """
    named = [
        {"name": name, "color": color, "background": number == background}
        for number, (name, color) in enumerate(classes, start=1)
    ]
    data = {"url": url, "shape_zyx": shape_zyx, "voxel_size_nm": voxel_size_nm, "classes": named}
    _component("viewer")(data=data | {"at": None if at is None else asdict(at)}, key=key)


def _nothing() -> None:
    """Streamlit tells of a trigger only where something listens."""


@cache
def _component(name: str) -> ComponentRenderer:
    from streamlit.components.v2 import component

    html, css, js = ((FOLDER / f"{name}.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
    return component(f"vemseg_{name}", html=html, css=css, js=js)
