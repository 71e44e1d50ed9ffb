"""What zero-shot super-resolution promises of noisy slices, by real trainings of seconds on made-up tissue.

- The noise that coarsening takes away is found, and structure is not mistaken for it; small images have none.
- Whether slices are clean, noisy or nothing but noise: the result is no farther from the truth than that of bicubic
  interpolation, and a longer training is no worse than a short one.
- Where the held-out part bears the network out in nothing, what is used is bicubic interpolation, bit for bit; where
  noise would come back, the result is not corrected to agree with the slices.
What is held out is no part of any father.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from pipeline.nn.zssr.examples import Examples, without_padding
from pipeline.nn.zssr.grids import Scaling, Span, Window
from pipeline.nn.zssr.network import DetailNetwork
from pipeline.nn.zssr.noise import lost_noise
from pipeline.nn.zssr.resampling import Downsampling, Upsampling
from pipeline.nn.zssr.superresolution import SuperResolution, ZssrSettings, enlarged
from pipeline.nn.zssr.upscalers import Usage

HOW = {"device": torch.device("cpu"), "precision": torch.float32}
WAY = SuperResolution(
    ZssrSettings(
        features=16,
        layers=4,
        fold=2,
        most_steps=200,
        learning_rate=3e-3,
        judged_every=25,
        warmup_steps=10,
        average_decay=0.95,
        patch=32,
    ),
    scaling=Scaling.centred(2.0),
    kernel="area",
    seed=0,
)
DOWNSAMPLING = Downsampling(WAY.scaling, WAY.kernel)
TOLERANCE_DB = 0.1
"""By which two trainings that learn from different noise may differ."""


def tissue(side: int, seed: int = 0) -> Tensor:
    """Cells of an even grey, and dark membranes of every width between them."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), 6)
    return torch.from_numpy((0.8 - 0.6 * np.exp(-((field / field.std() / 0.2) ** 2))).astype(np.float32))


def coarse_of(image: Tensor) -> Tensor:
    fine: Window = (Span.whole(image.shape[0]), Span.whole(image.shape[1]))
    coarse: Window = (Span.whole(image.shape[0] // 2), Span.whole(image.shape[1] // 2))
    return DOWNSAMPLING(image[None], fine, coarse)[0]


def with_noise(image: Tensor, deviation: float, seed: int = 0) -> Tensor:
    return image + deviation * torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))


def psnr_db(found: Tensor, truth: Tensor) -> float:
    return -10 * math.log10(float((found - truth).square().mean()))


def boosted(image: Tensor, steps: int = WAY.settings.most_steps) -> tuple[Tensor, Usage]:
    way = replace(WAY, settings=replace(WAY.settings, most_steps=steps))
    examples = way.examples([image])
    trainer = way.trainer(examples, **HOW)
    trainer.train(way.batches(examples, 0))
    network = trainer.best_network()
    usage = way.best_usage(network, examples, device=HOW["device"])
    return enlarged(image, way.upscaler(network, usage, low=0.0, high=1.0, **HOW), way.scaling), usage


def bicubic(image: Tensor) -> Tensor:
    return enlarged(image, Upsampling(WAY.scaling), WAY.scaling)


@pytest.mark.parametrize("deviation", [0.03, 0.1])
def test_the_noise_that_coarsening_takes_away_is_found(deviation: float) -> None:
    """The mean of four pixels has half of the deviation: three quarters of the variance are gone."""
    images = [with_noise(tissue(256, seed), deviation, seed) for seed in (1, 2)]
    assert lost_noise(images, DOWNSAMPLING) == pytest.approx(deviation * math.sqrt(3 / 4), rel=0.25)


def test_padding_is_not_taken_for_the_flattest_tissue() -> None:
    image = with_noise(tissue(256), 0.1)
    padded = image.clone()
    padded[-64:] = 0
    assert lost_noise([padded], DOWNSAMPLING) == pytest.approx(lost_noise([image], DOWNSAMPLING), rel=0.05)


def test_structure_is_not_noise() -> None:
    assert lost_noise([tissue(256)], DOWNSAMPLING) < 0.002


@pytest.mark.parametrize("shape", [(3, 200), (20, 20)])
def test_small_images_have_no_noise_to_tell_of(shape: tuple[int, int]) -> None:
    assert lost_noise([with_noise(torch.zeros(shape), 1.0)], DOWNSAMPLING) == 0


@pytest.mark.parametrize("deviation", [0.0, 0.03, 0.1, 0.3])
def test_it_is_no_worse_than_interpolation_however_noisy(deviation: float) -> None:
    truth = tissue(256, seed=3)
    image = with_noise(coarse_of(truth), deviation)
    found, usage = boosted(image)
    assert psnr_db(found, truth) > psnr_db(bicubic(image), truth) - TOLERANCE_DB
    if deviation != 0.03:
        assert (usage.back_projections > 0) == (deviation == 0)


def test_of_noise_alone_it_makes_no_more_than_interpolation() -> None:
    truth = torch.full((192, 192), 0.5)
    image = with_noise(coarse_of(truth), 0.1)
    found, _ = boosted(image)
    assert psnr_db(found, truth) > psnr_db(bicubic(image), truth) - TOLERANCE_DB


@pytest.mark.parametrize("deviation", [0.0, 0.1])
def test_longer_is_no_worse(deviation: float) -> None:
    truth = tissue(192, seed=4)
    image = with_noise(coarse_of(truth), deviation)
    short, long = (psnr_db(boosted(image, steps)[0], truth) for steps in (100, 500))
    assert long > short - TOLERANCE_DB


def test_a_network_that_only_does_harm_is_not_used() -> None:
    """Its detail is noise, whatever it is given."""
    image = coarse_of(tissue(128))
    examples = WAY.examples([image])
    torch.manual_seed(0)
    network = DetailNetwork(WAY.settings.plan)
    nn.init.normal_(network.last.weight, std=1.0)
    nn.init.normal_(network.last.bias, std=1.0)
    with torch.no_grad():
        # Against what is missing, not merely unlike it.
        part = examples.held_out[0]
        if float((part.within(network(part.interpolated) - part.interpolated) * part.within(part.father)).sum()) > 0:
            network.last.weight.neg_()
            network.last.bias.neg_()
    way = replace(WAY, settings=replace(WAY.settings, back_projections=0))
    usage = way.best_usage(network, examples, device=HOW["device"])
    assert usage.share < 0.05
    unused = way.upscaler(network, Usage(0, 0.0), low=0.0, high=1.0, **HOW)
    assert torch.equal(enlarged(image, unused, way.scaling), bicubic(image))


def test_padding_at_the_end_is_not_what_is_judged_by() -> None:
    """Were it held out, nothing would be rebuilt better than by interpolation, and nothing used."""
    padded = torch.zeros(128, 100)
    padded[3:99, :96] = coarse_of(tissue(192, seed=3))
    image = without_padding(padded, WAY.settings.patch)
    assert torch.equal(image, padded[3:99, :96])
    assert boosted(image, 150)[1].share > 0.5


@pytest.mark.parametrize("shape", [(40, 40), (36, 64)])
def test_padding_stays_where_crops_would_not_fit(shape: tuple[int, int]) -> None:
    image = torch.zeros(shape)
    assert without_padding(image, 32) is image
    image[:30, :30] = tissue(30)
    assert without_padding(image, 32) is image


def test_fathers_hold_nothing_of_what_is_held_out() -> None:
    """The last eighth is white, and nothing else is."""
    image = torch.zeros(64, 96)
    image[:, 84:] = 1.0
    examples = Examples(
        [image],
        downsampling=DOWNSAMPLING,
        upsampling=Upsampling(WAY.scaling),
        shrinkings=(1.5,),
        patch=24,
        fold=2,
        noise=0.0,
        seed=0,
        reached=[image.repeat_interleave(2, 0).repeat_interleave(2, 1)],
    )
    for step in range(20):
        _, fathers = examples.batch(step, 4)
        assert all(float(father.std()) < 1e-6 for father in fathers)
    (part,) = examples.held_out
    assert torch.equal(part.within(part.father), torch.ones(1, 1, 64, 12))
    assert part.father.shape[3] > 12


def test_what_is_held_out_is_the_same_every_time() -> None:
    image = with_noise(coarse_of(tissue(128)), 0.1)
    first, second = (WAY.examples([image]) for _ in range(2))
    assert first.noise == second.noise > 0
    assert torch.equal(first.held_out[0].interpolated, second.held_out[0].interpolated)
