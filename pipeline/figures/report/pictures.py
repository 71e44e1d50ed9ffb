"""The pictures of the page, which it holds as data so that it needs no other file.

Those of a region show raw, truth, prediction and errors for one class. Missed and invented differ in three ways, of
which any one is enough: in lightness (missed is dark, invented light), in the direction of their hatching, and in hue.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_erosion

from pipeline.figures.palette import BLACK, WHITE, Rgb, mix, rgb
from pipeline.figures.slices import ERROR_COLORS, ErrorKind, grey_image
from pipeline.volume.geometry import ZyxNm

Mask = NDArray[np.bool_]

LONGEST_SIDE_PX = 400
"""Of a panel: sharp on a phone's screen, and four of them in a row fill a wide one."""
THUMBNAIL_PX = 720
_QUALITY = 75
HATCH_PERIOD_PX = 7
HATCH_WIDTH_PX = 2
_TINT = 0.5


@dataclass(frozen=True)
class Picture:
    """A picture with what it says in words; `uri` holds it as data."""

    uri: str
    width: int
    height: int
    alternative: str


@dataclass(frozen=True)
class Look:
    """How a kind of error is drawn: its hatching's direction is down to the right, or up."""

    fill: str
    lines: str
    descending: bool


LOOKS: Mapping[ErrorKind, Look] = {
    ErrorKind.MISSED: Look(ERROR_COLORS[ErrorKind.MISSED], BLACK, descending=True),
    ErrorKind.INVENTED: Look("#a6d8f7", ERROR_COLORS[ErrorKind.INVENTED], descending=False),
}


@dataclass(frozen=True)
class Seen:
    """One class in a region; the arrays are (y, x)."""

    truth: Mask
    predicted: Mask
    labelled: Mask

    @property
    def missed(self) -> Mask:
        """Of the class, and not seen."""
        return self.truth & ~self.predicted

    @property
    def invented(self) -> Mask:
        """Labelled as something else, and taken for the class."""
        return self.predicted & ~self.truth & self.labelled


@dataclass(frozen=True)
class Panels:
    """RGB pictures of one size, (y, x, 3)."""

    raw: Rgb
    truth: Rgb
    prediction: Rgb
    errors: Rgb


def draw_panels(raw: NDArray[np.generic], seen: Seen, *, color: str, voxel_size_nm: ZyxNm) -> Panels:
    """Return the pictures of a region, with square pixels whatever the voxels are; `voxel_size_nm` is z, y, x."""
    size = panel_size(raw.shape, voxel_size_nm)
    grey = _smooth(grey_image(raw), size)
    truth, predicted, missed, invented = (
        _blocky(mask, size) for mask in (seen.truth, seen.predicted & seen.labelled, seen.missed, seen.invented)
    )
    errors: Rgb = (150 + grey // 3).astype(np.uint8)
    for mask, kind in ((missed, ErrorKind.MISSED), (invented, ErrorKind.INVENTED)):
        errors = hatched(errors, mask, LOOKS[kind])
    return Panels(grey, tinted(grey, truth, color), tinted(grey, predicted, color), errors)


def picture(pixels: Rgb, alternative: str) -> Picture:
    """Return RGB pixels (y, x, 3) as a picture."""
    return _encoded(Image.fromarray(pixels), alternative)


def thumbnail(data: bytes, alternative: str, longest_px: int = THUMBNAIL_PX) -> Picture:
    """Return a small copy of a picture file; of a moving one, its first frame. Raises OSError when it is none."""
    with Image.open(io.BytesIO(data)) as image:
        small = image.convert("RGB")
    small.thumbnail((longest_px, longest_px))
    return _encoded(small, alternative)


def panel_size(shape_yx: tuple[int, ...], voxel_size_nm: ZyxNm) -> tuple[int, int]:
    """Return width and height in pixels: voxels are drawn as large as `LONGEST_SIDE_PX` allows."""
    rows, columns = shape_yx
    _, voxel_y, voxel_x = voxel_size_nm
    longest = max(rows * voxel_y, columns * voxel_x)
    width, height = (max(1, round(LONGEST_SIDE_PX * side / longest)) for side in (columns * voxel_x, rows * voxel_y))
    return width, height


def tinted(grey: Rgb, mask: Mask, color: str) -> Rgb:
    """Return the picture with a class in its colour, outlined so that its extent shows without it."""
    tint = np.array(rgb(color), np.float32)
    inside = ((1 - _TINT) * grey + _TINT * tint).astype(np.uint8)
    painted = np.where(mask[..., None], inside, grey)
    painted[_outline(mask)] = rgb(mix(color, WHITE, 0.35))
    return painted


def hatched(picture: Rgb, mask: Mask, look: Look) -> Rgb:
    """Return the picture with a kind of error in its fill, hatching and outline."""
    rows, columns = (np.arange(length) for length in mask.shape)
    slant = columns - rows[:, None] if look.descending else columns + rows[:, None]
    lines = (slant % HATCH_PERIOD_PX < HATCH_WIDTH_PX) | _outline(mask)
    on, off = (np.array(rgb(color), np.uint8) for color in (look.lines, look.fill))
    return np.where(mask[..., None], np.where(lines[..., None], on, off), picture)


def _outline(mask: Mask) -> Mask:
    outline: Mask = mask & ~binary_erosion(mask, border_value=1)
    return outline


def _smooth(picture: Rgb, size: tuple[int, int]) -> Rgb:
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def _blocky(mask: Mask, size: tuple[int, int]) -> Mask:
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))


def _encoded(image: Image.Image, alternative: str) -> Picture:
    file = io.BytesIO()
    image.save(file, "WEBP", quality=_QUALITY, method=4)
    uri = f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
    return Picture(uri, image.width, image.height, alternative)
