"""What resampling between a fine and a coarse grid promises.

- The mean over areas is scikit-image's block mean; cubic and linear interpolation, with antialiasing when an image is
  made smaller, are Pillow's inside and, with their mirrored edges, those of a plain twin that loops over pixels.
- Constants stay as they are for any factor, and cubic interpolation reproduces planes and parabolas.
- The phase says where coarse pixels lie. A kernel is SciPy's correlation, sampled there.
- From the window that an operator asks for comes the very piece of the whole image, up to the rounding of float32.
Left out on purpose: what makes a good kernel (test_zssr_kernel), and the published numbers (the benchmark).
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import correlate
from skimage.measure import block_reduce

from pipeline.nn.zssr.grids import Scaling, Span, Window
from pipeline.nn.zssr.kernel import Kernel
from pipeline.nn.zssr.resampling import Downsampling, Upsampling, mirrored

ROUNDING = 1e-5
"""Of values between 0 and 1 in float32, over the handful of sums that an operator makes."""
FACTORS = [1.25, 1.5, 2.0, 2.5, 3.0, 4.0]

sides = st.integers(8, 33)
factors = st.sampled_from(FACTORS)
seeds = st.integers(0, 2**31)
phases = st.one_of(st.none(), st.floats(0, 2))
kernels = st.one_of(
    st.sampled_from(["area", "bicubic"]),
    st.tuples(st.integers(1, 6), st.integers(1, 6), seeds).map(lambda case: random_kernel(*case)),
)


few = settings(max_examples=25)


def random_image(rows: int, columns: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((rows, columns), dtype=np.float32)


def random_kernel(rows: int, columns: int, seed: int = 0) -> Kernel:
    return Kernel(np.random.default_rng(seed).random((rows, columns)) + 0.05)


def scaling_of(factor: float, phase: float | None) -> Scaling:
    return Scaling.centred(factor) if phase is None else Scaling(factor, phase)


def whole(image: NDArray[np.float32]) -> Window:
    rows, columns = image.shape
    return Span.whole(rows), Span.whole(columns)


def smaller(image: NDArray[np.float32], downsampling: Downsampling) -> NDArray[np.float32]:
    rows, columns = (Span.whole(downsampling.scaling.coarse_length(length)) for length in image.shape)
    return downsampling(torch.from_numpy(image)[None], whole(image), (rows, columns))[0].numpy()


def larger(image: NDArray[np.float32], upsampling: Upsampling) -> NDArray[np.float32]:
    rows, columns = (Span.whole(upsampling.scaling.fine_length(length)) for length in image.shape)
    return upsampling(torch.from_numpy(image)[None], whole(image), (rows, columns))[0].numpy()


def keys(distance: float) -> float:
    """The cubic of Keys (1981), a = -1/2, as his equation (15) has it."""
    s = abs(distance)
    if s < 1:
        return 1.5 * s**3 - 2.5 * s**2 + 1
    return -0.5 * s**3 + 2.5 * s**2 - 4 * s + 2 if s < 2 else 0.0


def plain_twin(line: NDArray[np.float64], positions: list[float], width: float) -> NDArray[np.float64]:
    """One axis, pixel by pixel: cubic weights stretched to ``width``, over a line between two mirrors."""
    length, result = len(line), []
    for position in positions:
        total = weights = 0.0
        for index in range(math.floor(position - 2 * width), math.ceil(position + 2 * width) + 1):
            weight = keys((index - position) / width)
            seen = index % (2 * length)
            total += weight * line[min(seen, 2 * length - 1 - seen)]
            weights += weight
        result.append(total / weights)
    return np.array(result)


def twin_of_image(image: NDArray[np.float32], positions: list[list[float]], width: float) -> NDArray[np.float64]:
    rows = np.apply_along_axis(plain_twin, 0, image.astype(np.float64), positions[0], width)
    return np.apply_along_axis(plain_twin, 1, rows, positions[1], width)


def in_pillow(image: NDArray[np.float32], shape: tuple[int, int], filter_: Image.Resampling) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(image).resize(shape[::-1], filter_))


@given(st.integers(2, 5), st.integers(1, 9), st.integers(1, 9), seeds)
def test_area_by_whole_factors_is_the_mean_of_blocks(factor: int, rows: int, columns: int, seed: int) -> None:
    image = random_image(rows * factor, columns * factor, seed)
    found = smaller(image, Downsampling(Scaling.centred(factor), "area"))
    np.testing.assert_allclose(found, block_reduce(image, factor, np.mean), atol=ROUNDING)


@given(st.sampled_from([1.5, 2.5]), st.integers(2, 8), st.integers(2, 8), seeds)
def test_area_by_fractions_is_pillows_box(factor: float, rows: int, columns: int, seed: int) -> None:
    """Pillow counts a fine pixel as wholly in or out, so that it sees a grid on which none is cut."""
    image = random_image(int(2 * factor * rows), int(2 * factor * columns), seed)
    twice = np.kron(image, np.ones((2, 2), np.float32))
    found = smaller(image, Downsampling(Scaling.centred(factor), "area"))
    np.testing.assert_allclose(found, in_pillow(twice, (2 * rows, 2 * columns), Image.Resampling.BOX), atol=ROUNDING)


@few
@given(factors, phases, sides, sides, seeds)
def test_bicubic_is_the_plain_twin(factor: float, phase: float | None, rows: int, columns: int, seed: int) -> None:
    image, scaling = random_image(rows, columns, seed), scaling_of(factor, phase)
    coarse = [[scaling.phase + factor * i for i in range(scaling.coarse_length(n))] for n in image.shape]
    np.testing.assert_allclose(
        smaller(image, Downsampling(scaling)), twin_of_image(image, coarse, width=factor), atol=ROUNDING
    )
    fine = [[(i - scaling.phase) / factor for i in range(scaling.fine_length(n))] for n in image.shape]
    np.testing.assert_allclose(larger(image, Upsampling(scaling)), twin_of_image(image, fine, width=1.0), atol=ROUNDING)


@given(st.integers(2, 4), sides, sides, seeds)
def test_inside_an_image_pillow_agrees(factor: int, rows: int, columns: int, seed: int) -> None:
    coarse, fine = random_image(rows, columns, seed), random_image(factor * rows, factor * columns, seed)
    scaling = Scaling.centred(factor)
    bicubic = Image.Resampling.BICUBIC
    made_larger = larger(coarse, Upsampling(scaling)), in_pillow(coarse, fine.shape, bicubic)
    made_smaller = smaller(fine, Downsampling(scaling)), in_pillow(fine, coarse.shape, bicubic)
    for (found, expected), edge in ((made_larger, 2 * factor), (made_smaller, 2)):
        inside = (slice(edge, -edge), slice(edge, -edge))
        np.testing.assert_allclose(found[inside], expected[inside], atol=ROUNDING)
    linear = larger(coarse, Upsampling(scaling, "bilinear"))
    np.testing.assert_allclose(linear, in_pillow(coarse, fine.shape, Image.Resampling.BILINEAR), atol=ROUNDING)


@given(factors, phases, kernels, sides, sides, st.floats(-10, 10))
def test_a_constant_stays_what_it_is(
    factor: float, phase: float | None, kernel: Kernel, rows: int, columns: int, value: float
) -> None:
    image, scaling = np.full((rows, columns), value, np.float32), scaling_of(factor, phase)
    results = [smaller(image, Downsampling(scaling, kernel))]
    results += [larger(image, Upsampling(scaling, method)) for method in ("bilinear", "bicubic")]
    for result in results:
        np.testing.assert_allclose(result, image[0, 0], atol=10 * ROUNDING)


@given(factors, phases, st.lists(st.floats(-1, 1), min_size=6, max_size=6))
def test_interpolation_reproduces_planes_and_bicubic_parabolas(
    factor: float, phase: float | None, coefficients: list[float]
) -> None:
    scaling, side = scaling_of(factor, phase), 16
    constant, *others = coefficients

    def surface(positions: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
        y, x = np.meshgrid(positions / side, positions / side, indexing="ij")
        terms = zip(others, (y, x, y * x, y**2, x**2), strict=True)
        return constant + sum(weight * term for weight, term in list(terms)[: (3, 5)[degree - 1]])

    coarse, fine = Span.whole(side), Span.whole(scaling.fine_length(side))
    fine_positions = scaling.coarse_positions(fine)
    inside = (fine_positions >= 2) & (fine_positions <= side - 3)
    for degree, methods in ((1, ("bilinear", "bicubic")), (2, ("bicubic",))):
        image = surface(np.arange(side, dtype=np.float64), degree).astype(np.float32)
        expected = surface(fine_positions, degree)[np.ix_(inside, inside)]
        for method in methods:
            given_image = torch.from_numpy(image)[None]
            found = Upsampling(scaling, method)(given_image, (coarse, coarse), (fine, fine))[0].numpy()
            np.testing.assert_allclose(found[np.ix_(inside, inside)], expected, atol=ROUNDING)


@pytest.mark.parametrize("factor", [2.0, 3.0, 4.0])
def test_phase_zero_keeps_every_so_manieth_pixel(factor: float) -> None:
    image = random_image(24, 36, 0)
    kept = smaller(image, Downsampling(Scaling(factor, 0.0), Kernel(np.ones((1, 1)))))
    np.testing.assert_allclose(kept, image[:: int(factor), :: int(factor)], atol=ROUNDING)
    interpolated = larger(kept, Upsampling(Scaling(factor, 0.0)))
    np.testing.assert_allclose(interpolated[:: int(factor), :: int(factor)], kept, atol=ROUNDING)


@given(st.integers(2, 4), st.integers(0, 1), st.booleans(), st.integers(1, 3), st.integers(1, 3), sides, sides, seeds)
def test_a_kernel_is_a_correlation_sampled(
    factor: int, first: int, even: bool, height: int, width: int, rows: int, columns: int, seed: int
) -> None:
    """The centre of a side of even length lies between two pixels; SciPy counts it with the latter."""
    image = random_image(rows * factor, columns * factor, seed)
    kernel = random_kernel(2 * height - (not even), 2 * width - (not even), seed)
    expected = correlate(image.astype(np.float64), kernel.weights, mode="reflect")[first::factor, first::factor]
    phase = first - 0.5 if even else float(first)
    np.testing.assert_allclose(smaller(image, Downsampling(Scaling(factor, phase), kernel)), expected, atol=ROUNDING)


@few
@given(factors, phases, st.integers(1, 6), st.integers(1, 6), seeds)
def test_between_pixels_a_blurred_image_is_interpolated(
    factor: float, phase: float | None, height: int, width: int, seed: int
) -> None:
    image, kernel, scaling = random_image(20, 23, seed), random_kernel(height, width, seed), scaling_of(factor, phase)
    blurred = correlate(image.astype(np.float64), kernel.weights, mode="reflect")
    lengths = [scaling.coarse_length(length) for length in image.shape]
    positions = [
        [scaling.phase + factor * i + (0.5 if size % 2 == 0 else 0.0) for i in range(length)]
        for length, size in zip(lengths, kernel.weights.shape, strict=True)
    ]
    expected, found = twin_of_image(blurred, positions, width=1.0), smaller(image, Downsampling(scaling, kernel))
    # SciPy's array ends half a pixel before the image does where the kernel is even.
    inside = np.ix_(
        *([2 <= p <= length - 3 for p in at] for at, length in zip(positions, image.shape, strict=True)),
    )
    np.testing.assert_allclose(found[inside], expected[inside], atol=ROUNDING)


@given(sides, sides, st.integers(0, 80), st.integers(0, 80), seeds)
def test_the_mirror_is_numpys(rows: int, columns: int, above: int, beside: int, seed: int) -> None:
    image = random_image(rows, columns, seed)
    found = mirrored(torch.from_numpy(image)[None], (above, beside))[0].numpy()
    np.testing.assert_array_equal(found, np.pad(image, ((above, above), (beside, beside)), "symmetric"))


@st.composite
def windows(draw: st.DrawFn, length: int) -> Span:
    start = draw(st.integers(0, length - 1))
    return Span(start, draw(st.integers(start + 1, length)), length)


def cut(image: NDArray[np.float32], window: Window) -> torch.Tensor:
    rows, columns = window
    return torch.from_numpy(image[rows.start : rows.stop, columns.start : columns.stop].copy())[None]


@given(st.data(), factors, phases, kernels, sides, sides, seeds)
def test_a_window_of_the_coarse_image_is_that_of_the_whole(
    data: st.DataObject, factor: float, phase: float | None, kernel: Kernel, rows: int, columns: int, seed: int
) -> None:
    image, downsampling = random_image(rows, columns, seed), Downsampling(scaling_of(factor, phase), kernel)
    expected = smaller(image, downsampling)
    wanted: Window = tuple(data.draw(windows(length)) for length in expected.shape)
    needed: Window = tuple(
        downsampling.scaling.fine_under(span, length, downsampling.reach)
        for span, length in zip(wanted, image.shape, strict=True)
    )
    found = downsampling(cut(image, needed), needed, wanted)
    np.testing.assert_allclose(found, cut(expected, wanted), atol=ROUNDING)


@given(st.data(), factors, phases, st.sampled_from(["bilinear", "bicubic"]), sides, sides, seeds)
def test_a_window_of_the_fine_image_is_that_of_the_whole(
    data: st.DataObject, factor: float, phase: float | None, method: str, rows: int, columns: int, seed: int
) -> None:
    image, upsampling = random_image(rows, columns, seed), Upsampling(scaling_of(factor, phase), method)
    expected = larger(image, upsampling)
    wanted: Window = tuple(data.draw(windows(length)) for length in expected.shape)
    needed: Window = tuple(
        upsampling.scaling.coarse_under(span, length, upsampling.reach)
        for span, length in zip(wanted, image.shape, strict=True)
    )
    found = upsampling(cut(image, needed), needed, wanted)
    np.testing.assert_allclose(found, cut(expected, wanted), atol=ROUNDING)


@given(st.sampled_from(FACTORS), st.integers(1, 400))
def test_coarse_pixels_lie_wholly_over_fine_ones_and_the_way_back_has_as_many(factor: float, length: int) -> None:
    scaling = Scaling.centred(factor)
    coarse = scaling.coarse_length(length)
    assert coarse == max(1, int(length // factor))
    assert scaling.coarse_length(scaling.fine_length(length)) == length or factor % 1
    first, last = scaling.fine_positions(Span.whole(coarse))[[0, -1]]
    assert first == (factor - 1) / 2
    assert last <= max(length, factor) - (factor + 1) / 2 + 1e-9
