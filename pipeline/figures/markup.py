"""Elements of SVG and HTML as safe markup: whatever a name holds, it stays text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from markupsafe import Markup, escape

Value = str | float | int
Attributes = Mapping[str, Value]


class Cell(NamedTuple):
    """A cell of a table that looks otherwise than its column."""

    text: str | Markup
    attributes: Attributes


@dataclass(frozen=True)
class Look:
    """Attributes of a table and its cells: classes where the page has a style sheet, styles where it has none."""

    table: Attributes = field(default_factory=lambda: {"class_": "figures"})
    title: Attributes = field(default_factory=dict)
    text: Attributes = field(default_factory=dict)
    number: Attributes = field(default_factory=lambda: {"class_": "number"})


def element(name: str, *children: str | Markup, **attributes: Value) -> Markup:
    """Return ``<name attribute="value">children</name>``.

    Underscores in names of attributes become hyphens, and one at the end goes (``class_``). Numbers are rounded to
    hundredths.
    """
    words = [f' {_name(key)}="{_value(value)}"' for key, value in attributes.items()]
    inner = Markup("").join(children)
    return Markup(f"<{name}{''.join(words)}>{inner}</{name}>")


def css_length(share: float) -> str:
    """Return a share of the whole as a length: 0.25 is 25 %."""
    return f"{100 * share:.4g}%"


def html_table(
    titles: Sequence[str | Markup],
    rows: Iterable[Sequence[Any]],
    *,
    caption: str = "",
    text_columns: int = 1,
    look: Look | None = None,
) -> Markup:
    """Return a table whose first cells head their rows.

    Args:
        titles: of the columns.
        rows: cells: text, markup or `Cell`.
        caption: what the table shows; "" for none.
        text_columns: so many columns are text; the others are numbers.
        look: how it looks; None: as the report's style sheet says.
    """
    look = look or Look()
    columns = [look.text if place < text_columns else look.number for place in range(len(titles))]
    head = [
        element("th", title, **{"scope": "col", **column, **look.title})
        for title, column in zip(titles, columns, strict=True)
    ]
    body = [element("tr", *map(_body_cell, row, columns, range(len(columns)))) for row in rows]
    parts = [element("caption", element("span", caption))] if caption else []
    parts += [element("thead", element("tr", *head)), element("tbody", *body)]
    return element("table", *parts, **look.table)


def _body_cell(cell: str | Markup | Cell, column: Attributes, place: int) -> Markup:
    text, attributes = cell if isinstance(cell, Cell) else (cell, {})
    tag, scope = ("td", {}) if place else ("th", {"scope": "row"})
    return element(tag, text, **{**scope, **column, **attributes})


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _value(value: Value) -> str:
    return str(escape(f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value))
