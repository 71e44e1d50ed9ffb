"""Benchmarks of super-resolution on natural images: PSNR and SSIM of the luma, image by image.

The conventions are those of the published tables: the luma of ITU-R BT.601 in whole numbers, and a border of
pixels left out, usually as many as the factor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.scoring.image_quality import psnr_db, ssim
from pipeline.scoring.markdown import markdown_table

# ITU-R BT.601: red, green and blue of 0 to 255 give a luma of 16 to 235.
_LUMA = np.array([65.481, 128.553, 24.966]) / 255
_LUMA_BLACK = 16


@dataclass(frozen=True)
class ImageScore:
    """How close one image came to its original."""

    name: str
    psnr_db: float
    ssim: float


def luma(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the luma of an RGB image (y, x, 3), rounded as MATLAB's rgb2ycbcr does; a grey image (y, x) as it is.

    Raises InputError for another shape or type.
    """
    if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        raise InputError(f"an image of {image.dtype} and shape {image.shape}: give uint8 as (y, x) or (y, x, 3)")
    if image.ndim == 2:
        return image
    rounded: NDArray[np.uint8] = np.floor(image @ _LUMA + _LUMA_BLACK + 0.5).astype(np.uint8)
    return rounded


def crop_to_multiple(image: NDArray[Any], factor: int) -> NDArray[Any]:
    """Return an image (y, x, ...) without the last rows and columns that a multiple of `factor` leaves over.

    Raises InputError when nothing is left.
    """
    rows, columns = (length - length % factor for length in image.shape[:2])
    if not rows or not columns:
        raise InputError(f"an image of shape {image.shape} is smaller than the factor {factor}")
    return image[:rows, :columns]


def score_image(name: str, original: NDArray[np.uint8], result: NDArray[np.uint8], *, border_pixels: int) -> ImageScore:
    """Score the luma of an image against that of its original, both RGB or grey of one size.

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
