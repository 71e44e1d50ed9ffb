"""Colours of classes that are given none.

They are Okabe and Ito's ("Color universal design", 2008) less the three that figures give to errors, then those of Paul
Tol's muted scheme: any two of the first seven can be told apart with any colour vision, and from those of errors.
Further ones are these, made lighter.
"""

from __future__ import annotations

BACKGROUND = "#555555"
_OKABE_ITO = ("#009e73", "#e69f00", "#56b4e9", "#f0e442")
_TOL = (
    "#332288",
    "#ddcc77",
    "#88ccee",
    "#882255",
    "#aa4499",
    "#999933",
    "#cc6677",
    "#117733",
    "#44aa99",
    "#661100",
    "#225555",
)
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
