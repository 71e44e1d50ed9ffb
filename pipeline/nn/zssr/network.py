"""The network of zero-shot super-resolution: the detail that interpolation leaves out.

A plain stack of 3 x 3 convolutions, as in Shocher, Cohen, Irani (CVPR 2018), which adds its output to the interpolated
image. Other than there it works on the image folded by ``fold`` (space to depth: Shi et al., CVPR 2016): each
fold x fold square of pixels becomes one pixel of as many channels. With fold 2 a layer costs a quarter and sees twice
as far.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class DetailPlan:
    """The shape of the network: channels of the hidden layers, convolutions, and edge of the squares it folds."""

    features: int = 64
    layers: int = 8
    fold: int = 2

    @property
    def radius(self) -> int:
        """Fine pixels that an output depends on, to each side."""
        return self.layers * self.fold + self.fold - 1

    def to_json(self) -> dict[str, Any]:
        """As plain data: what `DetailPlan(**data)` takes."""
        return asdict(self)


class DetailNetwork(nn.Module):
    """Interpolated images (N, 1, Y, X) to the same with detail added; Y and X are multiples of ``fold``."""

    def __init__(self, plan: DetailPlan) -> None:
        super().__init__()
        self.plan = plan
        pixels = plan.fold**2
        channels = [pixels, *[plan.features] * (plan.layers - 1)]
        self.hidden = nn.ModuleList(nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(channels))
        self.last = nn.Conv2d(plan.features, pixels, 3, padding=1)
        for layer in self.hidden:
            nn.init.kaiming_normal_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        # Before it has learnt anything, the network is the interpolation.
        nn.init.zeros_(self.last.weight)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)

    def forward(self, interpolated_NCYX: Tensor) -> Tensor:
        """The images with their detail; the sum is in the type of the input whatever the layers compute in."""
        folded = functional.pixel_unshuffle(interpolated_NCYX, self.plan.fold)
        folded = folded.contiguous(memory_format=torch.channels_last)
        for layer in self.hidden:
            folded = torch.relu(layer(folded))
        detail_NCYX = functional.pixel_shuffle(self.last(folded), self.plan.fold)
        return interpolated_NCYX + detail_NCYX.to(interpolated_NCYX.dtype)
