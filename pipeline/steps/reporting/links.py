"""Files beside the report that it points to: renders, tables, figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import quote

from PIL import UnidentifiedImageError

from pipeline.scoring.report.contents import Link
from pipeline.scoring.report.pictures import Picture, thumbnail
from pipeline.steps.reporting.results import RENDERS
from pipeline.volume.stores import Store

Kind = Literal["scene", "film", "picture"]
KINDS: dict[str, Kind] = {".html": "scene", ".gif": "film", ".mp4": "film", ".png": "picture"}
TABLES = ("scores", "ablation", "shares")
MOST_PREVIEWS = 24
"""More would make the page large; the others are named only."""


def links(evaluation: Store) -> Iterator[Link]:
    """What there is, by relative addresses: renders first, then tables and figures."""
    previews = 0
    for key in evaluation.list(RENDERS):
        path = PurePosixPath(key)
        kind = KINDS.get(path.suffix)
        if kind is None:
            continue
        preview = _preview(evaluation, key, _title(path)) if previews < MOST_PREVIEWS else None
        previews += preview is not None
        yield Link(quote(key), _title(path), kind, preview)
    for key in evaluation.list():
        path = PurePosixPath(key)
        if (len(path.parts) == 1 and path.stem in TABLES) or path.parts[0] == "figures":
            yield Link(quote(key), key, "table")


def _title(path: PurePosixPath) -> str:
    return " ".join([*path.parts[1:-1], path.stem])


def _preview(evaluation: Store, key: str, title: str) -> Picture | None:
    """Of a picture, itself; of a film, its first frame; of a scene, none."""
    if not key.endswith((".png", ".gif")):
        return None
    try:
        return thumbnail(evaluation.read(key), f"Render: {title}")
    except UnidentifiedImageError:
        return None
