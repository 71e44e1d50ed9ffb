"""Proves that image quality is what scikit-image and the definitions say, that it streams and merges, and that each
measure answers to what it is meant for: blur, noise, loss of contrast, and networks that change from slice to slice.
"""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from pipeline.errors import InputError
from pipeline.scoring import image_quality
from pipeline.scoring.image_quality import Quality, QualityMeter, psnr_db, ssim

PSNR_OF_ONE_GREY_LEVEL = 20 * math.log10(255)


def stack(seed: int = 0, shape=(4, 150, 170), dtype=np.uint8) -> np.ndarray:
    """Slices with detail on every scale, as an electron micrograph has."""
    rng = np.random.default_rng(seed)
    values = sum(s * gaussian_filter(rng.normal(size=shape), (0, s, s)) for s in (0.7, 2, 8))
    values = (values - values.min()) / np.ptp(values)
    return (values * np.iinfo(dtype).max).astype(dtype)


def measured(native: np.ndarray, boosted: np.ndarray, data_range: float = 255) -> Quality:
    meter = QualityMeter(data_range)
    for z, (ours, theirs) in enumerate(zip(native, boosted, strict=True)):
        meter.update(ours, theirs, z)
    return meter.quality()


def blurred(values: np.ndarray, sigma: float = 1.5) -> np.ndarray:
    return gaussian_filter(values.astype(float), (0, sigma, sigma))


def reference_ssim(native: np.ndarray, boosted: np.ndarray, data_range: float) -> float:
    return structural_similarity(
        native.astype(float),
        boosted.astype(float),
        data_range=data_range,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 1000),
    st.integers(11, 60),
    st.integers(11, 60),
    st.integers(0, 4),
    st.sampled_from([np.uint8, np.uint16]),
    st.integers(1, 30),
)
def test_psnr_and_ssim_are_those_of_scikit_image(seed, rows, columns, border, dtype, band_rows):
    native = stack(seed, (1, rows + 2 * border, columns + 2 * border), dtype)[0]
    boosted = stack(seed + 1, (1, rows + 2 * border, columns + 2 * border), dtype)[0]
    inside = np.s_[border : border + rows, border : border + columns]
    data_range = float(np.iinfo(dtype).max)
    settings = {"data_range": data_range, "border_pixels": border}
    expected = peak_signal_noise_ratio(native[inside], boosted[inside], data_range=data_range)
    assert psnr_db(native, boosted, **settings) == pytest.approx(expected)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_quality, "_BAND_ROWS", band_rows)
        in_bands = ssim(native, boosted, **settings)
    assert in_bands == pytest.approx(reference_ssim(native[inside], boosted[inside], data_range), abs=1e-9)


def test_a_stack_has_the_mean_of_its_slices():
    native, boosted = stack(0), stack(1)
    quality = measured(native, boosted)
    each = [(psnr_db(a, b, data_range=255), ssim(a, b, data_range=255)) for a, b in zip(native, boosted, strict=True)]
    assert (quality.psnr_db, quality.ssim) == pytest.approx(np.mean(each, axis=0))
    assert quality.slices == 4


def test_native_against_itself_keeps_everything():
    quality = measured(stack(), stack())
    assert quality.psnr_db == math.inf
    kept = quality.ssim, quality.contrast_kept, quality.high_frequency_kept, quality.detail_correlation
    assert kept == pytest.approx((1, 1, 1, 1))
    assert (quality.flicker, quality.error_flicker, quality.sharpness_flicker) == (0, 0, 0)


def test_a_shift_of_all_grey_values_costs_only_psnr_and_ssim():
    native = stack().astype(np.int16)
    quality = measured(native, native + 1)
    assert quality.psnr_db == pytest.approx(PSNR_OF_ONE_GREY_LEVEL)
    assert (quality.contrast_kept, quality.high_frequency_kept) == pytest.approx((1, 1))
    assert quality.error_flicker == pytest.approx(0)


@given(st.floats(0.1, 3))
@settings(max_examples=5, deadline=None)
def test_contrast_scales_and_power_goes_with_its_square(gain):
    native = stack()
    quality = measured(native, gain * native.astype(float))
    assert quality.contrast_kept == pytest.approx(gain)
    assert quality.high_frequency_kept == pytest.approx(gain**2)
    assert quality.detail_correlation == pytest.approx(1)


@pytest.mark.parametrize(("cycles_per_pixel", "kept"), [(0.1, False), (0.2, False), (0.3, True), (0.45, True)])
@pytest.mark.parametrize("axis", [0, 1])
def test_only_waves_in_the_upper_half_of_the_spectrum_count(cycles_per_pixel, kept, axis):
    native = stack()[:1].astype(float)
    wave = 40 * np.sin(2 * np.pi * cycles_per_pixel * np.arange(native.shape[1 + axis]))
    boosted = native + (wave[:, None] if axis == 0 else wave)
    assert (measured(native, boosted).high_frequency_kept > 1.5) == kept


def test_the_power_of_white_noise_is_its_variance_times_the_share_of_the_band():
    noise = np.random.default_rng(0).normal(size=(1, 384, 384))
    half = noise * np.array([1, 0.5]).repeat(192)
    assert measured(noise, half).high_frequency_kept == pytest.approx((1 + 0.25) / 2, rel=0.05)


def test_blur_loses_detail_and_noise_does_not_bring_it_back():
    native = stack()
    soft = blurred(native)
    noisy = soft + np.random.default_rng(9).normal(scale=25, size=soft.shape)
    of_soft, of_noisy = measured(native, soft), measured(native, noisy)
    assert of_soft.contrast_kept < 1
    assert of_soft.high_frequency_kept < 0.2
    assert of_noisy.high_frequency_kept > 2 * of_soft.high_frequency_kept
    assert of_noisy.detail_correlation < 0.7 * of_soft.detail_correlation


def test_flicker_is_what_neighbours_differ_more_than_native_ones():
    native, boosted = stack(0).astype(float), stack(1).astype(float)
    expected = np.abs(np.diff(boosted, axis=0)).mean() - np.abs(np.diff(native, axis=0)).mean()
    quality = measured(native, boosted)
    assert quality.flicker == pytest.approx(expected / 255)
    assert quality.error_flicker == pytest.approx(np.abs(np.diff(boosted - native, axis=0)).mean() / 255)
    assert abs(quality.flicker) <= quality.error_flicker
    assert quality.slice_pairs == 3


def test_networks_that_change_from_slice_to_slice_flicker_more_than_one_for_the_stack():
    native = stack()
    steady = blurred(native, 1.5)
    restless = np.concatenate([blurred(native[z : z + 1], sigma) for z, sigma in enumerate((1, 2, 1, 2))])
    of_steady, of_restless = measured(native, steady), measured(native, restless)
    assert of_restless.sharpness_flicker > 10 * of_steady.sharpness_flicker


def test_slices_that_do_not_follow_each_other_are_no_neighbours():
    meter = QualityMeter(255)
    for z in (0, 1, 3, 2, 7):
        meter.update(stack()[0], stack()[1], z)
    assert meter.quality().slice_pairs == 1


@given(st.integers(1, 3))
@settings(max_examples=3, deadline=None)
def test_meters_of_two_regions_merge_to_one_of_both(cut):
    native, boosted = stack(0), stack(1)
    parts = [QualityMeter(255), QualityMeter(255)]
    whole = QualityMeter(255)
    for z in range(4):
        # The second region begins at another z, so that no pair spans the two.
        position = z if z < cut else z + 5
        for meter in (whole, parts[z >= cut]):
            meter.update(native[z], boosted[z], position)
    assert asdict((parts[0] + parts[1]).quality()) == pytest.approx(asdict(whole.quality()))


def test_nothing_measured_is_nothing_known():
    values = asdict(QualityMeter(255).quality())
    assert values.pop("slices") == values.pop("slice_pairs") == 0
    assert set(values.values()) == {None}


@pytest.mark.parametrize("grey", [0, 77, 255])
def test_a_constant_native_slice_has_no_contrast_to_keep(grey):
    native = np.full((2, 40, 40), grey, np.uint8)
    quality = measured(native, stack(shape=(2, 40, 40)))
    assert quality.contrast_kept is quality.high_frequency_kept is quality.detail_correlation is None
    assert quality.psnr_db is not None
    assert quality.sharpness_flicker is None


@pytest.mark.parametrize(
    ("native", "boosted", "border"),
    [((40, 40), (40, 41), 0), ((10, 40), (10, 40), 0), ((14, 40), (14, 40), 2), ((2, 40, 40), (2, 40, 40), 0)],
)
def test_slices_that_cannot_be_compared_are_refused(native, boosted, border):
    with pytest.raises(InputError):
        QualityMeter(255, border).update(np.zeros(native), np.zeros(boosted))


@pytest.mark.parametrize(("data_range", "border"), [(0, 0), (-1, 0), (math.nan, 0), (math.inf, 0), (255, -1)])
def test_settings_without_meaning_are_refused(data_range, border):
    with pytest.raises(InputError):
        QualityMeter(data_range, border)


def test_meters_of_different_settings_are_not_merged():
    with pytest.raises(InputError):
        QualityMeter(255) + QualityMeter(65535)
