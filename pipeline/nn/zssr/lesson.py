"""A lesson: from images of a stack to an upscaler that has learnt from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.nn.zssr.examples import Examples
from pipeline.nn.zssr.grids import Scaling, Span, Window
from pipeline.nn.zssr.kernel import Averaging, Kernel
from pipeline.nn.zssr.network import DetailNetwork, DetailPlan
from pipeline.nn.zssr.resampling import Downsampling, Upsampling
from pipeline.nn.zssr.training import Schedule, ZssrTrainer
from pipeline.nn.zssr.upscalers import Upscaler, ZeroShot


@dataclass(frozen=True)
class Lesson:
    """How a network is taught, and how it is used.

    Args:
        scaling: from the fine grid to that of the images.
        kernel: by which the images are believed to have become coarse.
        plan: the network.
        schedule: how long, and with which learning rates.
        shrinkings: factors by which images are made smaller, to learn from these too.
        patch: edge of a crop in pixels.
        noise: on what the network sees, as a share of the range of intensities.
        back_projections: see `ZeroShot`.
        self_ensemble: see `ZeroShot`.
        seed: everything random follows from it.
    """

    scaling: Scaling
    kernel: Averaging | Kernel
    plan: DetailPlan
    schedule: Schedule
    shrinkings: Sequence[float]
    patch: int
    noise: float
    back_projections: int
    self_ensemble: bool
    seed: int

    def trainer(self, images: Sequence[Tensor], *, device: torch.device, precision: torch.dtype) -> ZssrTrainer:
        """A training on images (Y, X), intensities about 0 to 1. Raises DataError when they are too small."""
        examples = Examples(
            images,
            downsampling=self._downsampling,
            upsampling=self._upsampling,
            shrinkings=self.shrinkings,
            patch=self.patch,
            fold=self.plan.fold,
            noise=self.noise,
            seed=self.seed,
        )
        return ZssrTrainer(self.plan, self.schedule, examples, seed=self.seed, device=device, precision=precision)

    def upscaler(
        self, network: DetailNetwork, *, low: float, high: float, device: torch.device, precision: torch.dtype
    ) -> ZeroShot:
        """The trained network in use."""
        return ZeroShot(
            network.to(device, memory_format=torch.channels_last).eval(),  # type: ignore[call-overload]
            self._upsampling,
            self._downsampling,
            self.back_projections,
            self.self_ensemble,
            low,
            high,
            device,
            precision,
        )

    @property
    def _upsampling(self) -> Upsampling:
        return Upsampling(self.scaling)

    @property
    def _downsampling(self) -> Downsampling:
        return Downsampling(self.scaling, self.kernel)


def enlarged(image_YX: Tensor, upscaler: Upscaler, scaling: Scaling) -> Tensor:
    """The whole of an image, upscaled."""
    rows, columns = (Span.whole(length) for length in image_YX.shape)
    fine: Window = (Span.whole(scaling.fine_length(len(rows))), Span.whole(scaling.fine_length(len(columns))))
    return upscaler(image_YX[None], (rows, columns), fine)[0]
