"""Pictures within the page: as data, so that the file needs no other."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

from PIL import Image

from pipeline.scoring.slices import Rgb

QUALITY = 75
THUMBNAIL_PX = 720


@dataclass(frozen=True)
class Picture:
    """A picture with what it says in words; `uri` holds it as data."""

    uri: str
    width: int
    height: int
    alternative: str


def picture(pixels: Rgb, alternative: str) -> Picture:
    """Return RGB pixels (y, x, 3) as a picture."""
    return _encoded(Image.fromarray(pixels), alternative)


def thumbnail(data: bytes, alternative: str) -> Picture:
    """Return a small copy of a picture file; of a moving one, its first frame. Raises OSError when it is none."""
    with Image.open(io.BytesIO(data)) as image:
        small = image.convert("RGB")
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    return _encoded(small, alternative)


def _encoded(image: Image.Image, alternative: str) -> Picture:
    file = io.BytesIO()
    image.save(file, "WEBP", quality=QUALITY, method=4)
    uri = f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
    return Picture(uri, image.width, image.height, alternative)
