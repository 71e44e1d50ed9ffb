"""Pieces of HTML that displays are made of; all text given to them is escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_CELL = "padding:.15em .7em;white-space:nowrap;border-bottom:1px solid rgba(128,128,128,.3)"
_TABLE = '<table style="border-collapse:collapse;margin:.4em 0">'
_HEAD = "opacity:.75;font-weight:600"
_BAR = "rgba(86,180,233,.35)"
"""Sheer, so that text on it is read on a light ground and on a dark one."""


def heading(text: str, remark: str = "") -> str:
    """A bold line, and a fainter remark behind it."""
    faint = f' <span style="opacity:.7">{escape(remark)}</span>' if remark else ""
    return f'<div style="margin:.4em 0"><b>{escape(text)}</b>{faint}</div>'


def note(text: str) -> str:
    """A faint line."""
    return f'<div style="opacity:.75;margin:.3em 0">{escape(text)}</div>'


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    body = (_row("td", row) for row in rows)
    return f"{_TABLE}{_row('th', columns, _HEAD)}{''.join(body)}</table>"


def bars(columns: Sequence[str], rows: Iterable[tuple[str, Sequence[tuple[str, float]]]]) -> str:
    """A table in which each number (as text, and as a share from 0 to 1) has a bar behind it."""
    body = (f"<tr>{_cell('td', name)}{''.join(_bar(*cell) for cell in cells)}</tr>" for name, cells in rows)
    return f"{_TABLE}{_row('th', columns, _HEAD)}{''.join(body)}</table>"


def swatches(names_and_colors: Iterable[tuple[str, str]]) -> str:
    """A legend: names, each behind a box of its colour (#rrggbb)."""
    box = "display:inline-block;width:.9em;height:.9em;border:1px solid rgba(128,128,128,.8);vertical-align:-.1em"
    entries = (
        f'<span style="white-space:nowrap;margin-right:1em"><span style="{box};background:{escape(color)}"></span> '
        f"{escape(name)}</span>"
        for name, color in names_and_colors
    )
    return f'<div style="margin:.4em 0;max-width:44em;line-height:1.7">{"".join(entries)}</div>'


def picture(pixels: NDArray[np.uint8], text: str, *, width: int, aspect: float) -> str:
    """An RGB or RGBA image (y, x, channel) as PNG; `text` says what is in it, `aspect` is width by height."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    source = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    style = (
        f"width:{width}px;max-width:100%;aspect-ratio:{aspect:.4f};display:block;outline:1px solid rgba(128,128,128,.3)"
    )
    return f'<img src="{source}" alt="{escape(text)}" style="{style}">'


def _row(tag: str, texts: Sequence[str], style: str = "") -> str:
    cells = (_cell(tag, text, f"text-align:{'right' if at else 'left'};{style}") for at, text in enumerate(texts))
    return f"<tr>{''.join(cells)}</tr>"


def _bar(text: str, share: float) -> str:
    filled = f"linear-gradient(90deg,{_BAR} {100 * share:.1f}%,transparent 0)"
    return _cell("td", text, f"text-align:right;min-width:6em;background:{filled}")


def _cell(tag: str, text: str, style: str = "text-align:left") -> str:
    return f'<{tag} style="{_CELL};{style}">{escape(text)}</{tag}>'
