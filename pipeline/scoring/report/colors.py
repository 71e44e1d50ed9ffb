"""Colours that stay readable: of two inks the one with more contrast, and a scale for light and for dark pages.

Contrast is that of the Web Content Accessibility Guidelines 2.2, "relative luminance" and "contrast ratio".
"""

from __future__ import annotations

from pipeline.scoring.volumes import mix

INKS = ("#000000", "#ffffff")
"""No colour is nearer than 4.58 to both."""
LIGHT_SCALE = ("#ffffff", "#08457e")
DARK_SCALE = ("#171d26", "#7cc0ff")


def contrast(color: str, other: str) -> float:
    """Return the contrast ratio of two colours #rrggbb, from 1 to 21."""
    darker, lighter = sorted((luminance(color), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color: str) -> float:
    """Return the relative luminance of a colour #rrggbb, from 0 to 1."""
    red, green, blue = (_linear(byte / 255) for byte in bytes.fromhex(color[1:]))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def ink_on(color: str) -> str:
    """Return the colour of text on a colour."""
    return max(INKS, key=lambda ink: contrast(ink, color))


def shade(share: float, scale: tuple[str, str]) -> str:
    """Return the colour of a share from 0 to 1: by its root, since a few per cent are what one looks for."""
    return mix(*scale, min(1.0, max(0.0, share)) ** 0.5)


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
