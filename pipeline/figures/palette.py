"""The colours of everything that is drawn, and what makes them readable.

Okabe and Ito's colours ("Color universal design", 2008) can be told apart with any colour vision. Contrast is that of
the Web Content Accessibility Guidelines 2.2, "relative luminance" and "contrast ratio".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.scoring.confusion import encoding_base

Rgb = NDArray[np.uint8]
"""A picture (y, x, 3)."""

BLACK, WHITE = "#000000", "#ffffff"
VERMILION, BLUE, GREEN, PURPLE, ORANGE, SKY = "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"
LINE_COLORS = (BLACK, VERMILION, BLUE, GREEN, PURPLE, ORANGE, SKY)
"""Less Okabe and Ito's yellow, which is too faint for a line on white."""
SIDE_COLORS = {"binary": ORANGE, "multilabel": BLUE, "merged": GREEN}
MISSED, INVENTED, CONFUSED, NOT_PREDICTED = VERMILION, BLUE, PURPLE, BLACK

GRID = "#dddddd"
BOX_EDGE = "#8a949e"
REMARK = "#53606d"
"""Of text that explains, and of the edges of swatches."""
SHADOW = "#7b8794"
"""Of what was found, where it only says where the errors are."""
ANY_CLASS = "#8fa3b5"
"""In a legend, where it is of no class."""
UNLABELLED = "#999999"

METHOD_STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#d0d0d0"},
    {"color": ORANGE, "hatch": "///", "edgecolor": "#7a5400", "linewidth": 0},
    {"color": BLUE},
    {"color": PURPLE, "hatch": "...", "edgecolor": "#6d3f59", "linewidth": 0},
    {"color": GREEN, "hatch": "xxx", "edgecolor": "#00513b", "linewidth": 0},
)
"""Of the bars of boosting methods: from light to dark, and hatched where two neighbours are alike in grey."""

INKS = (BLACK, WHITE)
"""No colour is nearer than 4.58 to both."""
LIGHT_SCALE = (WHITE, "#08457e")
DARK_SCALE = ("#171d26", "#7cc0ff")
"""Of shares from none to all, on a light and on a dark page."""


class ConfusionLabel(NamedTuple):
    """One value of a confusion volume, as OME-Zarr's image-label properties and colours show it."""

    value: int
    name: str
    color: str
    """#rrggbb: dim where the class was found, bright where it was taken for another."""


def rgb(color: str) -> tuple[int, int, int]:
    """Return red, green and blue, 0 to 255, of a colour #rrggbb."""
    red, green, blue = bytes.fromhex(color[1:])
    return red, green, blue


def mix(color: str, other: str, share: float) -> str:
    """Return the colour #rrggbb with `share` (0 to 1) of `other` in it."""
    return "#" + bytes(round(a + share * (b - a)) for a, b in zip(rgb(color), rgb(other), strict=True)).hex()


def contrast(color: str, other: str) -> float:
    """Return the contrast ratio of two colours #rrggbb, from 1 to 21."""
    darker, lighter = sorted((luminance(color), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color: str) -> float:
    """Return the relative luminance of a colour #rrggbb, from 0 to 1."""
    red, green, blue = (_linear(part / 255) for part in rgb(color))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def ink_on(color: str) -> str:
    """Return the colour of text on a colour."""
    return max(INKS, key=lambda ink: contrast(ink, color))


def shade(share: float, scale: tuple[str, str]) -> str:
    """Return the colour of a share from 0 to 1: by its root, since a few per cent are what one looks for."""
    return mix(*scale, min(1.0, max(0.0, share)) ** 0.5)


def confusion_labels(class_names: Sequence[str], colors: Sequence[str]) -> list[ConfusionLabel]:
    """Return every value of a confusion volume but 0, with its name and colour.

    `colors` are the classes' own, as #rrggbb. A voxel that was found keeps its class's colour, darkened; a
    wrong one has the colour of what it was taken for, tinted by what it is; one that was not predicted is
    white.
    """
    base = encoding_base(len(class_names))
    names, hues = ["", *class_names], ["", *colors]
    pairs = ((t, p) for t in range(1, len(names)) for p in range(len(names)))
    return [ConfusionLabel(base * t + p, _pair_name(names, t, p), _pair_color(hues, t, p)) for t, p in pairs]


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _pair_name(names: Sequence[str], truth: int, predicted: int) -> str:
    if predicted == 0:
        return f"{names[truth]} not predicted"
    return f"{names[truth]} found" if truth == predicted else f"{names[truth]} taken for {names[predicted]}"


def _pair_color(colors: Sequence[str], truth: int, predicted: int) -> str:
    if predicted == 0:
        return WHITE
    if truth == predicted:
        return mix(colors[truth], BLACK, 0.65)
    return mix(colors[predicted], colors[truth], 0.2)
