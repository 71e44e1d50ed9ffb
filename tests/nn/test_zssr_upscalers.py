"""What upscalers promise: how an image is cut does not show in the result, and back-projection does what it says.

- Tiles of any size, random windows among them, are pieces of the whole upscaled image: to `LARGEST_DIFFERENCE` of its
  range, for odd sides, lengths that are no multiple of the factor, fractions, both folds and kernels of every kind.
- Before it has learnt anything, a network is the interpolation, in all eight orientations.
- Back-projection brings the result nearer to the coarse image with every round.
The network has random weights: what it learns is not tested here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pipeline.nn.zssr.grids import ORIENTATIONS, Scaling, Span, Window, turned, turned_back
from pipeline.nn.zssr.kernel import Kernel
from pipeline.nn.zssr.network import DetailNetwork, DetailPlan
from pipeline.nn.zssr.resampling import Downsampling, Upsampling
from pipeline.nn.zssr.superresolution import enlarged
from pipeline.nn.zssr.upscalers import Upscaler, Usage, ZeroShot

LARGEST_DIFFERENCE = 1e-5
"""Between a tile and the same piece of the whole, as a share of the range: 1/400 of a grey level of 8 bits."""
LOPSIDED = Kernel(np.random.default_rng(0).random((4, 7)) + 0.05)
LOW, HIGH = 20.0, 220.0


@dataclass(frozen=True)
class Case:
    """An upscaler and the shape of a coarse image."""

    factor: float
    kernel: str | Kernel = "area"
    fold: int = 1
    phase: float | None = None
    shape_yx: tuple[int, int] = (29, 34)
    fine_shape_yx: tuple[int, int] | None = None
    back_projections: int = 2
    share: float = 1.0
    self_ensemble: bool = True

    @property
    def scaling(self) -> Scaling:
        return Scaling.centred(self.factor) if self.phase is None else Scaling(self.factor, self.phase)

    @property
    def fine(self) -> Window:
        lengths = self.fine_shape_yx or map(self.scaling.fine_length, self.shape_yx)
        rows, columns = (Span.whole(length) for length in lengths)
        return rows, columns

    def zero_shot(self, *, trained: bool = True) -> ZeroShot:
        torch.manual_seed(0)
        network = DetailNetwork(DetailPlan(features=6, layers=3, fold=self.fold)).eval()
        if trained:
            nn.init.normal_(network.last.weight, std=0.1)
        return ZeroShot(
            network,
            Upsampling(self.scaling),
            Downsampling(self.scaling, self.kernel),
            Usage(self.back_projections, self.share),
            self.self_ensemble,
            LOW,
            HIGH,
            torch.device("cpu"),
            torch.float32,
        )


CASES = {
    "as it is": Case(2),
    "fold 2": Case(2, fold=2),
    "factor 3, fold 2": Case(3, fold=2, shape_yx=(17, 21)),
    "factor 4, fold 4": Case(4, fold=4, shape_yx=(13, 16)),
    "a fraction": Case(1.5, shape_yx=(33, 31)),
    "a fraction, fold 2": Case(1.5, fold=2, shape_yx=(33, 31)),
    "cubic kernel": Case(2, kernel="bicubic"),
    "an array for a kernel": Case(2, kernel=LOPSIDED, phase=0.0),
    "an array between pixels": Case(3, kernel=LOPSIDED, shape_yx=(19, 22), fold=2),
    "fine pixels beyond the last coarse one": Case(4, shape_yx=(10, 12), fine_shape_yx=(43, 51), fold=2),
    "many back-projections": Case(2, back_projections=7, shape_yx=(40, 12)),
    "half of the way": Case(2, share=0.5),
    "one orientation, none": Case(2, back_projections=0, self_ensemble=False, fold=2),
}


def upscaler_of(case: Case, method: str) -> Upscaler:
    return case.zero_shot() if method == "zssr" else Upsampling(case.scaling, method)


def image_of(case: Case) -> Tensor:
    noise = np.random.default_rng(1).uniform(LOW, HIGH, case.shape_yx)
    return torch.from_numpy(noise.astype(np.float32))


def window_of(upscaler: Upscaler, image: Tensor, fine: Window) -> Tensor:
    """A window, from no more than what the upscaler asks for."""
    rows, columns = upscaler.coarse_window(fine, tuple(image.shape))
    return upscaler(image[None, rows.start : rows.stop, columns.start : columns.stop].clone(), (rows, columns), fine)[0]


def tiles(span: Span, size: int) -> list[Span]:
    edges = range(0, span.length, size)
    return [Span(start, min(start + size, span.length), span.length) for start in edges]


def difference(found: Tensor, expected: Tensor) -> float:
    """The largest, as a share of the range; an array that is not finite differs infinitely."""
    assert found.shape == expected.shape
    assert torch.isfinite(found).all()
    assert torch.isfinite(expected).all()
    return float((found - expected).abs().max()) / (HIGH - LOW)


@pytest.mark.parametrize("method", ["bilinear", "bicubic", "zssr"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_tiles_make_up_the_whole(case: Case, method: str) -> None:
    upscaler, image = upscaler_of(case, method), image_of(case)
    expected = window_of(upscaler, image, case.fine)
    assert expected.shape == tuple(len(span) for span in case.fine)
    for height, width in ((9, 14), (23, 5)):
        rows, columns = (tiles(span, size) for span, size in zip(case.fine, (height, width), strict=True))
        found = torch.cat([torch.cat([window_of(upscaler, image, (y, x)) for x in columns], dim=1) for y in rows])
        assert difference(found, expected) <= LARGEST_DIFFERENCE


WHOLE = {name: window_of(case.zero_shot(), image_of(case), case.fine) for name, case in CASES.items()}


@settings(max_examples=60)
@given(st.data(), st.sampled_from(list(CASES)))
def test_any_window_is_a_piece_of_the_whole(data: st.DataObject, name: str) -> None:
    case = CASES[name]
    fine = []
    for span in case.fine:
        start = data.draw(st.integers(0, span.length - 1))
        fine.append(Span(start, data.draw(st.integers(start + 1, span.length)), span.length))
    rows, columns = fine
    expected = WHOLE[name][rows.start : rows.stop, columns.start : columns.stop]
    assert difference(window_of(case.zero_shot(), image_of(case), (rows, columns)), expected) <= LARGEST_DIFFERENCE


@pytest.mark.parametrize("method", ["bicubic", "zssr"])
def test_slices_of_a_batch_do_not_see_each_other(method: str) -> None:
    case = CASES["fold 2"]
    upscaler, first = upscaler_of(case, method), image_of(case)
    second = first.flip(0) * 0.5
    window = upscaler.coarse_window(case.fine, case.shape_yx)
    together = upscaler(torch.stack([first, second]), window, case.fine)
    assert difference(together[0], window_of(upscaler, first, case.fine)) <= LARGEST_DIFFERENCE
    assert difference(together[1], window_of(upscaler, second, case.fine)) <= LARGEST_DIFFERENCE


@pytest.mark.parametrize("name", ["as it is", "fold 2", "a fraction, fold 2"])
def test_an_untrained_network_is_the_interpolation(name: str) -> None:
    case = replace(CASES[name], back_projections=0)
    interpolated = window_of(upscaler_of(case, "bicubic"), image_of(case), case.fine)
    for ensemble in (True, False):
        untrained = replace(case, self_ensemble=ensemble).zero_shot(trained=False)
        assert difference(window_of(untrained, image_of(case), case.fine), interpolated) <= LARGEST_DIFFERENCE


@pytest.mark.parametrize("kernel", ["area", "bicubic", Kernel.gaussian(0.9)], ids=["area", "bicubic", "gaussian"])
@pytest.mark.parametrize("trained", [True, False], ids=["trained", "untrained"])
def test_every_back_projection_brings_the_result_nearer_to_the_coarse_image(
    kernel: str | Kernel, trained: bool
) -> None:
    case = Case(2, kernel=kernel, shape_yx=(24, 26))
    image, downsampling = image_of(case), Downsampling(case.scaling, kernel)
    coarse: Window = (Span.whole(24), Span.whole(26))
    disagreement = []
    for rounds in (0, 1, 2, 4, 8):
        upscaler = replace(case, back_projections=rounds).zero_shot(trained=trained)
        fine_NYX = window_of(upscaler, image, case.fine)[None]
        again = downsampling(fine_NYX, case.fine, coarse)[0]
        disagreement.append(float((again - image).square().mean().sqrt()))
    assert np.isfinite(disagreement).all()
    assert all(after < 0.9 * before for before, after in pairwise(disagreement))


@pytest.mark.parametrize("name", ["as it is", "fold 2", "a fraction, fold 2"])
def test_the_share_leads_from_interpolation_to_the_networks_result(name: str) -> None:
    case = CASES[name]
    none, half, all_ = (
        window_of(replace(case, share=share).zero_shot(), image_of(case), case.fine) for share in (0, 0.5, 1)
    )
    interpolated = window_of(upscaler_of(case, "bicubic"), image_of(case), case.fine)
    assert difference(none, interpolated) <= LARGEST_DIFFERENCE
    assert difference(half, (interpolated + all_) / 2) <= LARGEST_DIFFERENCE
    assert difference(all_, interpolated) > 100 * LARGEST_DIFFERENCE


def test_the_self_ensemble_turns_with_its_input() -> None:
    case = Case(2, shape_yx=(16, 16))
    image, upscaler = image_of(case), case.zero_shot()
    straight = window_of(upscaler, image, case.fine)
    for orientation in ORIENTATIONS:
        found = turned_back(window_of(upscaler, turned(image, orientation).clone(), case.fine), orientation)
        assert difference(found, straight) <= LARGEST_DIFFERENCE


def test_the_eight_orientations_differ_and_are_undone() -> None:
    image = torch.arange(12.0).reshape(3, 4)
    seen = {tuple(turned(image, orientation).flatten().tolist()) for orientation in ORIENTATIONS}
    assert len(seen) == 8
    for orientation in ORIENTATIONS:
        assert torch.equal(turned_back(turned(image, orientation), orientation), image)


@pytest.mark.parametrize("value", [0.0, 7.0, 250.0])
def test_the_range_of_intensities_is_given_back(value: float) -> None:
    """Above, below and within the range that the network knows."""
    case = CASES["as it is"]
    upscaler = case.zero_shot(trained=False)
    image = torch.full(case.shape_yx, value)
    assert difference(enlarged(image, upscaler, case.scaling), torch.full((58, 68), value)) <= LARGEST_DIFFERENCE
