"""Proves the conventions of the super-resolution benchmarks: luma, border, and a table image by image.

Left out: published scores, which need a method; they are checked where the methods are.
"""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import rgb2ycbcr

from pipeline.errors import InputError
from pipeline.scoring.image_quality import psnr_db, ssim
from tests.bench.imagescores import ImageScore, benchmark_table, crop_to_multiple, luma, score_image


def image(seed: int = 0, shape=(30, 40, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def test_luma_is_that_of_scikit_image():
    assert luma(image()) == pytest.approx(rgb2ycbcr(image())[..., 0])


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [((0, 0, 0), 16), ((255, 255, 255), 235), ((255, 0, 0), 81), ((0, 255, 0), 145), ((0, 0, 255), 41)],
)
def test_luma_of_the_corners_of_the_colour_cube(rgb, expected):
    assert luma(np.array([[rgb]], np.uint8)).round() == expected


def test_a_grey_image_is_its_own_luma():
    assert np.array_equal(luma(image(shape=(5, 6))), image(shape=(5, 6)))


@pytest.mark.parametrize("wrong", [image(shape=(5, 6, 4)), image(shape=(5,))])
def test_other_images_are_refused(wrong):
    with pytest.raises(InputError):
        luma(wrong)


@pytest.mark.parametrize(("factor", "shape"), [(1, (31, 41)), (2, (30, 40)), (3, (30, 39)), (4, (28, 40))])
def test_images_are_cropped_to_whole_low_resolution_pixels(factor, shape):
    whole = image(shape=(31, 41, 3))
    cropped = crop_to_multiple(whole, factor)
    assert np.array_equal(cropped, whole[: shape[0], : shape[1]])


def test_an_image_smaller_than_the_factor_is_refused():
    with pytest.raises(InputError):
        crop_to_multiple(image(shape=(3, 40)), 4)


def test_an_image_is_scored_by_its_luma_within_the_border():
    original, result = image(0), image(1)
    score = score_image("one", original, result, border_pixels=2)
    inside = [luma(values)[2:-2, 2:-2] for values in (original, result)]
    assert (score.psnr_db, score.ssim) == (psnr_db(*inside, data_range=255), ssim(*inside, data_range=255))
    assert score_image("one", original, luma(result), border_pixels=2) == score


def test_the_table_has_a_row_an_image_and_the_means():
    bicubic = [ImageScore("baby", 37.0, 0.95), ImageScore("bird", 36.0, 0.97)]
    zssr = [ImageScore("baby", 38.0, 0.96), ImageScore("bird", 39.5, 0.98)]
    assert benchmark_table({"bicubic": bicubic, "zssr": zssr}).splitlines() == [
        "| image | PSNR, dB bicubic | SSIM bicubic | PSNR, dB zssr | SSIM zssr |",
        "| :--- | ---: | ---: | ---: | ---: |",
        "| baby | 37.00 | 0.9500 | 38.00 | 0.9600 |",
        "| bird | 36.00 | 0.9700 | 39.50 | 0.9800 |",
        "| **mean** | 36.50 | 0.9600 | 38.75 | 0.9700 |",
    ]


@pytest.mark.parametrize("scores", [{}, {"a": []}, {"a": [ImageScore("baby", 1, 1)], "b": [ImageScore("bird", 1, 1)]}])
def test_methods_scored_on_different_images_are_not_compared(scores):
    with pytest.raises(InputError):
        benchmark_table(scores)
