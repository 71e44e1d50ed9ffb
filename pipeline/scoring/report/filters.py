"""What the templates call to bring names, numbers and lengths into words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from pipeline.scoring.canvas import round_length
from pipeline.scoring.report import numbers
from pipeline.scoring.report.markup import percent as share_of_width
from pipeline.scoring.tables import decimals, percent


@dataclass(frozen=True)
class ScaleBar:
    """A round length; `width` is its share of the picture."""

    width: str
    text: str


def breakable(name: str) -> Markup:
    """Return a name that may be broken after its underscores and other joints, and is escaped."""
    return Markup("").join(escape(letter) + Markup("<wbr>") if letter in "_-/." else escape(letter) for letter in name)


def capitalized(sentence: str) -> str:
    """Return a sentence with a capital letter at its start, and the others as they are."""
    return sentence[:1].upper() + sentence[1:]


def scale_bar(width_nm: float) -> ScaleBar:
    """Return a bar of about a quarter of a picture that is so wide."""
    length_nm = round_length(0.3 * width_nm)
    text = f"{length_nm / 1000:g} µm" if length_nm >= 1000 else f"{length_nm:g} nm"
    return ScaleBar(share_of_width(length_nm / width_nm), text)


FILTERS: Mapping[str, Callable[..., Any]] = {
    "breakable": breakable,
    "capitalized": capitalized,
    "decimals": decimals,
    "percent": percent,
    "whole": numbers.whole,
    "amount": numbers.amount,
    "duration": numbers.duration,
    "memory": numbers.memory,
    "size": numbers.size,
    "scale_bar": scale_bar,
    "zip": zip,
}
