"""What the estimate of a capture's kernel promises.

- Known kernels are recovered, widths within a tenth and direction with them, from images whose statistics are the same
  on every scale: overlapping discs of all sizes (A. B. Lee, D. Mumford, J. Huang, "Occlusion Models for Natural
  Images", IJCV 41, 2001) and random fields; with a little noise, at any factor.
- On the benchmark's photographs and on electron micrographs it lies close to the true kernel.
- Laws: the same bits for the same slices; gain, offset, type and the order of slices do not matter; turning the slices
  turns the kernel; it is never narrower than a pixel.
- Slices from which nothing can be learned are refused, and tiny ones still give a kernel.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from pipeline.errors import InputError
from pipeline.nn.zssr.kernel import Kernel
from pipeline.nn.zssr.kernel_estimation import estimate_kernel
from pipeline.nn.zssr.kernel_file import read_kernel

DATA = Path(__file__).parents[2].parent / "shared/data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="needs the shared benchmark images")
WITHIN = 0.1


def random_field(seed: int, side: int = 512, slope: float = 1.0) -> np.ndarray:
    """Noise whose amplitude falls with frequency to the power of ``slope``."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    frequency[0, 0] = np.inf
    noise = np.random.default_rng(seed).standard_normal((side, side))
    return np.fft.ifft2(np.fft.fft2(noise) / frequency**slope).real


def discs(seed: int, side: int = 512, count: int = 4000) -> np.ndarray:
    """Discs in front of each other, as many of half the size as cover the same area; no smaller than a pixel."""
    rng = np.random.default_rng(seed)
    radii = 1 / np.sqrt(rng.uniform(1 / 100**2, 1, count))
    image = np.zeros((side, side))
    for radius, (y, x), grey in zip(radii, rng.uniform(0, side, (count, 2)), rng.uniform(0, 1, count), strict=True):
        top, left = max(0, int(y - radius)), max(0, int(x - radius))
        part = image[top : int(y + radius) + 2, left : int(x + radius) + 2]
        rows, columns = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
        part[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = grey
    return image


def captured(fine: np.ndarray, kernel: Kernel, factor: int = 2) -> np.ndarray:
    blurred = ndimage.correlate(fine, kernel.weights, mode="reflect")
    return blurred[None, ::factor, ::factor].astype(np.float32)


def covariance(sigma_long: float, sigma_short: float, angle: float) -> np.ndarray:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return turn @ np.diag([sigma_long**2, sigma_short**2]) @ turn.T


def widths(kernel: Kernel) -> np.ndarray:
    return np.sqrt(np.linalg.eigvalsh(kernel.covariance_yx))


def likeness(one: Kernel, other: Kernel) -> float:
    """The correlation of two kernels laid centre on centre."""
    shape = np.maximum(one.weights.shape, other.weights.shape)
    a, b = (np.pad(k.weights, [((more // 2,) * 2) for more in shape - k.weights.shape]) for k in (one, other))
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1000),
    sigma_long=st.floats(1.0, 2.2),
    ratio=st.floats(0.6, 1),
    angle=st.floats(0, np.pi),
    slope=st.floats(0.8, 1.3),
)
def test_known_kernels_are_recovered_from_random_fields(seed, sigma_long, ratio, angle, slope):
    true = covariance(sigma_long, ratio * sigma_long, angle)
    estimate = estimate_kernel(captured(random_field(seed, slope=slope), Kernel.of_covariance(true)), 2.0)
    np.testing.assert_allclose(estimate.covariance_yx, true, atol=2 * WITHIN * sigma_long**2)


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("sigma", [1.2, 2.0])
def test_known_kernels_are_recovered_from_overlapping_discs(factor, sigma):
    pool = np.concatenate([captured(discs(seed), Kernel.gaussian(sigma * factor / 2), factor) for seed in range(3)])
    np.testing.assert_allclose(widths(estimate_kernel(pool, factor)), sigma * factor / 2, rtol=WITHIN)


def test_a_little_noise_does_little_harm():
    capture = captured(random_field(0), Kernel.gaussian(1.4))
    noisy = capture + np.random.default_rng(0).normal(0, 0.02 * capture.std(), capture.shape)
    np.testing.assert_allclose(widths(estimate_kernel(noisy, 2.0)), 1.4, rtol=2 * WITHIN)


@settings(max_examples=10, deadline=None)
@given(st.floats(1.1, 4))
def test_the_kernel_grows_with_the_factor(factor):
    capture = captured(random_field(1, side=256), Kernel.gaussian(1.6))
    ratio = widths(estimate_kernel(capture, factor)) / widths(estimate_kernel(capture, 4.0))
    np.testing.assert_allclose(ratio, factor / 4, rtol=0.1)


def test_the_same_slices_give_the_same_bits():
    pool = np.stack([captured(random_field(seed, side=256), Kernel.gaussian(1.4))[0] for seed in (2, 3, 4)])
    first = estimate_kernel(pool, 2.0).weights
    np.testing.assert_array_equal(estimate_kernel(pool.copy(), 2.0).weights, first)
    for other in (pool[::-1], 3 * pool + 100, pool.astype(np.float64)):
        np.testing.assert_allclose(estimate_kernel(other, 2.0).weights, first, atol=1e-4)


def test_16_bit_slices_are_as_good_as_others():
    capture = captured(random_field(5, side=256), Kernel.gaussian(1.4))
    scaled = (capture - capture.min()) / np.ptp(capture)
    estimate = estimate_kernel((scaled * 65535).astype(np.uint16), 2.0)
    np.testing.assert_allclose(estimate.weights, estimate_kernel(scaled, 2.0).weights, atol=1e-3)


def test_turning_the_slices_turns_the_kernel():
    pool = captured(random_field(6, side=256), Kernel.of_covariance(covariance(2.0, 1.0, 0.5)))
    estimate = estimate_kernel(pool, 2.0).weights
    for turned, expected in (
        (pool.transpose(0, 2, 1), estimate.T),
        (pool[:, ::-1, ::-1], estimate),
        (pool[:, ::-1], estimate[::-1]),
    ):
        np.testing.assert_allclose(estimate_kernel(turned, 2.0).weights, expected, atol=1e-3)


def test_never_narrower_than_a_pixel_of_the_capture():
    sharp = np.random.default_rng(0).standard_normal((2, 128, 128)) + 5 * random_field(7, side=128)
    box = np.sqrt((4**2 - 1) / 12)
    assert widths(estimate_kernel(sharp, 4.0)).min() >= 0.99 * box


@settings(max_examples=10, deadline=None)
@given(st.tuples(st.integers(1, 3), st.integers(16, 40), st.integers(16, 40)), st.integers(0, 99))
def test_small_slices_give_a_kernel(shape, seed):
    estimate = estimate_kernel(random_field(seed, side=128)[: shape[1], : shape[2]][None].repeat(shape[0], axis=0), 2.0)
    assert estimate.weights.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("slices", "factor"),
    [
        (np.zeros((2, 64, 64)), 2.0),
        (np.full((1, 64, 64), 7, dtype=np.uint16), 2.0),
        (np.full((1, 64, 64), np.nan), 2.0),
        (random_field(0, side=64)[None, :15], 2.0),
        (random_field(0, side=64), 2.0),
        (np.zeros((0, 64, 64)), 2.0),
        (np.random.default_rng(0).standard_normal((1, 200, 200)), 2.0),
        (ndimage.gaussian_filter(random_field(0), 5)[None], 2.0),
        (ndimage.gaussian_filter(random_field(0), 3.4)[None], 2.0),
        (random_field(0, side=64)[None], 1.0),
        (random_field(0, side=64)[None], float("nan")),
    ],
)
def test_slices_of_which_nothing_can_be_learned_are_refused(slices, factor):
    with pytest.raises(InputError):
        estimate_kernel(slices, factor)


@needs_data
@pytest.mark.parametrize("name", ["baby", "bird", "butterfly", "head", "woman"])
def test_the_kernel_of_set5(name):
    true = read_kernel(str(DATA / "sr/set5_g20_kernel.mat"))
    with Image.open(DATA / f"sr/set5_g20_lr/{name}.png") as image:
        capture = np.asarray(image.convert("L"), dtype=np.float32)[None]
    assert likeness(estimate_kernel(capture, 2.0), true) > 0.99


@needs_data
@pytest.mark.parametrize("sigma", [0.8, 1.2, 1.6, 2.0])
def test_kernels_of_electron_micrographs(sigma):
    true = Kernel.gaussian(sigma)
    with Image.open(DATA / "vnc/raw/04.tif") as image:
        capture = captured(np.asarray(image, dtype=np.float64)[:512, :512], true)
    assert likeness(estimate_kernel(capture, 2.0), true) > 0.98
