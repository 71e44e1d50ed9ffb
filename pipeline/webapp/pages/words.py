"""Numbers and times as people write them."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

import numpy as np

STATES = {
    "queued": ("waiting", ":material/hourglass_empty:", "gray"),
    "running": ("running", ":material/autorenew:", "blue"),
    "done": ("done", ":material/check_circle:", "green"),
    "failed": ("failed", ":material/error:", "red"),
    "cancelled": ("cancelled", ":material/cancel:", "gray"),
}
"""Word, icon and colour of each state of a job."""
CHIP = "display:inline-flex;align-items:center;gap:.35em;margin:0 .8em .2em 0"
SWATCH = "width:.85em;height:.85em;border-radius:.2em;border:1px solid"


def badge(state: str) -> str:
    """A job's state as Markdown."""
    word, icon, color = STATES[state]
    return f":{color}-badge[{icon} {word}]"


def plain(text: str) -> str:
    """A user's own words for Markdown that is to show them as they are."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)  # ASCII's punctuation: Markdown knows no other


def size_zyx(shape_zyx: Sequence[int]) -> str:
    """Slices and their size; pixels in the order in which pictures are described, width first."""
    depth, height, width = shape_zyx
    return f"{depth} {'slice' if depth == 1 else 'slices'} of {width} × {height} pixels"


def voxel_nm(voxel_size_nm: Sequence[float]) -> str:
    """A voxel's size, x and y first."""
    z, y, x = (f"{edge:g}" for edge in voxel_size_nm)
    return f"{x} × {y} nm in a slice, {z} nm between slices"


def duration(seconds: float) -> str:
    """A time that something took."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def moment(at: float, offset_minutes: int | None) -> str:
    """A time of day where the user is. The offset is JavaScript's: minutes from local time to UTC."""
    zone = UTC if offset_minutes is None else timezone(timedelta(minutes=-offset_minutes))
    return f"{datetime.fromtimestamp(at, zone):%d %b %Y, %H:%M}"


def spaced(name: str) -> str:
    """A name of the configuration as words."""
    return name.replace("_", " ")


def percent(share: float) -> str:
    """A share of the volume."""
    return f"{100 * share:.1f}\u00a0%" if share >= 0.0005 or share == 0 else "<\u00a00.1\u00a0%"


def volume_um3(volume: float) -> str:
    """A volume in cubic micrometres, with two digits that count, and no exponent."""
    return np.format_float_positional(volume, precision=2, fractional=False, trim="-")


def chips(classes: Sequence[tuple[str, str]]) -> str:
    """Names of classes, each beside its colour, as HTML."""
    return " ".join(
        f'<span style="{CHIP}"><span style="{SWATCH};background:{html.escape(color)}"></span>'
        f"{html.escape(spaced(name))}</span>"
        for name, color in classes
    )
