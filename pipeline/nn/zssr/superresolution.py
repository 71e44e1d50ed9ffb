"""Zero-shot super-resolution: from images of a stack to an upscaler that has learnt from them.

A network is trained on the stack's own examples until it learns nothing more: Adam (Kingma and Ba, ICLR 2015) on the
mean absolute difference, with the learning rate lowered each time the error of reconstructing fixed examples has
stopped falling, and an end once it is lowest (Shocher, Cohen, Irani, CVPR 2018). With each new learning rate the
training goes on from the best weights: a step too far costs time, and no more.

What is judged was held out of the training, and what the network learns from is as noisy as the images are: so neither
learning noise by heart nor sharpening it passes for progress. The same held-out part says in the end how the network is
to be used, down to not at all.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pipeline.nn.training import Judge, Schedule, Trainer
from pipeline.nn.zssr.examples import Examples, HeldOut
from pipeline.nn.zssr.grids import Scaling, Span, Window
from pipeline.nn.zssr.kernel import Averaging, Kernel
from pipeline.nn.zssr.network import DetailNetwork, DetailPlan
from pipeline.nn.zssr.noise import lost_noise
from pipeline.nn.zssr.resampling import Downsampling, Upsampling
from pipeline.nn.zssr.upscalers import Upscaler, Usage, ZeroShot

LEAST_GAIN = 1e-3
"""Share by which the error has to fall to have fallen."""
_GRADIENT_NORM_LIMIT = 0.5


@dataclass(frozen=True)
class ZssrSettings:
    """How a network is taught, and how it is used.

    Args:
        features: channels of the hidden layers.
        layers: convolutions.
        fold: edge of the squares of pixels that the network takes as one.
        most_steps: the training ends there at the latest.
        learning_rate: at the start.
        lowest_learning_rate: the training ends when the rate would fall below it.
        patch: edge of a crop in pixels.
        batch_size: crops a step.
        shrinkings: factors by which images are made smaller, to learn from these too.
        noise: on what the network sees, as a share of the range of intensities; auto: as much as coarsening takes away.
        back_projections: at most; see `Usage`.
        self_ensemble: see `ZeroShot`.
        reduction: what the rate is multiplied by on a plateau.
        warmup_steps: over which the rate rises, at the start and after each reduction.
        judged_every: steps between two looks at the reconstruction error.
        patience: looks without a better error before the rate falls.
        average_decay: of the running average of weights.
    """

    features: int = 64
    layers: int = 8
    fold: int = 1
    most_steps: int = 2000
    learning_rate: float = 1e-3
    lowest_learning_rate: float = 1e-5
    patch: int = 64
    batch_size: int = 4
    shrinkings: tuple[float, ...] = (1.1, 1.25, 1.4, 1.6, 1.8, 2.0)
    noise: float | Literal["auto"] = "auto"
    back_projections: int = 8
    self_ensemble: bool = True
    reduction: float = 0.3
    warmup_steps: int = 50
    judged_every: int = 50
    patience: int = 3
    average_decay: float = 0.99

    @property
    def plan(self) -> DetailPlan:
        """The shape of the network."""
        return DetailPlan(self.features, self.layers, self.fold)


class Plateaus(Schedule):
    """A learning rate that falls to zero over the most steps, and sooner by a factor on each plateau of the error.

    The fall is a cosine's (I. Loshchilov, F. Hutter, "SGDR", ICLR 2017). The training ends when plateaus have made the
    rate the lowest.
    """

    def __init__(self, settings: ZssrSettings) -> None:
        super().__init__(settings.most_steps)
        self.learning_rate = settings.learning_rate
        self._settings = settings
        self._reduced_at = 0
        self._looks_in_vain = 0
        """Without a better error, since the last one that was or the last reduction."""

    @property
    def ended(self) -> bool:
        """See `Schedule`."""
        return self.learning_rate < self._settings.lowest_learning_rate

    def rate(self, step: int) -> float:
        """See `Schedule`."""
        annealed = self.learning_rate * 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return annealed * min(1.0, (step - self._reduced_at + 1) / self._settings.warmup_steps)

    def judged_after(self, steps: int) -> bool:
        """See `Schedule`."""
        return steps % self._settings.judged_every == 0

    def plateau(self, step: int, score: float, best: float) -> bool:
        """See `Schedule`; scores are errors."""
        self._looks_in_vain = 0 if score < best * (1 - LEAST_GAIN) else self._looks_in_vain + 1
        if self._looks_in_vain <= self._settings.patience:
            return False
        self.learning_rate *= self._settings.reduction
        self._reduced_at, self._looks_in_vain = step, 0
        return True

    def state(self) -> dict[str, float]:
        """See `Schedule`."""
        return {
            "learning_rate": self.learning_rate,
            "reduced_at": self._reduced_at,
            "looks_in_vain": self._looks_in_vain,
        }

    def restore(self, state: dict[str, float]) -> None:
        """See `Schedule`."""
        self.learning_rate = state["learning_rate"]
        self._reduced_at, self._looks_in_vain = int(state["reduced_at"]), int(state["looks_in_vain"])


@dataclass(frozen=True)
class SuperResolution:
    """Zero-shot super-resolution by one factor.

    Args:
        settings: how a network is taught, and how it is used.
        scaling: from the fine grid to that of the images.
        kernel: by which the images are believed to have become coarse.
        seed: everything random follows from it.
    """

    settings: ZssrSettings
    scaling: Scaling
    kernel: Averaging | Kernel
    seed: int

    def examples(self, images: Sequence[Tensor], reached: Sequence[Tensor] = ()) -> Examples:
        """What images (Y, X), intensities about 0 to 1, show.

        Args:
            images: of one stack.
            reached: what networks at smaller factors have made of them.

        Raises:
            DataError: they are too small.
        """
        downsampling, noise = Downsampling(self.scaling, self.kernel), self.settings.noise
        return Examples(
            images,
            reached=reached,
            downsampling=downsampling,
            upsampling=Upsampling(self.scaling),
            shrinkings=self.settings.shrinkings,
            patch=self.settings.patch,
            fold=self.settings.fold,
            noise=lost_noise(images, downsampling) if noise == "auto" else noise,
            seed=self.seed,
        )

    def trainer(self, examples: Examples, *, device: torch.device, precision: torch.dtype) -> Trainer[DetailNetwork]:
        """The training of a network."""
        settings = self.settings
        torch.manual_seed(self.seed)
        network: DetailNetwork = DetailNetwork(settings.plan).to(  # type: ignore[call-overload]
            device, memory_format=torch.channels_last
        )
        schedule = Plateaus(settings)

        @torch.no_grad()
        def look(trainer: Trainer[DetailNetwork]) -> dict[str, float]:
            errors = [
                trainer.loss_of(
                    partial(_inside, part, trainer.averaged),
                    part.interpolated,
                    part.within(part.father),
                )
                for part in examples.held_out
            ]
            return {"learning_rate": schedule.learning_rate, "error": float(torch.stack(errors).mean())}

        return Trainer(
            network,
            forward=network,
            loss=_mean_difference,
            optimizer=torch.optim.Adam(network.parameters(), lr=settings.learning_rate),
            average=AveragedModel(
                network,
                multi_avg_fn=get_ema_multi_avg_fn(settings.average_decay),  # type: ignore[no-untyped-call]
            ),
            schedule=schedule,
            judge=Judge(look, "error", operator.lt, math.inf),
            memory_format=torch.channels_last,
            gradient_norm_limit=_GRADIENT_NORM_LIMIT,
            device=device,
            precision=precision,
        )

    def batches(self, examples: Examples, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches from a step on, each made when it is asked for."""
        for step in range(start, self.settings.most_steps):
            yield examples.batch(step, self.settings.batch_size)

    def upscaler(
        self,
        network: DetailNetwork,
        usage: Usage,
        *,
        low: float,
        high: float,
        device: torch.device,
        precision: torch.dtype,
    ) -> ZeroShot:
        """The trained network in use."""
        return ZeroShot(
            network.to(device, memory_format=torch.channels_last).eval(),  # type: ignore[call-overload]
            Upsampling(self.scaling),
            Downsampling(self.scaling, self.kernel),
            usage,
            self.settings.self_ensemble,
            low,
            high,
            device,
            precision,
        )

    def best_usage(self, network: DetailNetwork, examples: Examples, *, device: torch.device) -> Usage:
        """The use of a trained network that rebuilds best what was held out, in the mean of squares.

        It is projected back as often as the settings say or not at all; its share is that of least squares. One
        orientation is enough to tell.
        """
        best, least_error = Usage(0, 0.0), 0.0
        for rounds in sorted({0, self.settings.back_projections}):
            upscaler = replace(
                self.upscaler(network, Usage(rounds), low=0.0, high=1.0, device=device, precision=torch.float32),
                self_ensemble=False,
            )
            squares = agreement = 0.0
            for part in examples.held_out:
                rows, columns = (Span.whole(length) for length in part.father.shape[2:])
                coarse: Window = (Span.whole(part.son.shape[0]), Span.whole(part.son.shape[1]))
                found_NYX = upscaler(part.son[None], coarse, (rows, columns))
                detail, missing = (
                    part.within(image_NYX - part.interpolated[0]).double() for image_NYX in (found_NYX, part.father[0])
                )
                squares += float((detail * detail).sum())
                agreement += float((detail * missing).sum())
            share = min(1.0, max(0.0, agreement / squares)) if squares else 0.0
            error = share * (share * squares - 2 * agreement)
            if error < least_error:
                best, least_error = Usage(rounds, share), error
        return best


def enlarged(image_YX: Tensor, upscaler: Upscaler, scaling: Scaling) -> Tensor:
    """The whole of an image, upscaled."""
    rows, columns = (Span.whole(length) for length in image_YX.shape)
    fine: Window = (Span.whole(scaling.fine_length(len(rows))), Span.whole(scaling.fine_length(len(columns))))
    return upscaler(image_YX[None], (rows, columns), fine)[0]


def _inside(part: HeldOut, network: nn.Module, images: Tensor) -> Tensor:
    return part.within(network(images))


def _mean_difference(found: Tensor, truth: Tensor) -> Tensor:
    return (found - truth).abs().mean()
