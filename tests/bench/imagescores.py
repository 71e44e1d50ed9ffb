"""Benchmarks of super-resolution on natural images: PSNR and SSIM of the luma, image by image.

The conventions are those of the published tables: the luma of ITU-R BT.601, and a border of pixels left out,
usually as many as the factor. Some tables round the luma or the result to whole grey levels before they compare;
here nothing is rounded, which makes a difference of about 0.01 dB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.formats import markdown_table
from pipeline.scoring.image_quality import psnr_db, ssim

# ITU-R BT.601: red, green and blue of 0 to 255 give a luma of 16 to 235.
_LUMA = np.array([65.481, 128.553, 24.966]) / 255
_LUMA_BLACK = 16


@dataclass(frozen=True)
class ImageScore:
    """How close one image came to its original."""

    name: str
    psnr_db: float
    ssim: float


def luma(image: NDArray[Any]) -> NDArray[np.float64]:
    """Return the luma of an RGB image (y, x, 3) of 0 to 255, not rounded; of a grey image (y, x) the image itself.

    Raises InputError for another shape.
    """
    if image.ndim == 2:
        return image.astype(np.float64)
    if image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"an image of shape {image.shape}: give (y, x, 3) or (y, x)")
    of_colour: NDArray[np.float64] = image @ _LUMA + _LUMA_BLACK
    return of_colour


def crop_to_multiple(image: NDArray[Any], factor: int) -> NDArray[Any]:
    """Return an image (y, x, ...) without the last rows and columns that a multiple of `factor` leaves over.

    Raises InputError when nothing is left.
    """
    rows, columns = (length - length % factor for length in image.shape[:2])
    if not rows or not columns:
        raise InputError(f"an image of shape {image.shape} is smaller than the factor {factor}")
    return image[:rows, :columns]


def score_image(name: str, original: NDArray[Any], result: NDArray[Any], *, border_pixels: int) -> ImageScore:
    """Score the luma of an image against that of its original, each RGB (y, x, 3) or luma (y, x), of 0 to 255.

    Raises InputError when the sizes differ or too little is left within the border.
    """
    ours, theirs = luma(original), luma(result)
    measured = (measure(ours, theirs, data_range=255, border_pixels=border_pixels) for measure in (psnr_db, ssim))
    return ImageScore(name, *measured)


def benchmark_table(scores: Mapping[str, Sequence[ImageScore]]) -> str:
    """Return the scores by method as Markdown, a row an image and one for the means.

    Raises InputError when there are no scores or the methods were not given the same images in the same order.
    """
    images = {tuple(one.name for one in of_method) for of_method in scores.values()}
    if len(images) != 1 or images == {()}:
        raise InputError("methods scored on no images or on different ones: give each the same images in one order")
    titles = ["image", *(f"{what} {method}" for method in scores for what in ("PSNR, dB", "SSIM"))]
    rows = [
        [name, *(cell for of_method in scores.values() for cell in _cells(of_method[i : i + 1]))]
        for i, name in enumerate(images.pop())
    ]
    means = ["**mean**", *(cell for of_method in scores.values() for cell in _cells(of_method))]
    return markdown_table(titles, [*rows, means]) + "\n"


def _cells(scores: Sequence[ImageScore]) -> tuple[str, str]:
    return f"{fmean(one.psnr_db for one in scores):.2f}", f"{fmean(one.ssim for one in scores):.4f}"
