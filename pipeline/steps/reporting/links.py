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
ONE_CLASS = "class"
MOST_PREVIEWS = 24
"""More would make the page large; the others are named only."""


def links(evaluation: Store) -> Iterator[Link]:
    """What there is, by relative addresses: scenes, films and pictures, then tables and figures."""
    paths = [path for path in map(PurePosixPath, evaluation.list(RENDERS)) if path.suffix in KINDS]
    for number, path in enumerate(sorted(paths, key=_rank)):
        preview = _preview(evaluation, path) if number < MOST_PREVIEWS else None
        yield Link(quote(str(path)), _title(path), KINDS[path.suffix], preview)
    for key in evaluation.list():
        path = PurePosixPath(key)
        if (len(path.parts) == 1 and path.stem in TABLES) or path.parts[0] == "figures":
            yield Link(quote(key), key, "other")


def _rank(path: PurePosixPath) -> tuple[int, bool, PurePosixPath]:
    """By kind; pictures of a single class after those of all."""
    return list(KINDS).index(path.suffix), path.stem.startswith(f"{ONE_CLASS}_"), path


def _title(path: PurePosixPath) -> str:
    return " ".join([*path.parts[1:-1], *path.stem.split("_")])


def _preview(evaluation: Store, path: PurePosixPath) -> Picture | None:
    """Of a picture, itself; of a film, its first frame; of a scene, none."""
    if path.suffix not in (".png", ".gif"):
        return None
    try:
        return thumbnail(evaluation.read(str(path)), f"Render: {_title(path)}")
    except UnidentifiedImageError:
        return None
