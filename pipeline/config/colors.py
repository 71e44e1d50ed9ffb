"""Colours of classes that are given none.

The first seven are Okabe and Ito's ("Color universal design", 2008), the next eight Paul Tol's muted scheme: within
each any two can be told apart with any colour vision. Further ones are these, made lighter.
"""

from __future__ import annotations

BACKGROUND = "#555555"
_OKABE_ITO = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9", "#f0e442")
_TOL = ("#332288", "#882255", "#44aa99", "#117733", "#ddcc77", "#aa4499", "#999933", "#661100")
_BACKGROUNDS = ("background", "rest", "other", "unlabelled", "resin")


def is_background(name: str) -> bool:
    """Whether a class is named as what is left beside the others."""
    return name in _BACKGROUNDS


def class_color(name: str, index: int) -> str:
    """The colour of a class that has none of its own.

    Args:
        name: a background is grey.
        index: its place among the classes, from 0.
    """
    if is_background(name):
        return BACKGROUND
    pure = (*_OKABE_ITO, *_TOL)
    color = pure[index % len(pure)]
    return color if index < len(pure) else _lighter(color)


def _lighter(color: str) -> str:
    return "#" + bytes((part + 255) // 2 for part in bytes.fromhex(color[1:])).hex()
