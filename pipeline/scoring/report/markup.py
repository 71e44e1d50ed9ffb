"""Elements of SVG and HTML as safe markup: whatever a name holds, it stays text."""

from __future__ import annotations

from markupsafe import Markup, escape

Value = str | float | int


def element(name: str, *children: str | Markup, **attributes: Value) -> Markup:
    """Return ``<name attribute="value">children</name>``.

    Underscores in names of attributes become hyphens, and one at the end goes (``class_``). Numbers are rounded to
    hundredths.
    """
    words = [f' {_name(key)}="{_value(value)}"' for key, value in attributes.items()]
    inner = Markup("").join(children)
    return Markup(f"<{name}{''.join(words)}>{inner}</{name}>")


def percent(share: float) -> str:
    """Return a share of the whole as a length: 0.25 is 25 %."""
    return f"{100 * share:.4g}%"


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _value(value: Value) -> str:
    return str(escape(f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value))
