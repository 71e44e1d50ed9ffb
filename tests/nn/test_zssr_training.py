"""What a training of zero-shot super-resolution promises, on images of seconds.

- It learns: the error falls, and a held-out image comes nearer to the truth than by bicubic interpolation.
- On the CPU it is deterministic; stopped and resumed, wherever that is, it ends with the same bits; a batch is a
  function of seed and step alone.
- On a plateau it goes back to its best weights with a lower rate, and it ends.
- Small, constant and noisy images are learnt from; those that are too small are refused.
How well it learns on real data is a matter of the benchmark.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from pipeline.errors import CheckpointError, DataError
from pipeline.nn.training import Trainer
from pipeline.nn.zssr.examples import Examples
from pipeline.nn.zssr.grids import ORIENTATIONS, Scaling, Span, Window, turned
from pipeline.nn.zssr.kernel import Kernel
from pipeline.nn.zssr.kernel_estimation import estimate_kernel
from pipeline.nn.zssr.network import DetailNetwork
from pipeline.nn.zssr.resampling import Downsampling, Upsampling
from pipeline.nn.zssr.superresolution import SuperResolution, ZssrSettings, enlarged
from pipeline.nn.zssr.upscalers import Usage

TINY = SuperResolution(
    ZssrSettings(
        features=8,
        layers=3,
        fold=1,
        most_steps=12,
        judged_every=4,
        warmup_steps=2,
        batch_size=2,
        shrinkings=(1.25,),
        patch=16,
        back_projections=2,
    ),
    scaling=Scaling.centred(2.0),
    kernel="area",
    seed=0,
)


def tiny(**settings) -> SuperResolution:
    return replace(TINY, settings=replace(TINY.settings, **settings))


def cells(side: int, seed: int = 0) -> NDArray[np.float32]:
    """Dark membranes between round cells of every size: what recurs across scales, as in tissue."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), 5)
    lines = np.exp(-((field / field.std() / 0.2) ** 2))
    return (1 - 0.8 * lines).astype(np.float32)


def clouds(side: int) -> NDArray[np.float32]:
    """Structure of every size, as much of each, with values around one half: what a kernel can be estimated from."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    frequency[0, 0] = np.inf
    field = np.fft.ifft2(np.fft.fft2(np.random.default_rng(0).normal(size=(side, side))) / frequency).real
    return (0.5 + 0.15 * field / field.std()).astype(np.float32)


def coarse_of(image: NDArray[np.float32], way: SuperResolution = TINY) -> Tensor:
    fine: Window = tuple(Span.whole(length) for length in image.shape)
    coarse: Window = tuple(Span.whole(way.scaling.coarse_length(length)) for length in image.shape)
    return Downsampling(way.scaling, way.kernel)(torch.from_numpy(image)[None], fine, coarse)[0]


class Training:
    """A trainer with its batches."""

    def __init__(self, way: SuperResolution, *images: Tensor) -> None:
        self._way, self._examples = way, way.examples(images)
        self.trainer: Trainer[DetailNetwork] = way.trainer(
            self._examples, device=torch.device("cpu"), precision=torch.float32
        )

    def step(self) -> None:
        self.trainer.train(islice(self._way.batches(self._examples, self.trainer.progress.step), 1))


def trainer_of(way: SuperResolution, *images: Tensor) -> Trainer[DetailNetwork]:
    return Training(way, *images).trainer


def trained(way: SuperResolution, *images: Tensor) -> Trainer[DetailNetwork]:
    training = Training(way, *images)
    while not training.trainer.ended:
        training.step()
    return training.trainer


def examples_of(*images: Tensor, seed: int = 0, noise: float = 0.0, patch: int = 16) -> Examples:
    return Examples(
        images,
        downsampling=Downsampling(TINY.scaling, "area"),
        upsampling=Upsampling(TINY.scaling),
        shrinkings=(1.25,),
        patch=patch,
        fold=1,
        noise=noise,
        seed=seed,
    )


def upscaled(
    way: SuperResolution, trainer: Trainer[DetailNetwork], image: Tensor, usage: Usage | None = None
) -> NDArray[np.float32]:
    """By default projected back as often as the settings allow for."""
    upscaler = way.upscaler(
        trainer.best_network(),
        usage or Usage(way.settings.back_projections),
        low=0.0,
        high=1.0,
        device=torch.device("cpu"),
        precision=torch.float32,
    )
    return enlarged(image, upscaler, way.scaling).numpy()


def bits(trainer: Trainer[DetailNetwork]) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in trainer.best_network().state_dict().items()}


def psnr_db(found: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    return -10 * math.log10(float(((found - truth) ** 2).mean()))


@pytest.fixture(scope="module")
def slice_() -> Tensor:
    return coarse_of(cells(96))


def test_it_learns_what_recurs() -> None:
    """Better than interpolation on an image that it has not seen, and better than by back-projection alone."""
    way = tiny(
        most_steps=150,
        judged_every=25,
        warmup_steps=10,
        learning_rate=3e-3,
        batch_size=4,
        average_decay=0.9,
        patch=24,
        features=16,
        layers=4,
    )
    trainer = trained(way, *(coarse_of(cells(128, seed)) for seed in (1, 2)))
    errors = [row["error"] for row in trainer.progress.history]
    assert min(errors) < 0.9 * errors[0]
    held = cells(128, seed=9)
    untrained, interpolation = (
        trainer_of(way, coarse_of(held)),
        replace(way, settings=replace(way.settings, back_projections=0)),
    )
    found, projected, bicubic = (
        psnr_db(upscaled(how, by, coarse_of(held)), held)
        for how, by in ((way, trainer), (way, untrained), (interpolation, untrained))
    )
    assert found > bicubic + 1.5
    assert found > projected + 1


def test_it_is_deterministic_and_follows_its_seed(slice_: Tensor) -> None:
    first, second, other = (trained(replace(TINY, seed=seed), slice_) for seed in (0, 0, 1))
    assert bits(first) == bits(second)
    assert first.progress == second.progress
    assert bits(first) != bits(other)


@pytest.mark.parametrize("stops", [(1,), (4,), (3, 5, 11)])
def test_stopped_and_resumed_it_is_bit_for_bit_the_same(stops: tuple[int, ...], slice_: Tensor) -> None:
    """Before, at and after a look at the error, and across a lowered rate."""
    way = never_content(most_steps=14)
    expected = trained(way, slice_)
    training = Training(way, slice_)
    while not training.trainer.ended:
        if training.trainer.progress.step in stops:
            tensors, facts = training.trainer.state()
            tensors = {name: value.clone() for name, value in tensors.items()}
            training = Training(way, slice_)
            training.trainer.restore(tensors, facts, "state")
        training.step()
    trainer = training.trainer
    assert bits(trainer) == bits(expected)
    assert trainer.progress == expected.progress


def test_a_state_of_another_network_is_refused(slice_: Tensor) -> None:
    tensors, facts = trainer_of(TINY, slice_).state()
    other = trainer_of(tiny(features=6), slice_)
    with pytest.raises(CheckpointError, match=r"(?s)state\.safetensors.*delete it"):
        other.restore(tensors, facts, "state.safetensors")


def never_content(**changes: float) -> SuperResolution:
    """A rate so high that the error never falls again: every look is a plateau."""
    rates = {"learning_rate": 0.5, "lowest_learning_rate": 1e-2, "reduction": 0.1}
    looks = {"judged_every": 2, "patience": 0, "warmup_steps": 1, "average_decay": 0.5}
    return tiny(**(rates | looks | changes))


def test_on_a_plateau_it_goes_back_to_its_best_weights_and_ends(slice_: Tensor) -> None:
    training = Training(never_content(most_steps=500), slice_)
    trainer = training.trainer
    rates = [trainer.schedule.state()["learning_rate"]]
    while not trainer.ended:
        training.step()
        if trainer.schedule.state()["learning_rate"] != rates[-1]:
            rates.append(trainer.schedule.state()["learning_rate"])
            tensors, _ = trainer.state()
            best = trainer.best_network().state_dict()
            assert all(torch.equal(tensors[f"network.{name}"], value) for name, value in best.items())
            assert all(torch.equal(tensors[f"average.module.{name}"], value) for name, value in best.items())
            assert not any(name.startswith("optimizer") for name in tensors)
    assert trainer.progress.step < 500
    assert rates == pytest.approx([0.5, 0.05, 0.005])
    assert trainer.progress.best_score == min(row["error"] for row in trainer.progress.history)


def test_it_ends_at_the_latest_after_the_most_steps(slice_: Tensor) -> None:
    trainer = trained(tiny(most_steps=5), slice_)
    assert trainer.progress.step == 5
    assert trainer.progress.history[-1]["step"] == 5


def test_batches_follow_from_seed_and_step(slice_: Tensor) -> None:
    examples, again = examples_of(slice_), examples_of(slice_)
    examples.batch(3, 4)
    for step in (0, 7):
        assert all(torch.equal(a, b) for a, b in zip(examples.batch(step, 4), again.batch(step, 4), strict=True))
    assert not torch.equal(examples.batch(0, 4)[1], examples.batch(1, 4)[1])
    assert not torch.equal(examples.batch(0, 4)[1], examples_of(slice_, seed=1).batch(0, 4)[1])


def test_a_crop_is_a_piece_of_the_slice_in_some_orientation_and_contrast(slice_: Tensor) -> None:
    """Turned one of eight ways, made brighter or darker or inverted, it correlates with its place by one."""
    examples = Examples(
        [slice_],
        downsampling=Downsampling(TINY.scaling, "area"),
        upsampling=Upsampling(TINY.scaling),
        shrinkings=(),
        patch=16,
        fold=1,
        noise=0.0,
        seed=0,
    )
    sons, fathers = examples.batch(0, 6)
    assert sons.shape == fathers.shape == (6, 1, 16, 16)
    pieces = slice_.unfold(0, 16, 1).unfold(1, 16, 1).reshape(-1, 256)
    for father in fathers[:, 0]:
        turns = torch.stack([turned(father, orientation).reshape(256) for orientation in ORIENTATIONS])
        assert (standard(turns) @ standard(pieces).T).abs().max() == pytest.approx(1, abs=1e-4)


def standard(images: Tensor) -> Tensor:
    """Without mean, and of length one."""
    return nn.functional.normalize(images - images.mean(dim=1, keepdim=True), dim=1)


def test_noise_is_on_sons_alone(slice_: Tensor) -> None:
    (clean, fathers), (noisy, same) = (examples_of(slice_, noise=noise).batch(0, 8) for noise in (0.0, 0.1))
    assert torch.equal(fathers, same)
    # Interpolation to twice the size keeps four fifths of the noise's deviation.
    assert 0.06 < float((noisy - clean).std()) < 0.1
    assert all(map(np.isfinite, (row["error"] for row in trained(tiny(noise=0.1), slice_).progress.history)))


@pytest.mark.parametrize("fold", [1, 2])
def test_small_images_are_learnt_from(fold: int) -> None:
    """40 x 40 pixels, of which a coarse capture has a quarter; the crops shrink with them."""
    image = coarse_of(cells(40))
    way = tiny(patch=64, fold=fold)
    found = upscaled(way, trained(way, image), image)
    assert found.shape == (40, 40)
    assert np.isfinite(found).all()


def test_too_small_images_are_refused() -> None:
    with pytest.raises(DataError, match=r"\(20, 7\).*too small.*at least 8"):
        trainer_of(TINY, torch.zeros(20, 7))


def test_a_constant_image_stays_constant() -> None:
    image = torch.full((24, 24), 0.3)
    trainer = trained(TINY, image)
    assert all(torch.isfinite(value).all() for value in trainer.best_network().state_dict().values())
    np.testing.assert_allclose(upscaled(TINY, trainer, image), 0.3, atol=1e-2)


@pytest.mark.parametrize("factor", [2.0, 1.5, 3.0])
def test_other_factors_and_an_estimated_kernel(factor: float) -> None:
    image = coarse_of(clouds(144), replace(TINY, scaling=Scaling.centred(factor), kernel=Kernel.gaussian(0.5 * factor)))
    kernel = estimate_kernel(image.numpy()[None], factor)
    way = replace(TINY, scaling=Scaling.centred(factor), kernel=kernel)
    found = upscaled(way, trained(way, image), image)
    assert found.shape == tuple(way.scaling.fine_length(length) for length in image.shape)
    assert np.isfinite(found).all()
