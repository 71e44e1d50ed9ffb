"""Ways from a coarse image to a fine one, each exact on any window of it.

    coarse image  |....[====== what is read ======]....|
    fine image    |........[halo][ window ][halo]......|

An upscaler says what it has to read for a window of the fine image (its reach is known), and gives the window as it
stands in the whole upscaled image. Where a window meets an edge of the image nothing is added: there the image's own
mirror goes on, in a window as in the whole. Interpolation alone is one (`Upsampling`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pipeline.nn.zssr.grids import ORIENTATIONS, Span, Window, turned, turned_back
from pipeline.nn.zssr.network import DetailNetwork
from pipeline.nn.zssr.resampling import Downsampling, Upsampling


class Upscaler(Protocol):
    """Boosts images in y and x; z is untouched."""

    def coarse_window(self, fine: Window, coarse_yx: tuple[int, int]) -> Window:
        """The part of a coarse image of this shape that a window of the fine one depends on."""
        ...

    def __call__(self, coarse_NYX: Tensor, coarse: Window, fine: Window) -> Tensor:
        """The ``fine`` window (N, Y, X), float32, from the part ``coarse`` of the coarse images."""
        ...


@dataclass(frozen=True)
class Usage:
    """What a network is good for.

    Args:
        back_projections: how often its result is corrected to agree with the coarse image; that restores detail, and
            noise.
        share: of the way from interpolation (0) to the network's corrected result (1).
    """

    back_projections: int
    share: float = 1.0


@dataclass(frozen=True)
class ZeroShot:
    """Interpolation, the detail that a network adds, and back-projection.

    Args:
        network: trained on the stack's own examples, in evaluation mode on ``device``.
        upsampling: what the network was trained to add detail to.
        downsampling: how the coarse image came about; back-projection makes the result agree with it (Irani and Peleg,
            CVGIP 53, 1991; used so in Shocher, Cohen, Irani, CVPR 2018).
        usage: how often it is projected back, and how far the result goes from interpolation to what that gives.
        self_ensemble: average over the eight flips and quarter turns of the input, turned back (Timofte, Rothe, Van
            Gool, CVPR 2016).
        low: intensity that the network knows as 0.
        high: intensity that the network knows as 1.
        precision: of the network's layers.
    """

    network: DetailNetwork
    upsampling: Upsampling
    downsampling: Downsampling
    usage: Usage
    self_ensemble: bool
    low: float
    high: float
    device: torch.device
    precision: torch.dtype

    def coarse_window(self, fine: Window, coarse_yx: tuple[int, int]) -> Window:
        """See `Upscaler`."""
        return self.upsampling.coarse_window(self._grown(fine), coarse_yx)

    @torch.inference_mode()
    def __call__(self, coarse_NYX: Tensor, coarse: Window, fine: Window) -> Tensor:
        """See `Upscaler`."""
        given_NYX = (coarse_NYX.to(self.device) - self.low) / (self.high - self.low)
        around = self._grown(fine)
        interpolated_NYX = self.upsampling(given_NYX, coarse, self._continued(around))
        boosted_NYX = self._with_detail(interpolated_NYX)[:, : len(around[0]), : len(around[1])]
        boosted_NYX = self._projected_back(boosted_NYX, given_NYX, around, coarse)
        boosted_NYX = interpolated_NYX[:, : len(around[0]), : len(around[1])].lerp(boosted_NYX, self.usage.share)
        inside = [
            slice(part.start - all_.start, part.stop - all_.start) for part, all_ in zip(fine, around, strict=True)
        ]
        return (boosted_NYX[:, inside[0], inside[1]] * (self.high - self.low) + self.low).cpu()

    def _with_detail(self, interpolated_NYX: Tensor) -> Tensor:
        orientations = ORIENTATIONS if self.self_ensemble else range(1)
        total_NYX = torch.zeros_like(interpolated_NYX)
        for orientation in orientations:
            given_NCYX = turned(interpolated_NYX, orientation)[:, None].contiguous()
            with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
                total_NYX += turned_back(self.network(given_NCYX)[:, 0], orientation)
        return total_NYX / len(orientations)

    def _projected_back(self, boosted_NYX: Tensor, given_NYX: Tensor, fine: Window, coarse: Window) -> Tensor:
        for _ in range(self.usage.back_projections):
            missing_NYX = given_NYX - self.downsampling(boosted_NYX, fine, coarse)
            boosted_NYX = boosted_NYX + self.upsampling(missing_NYX, coarse, fine)
        return boosted_NYX

    def _grown(self, fine: Window) -> Window:
        """A window with its halo, aligned to the squares that the network folds."""
        fold = self.network.plan.fold
        halo = self.network.plan.radius + self.usage.back_projections * self._projection_radius
        rows, columns = (_aligned(span.grown(halo), fold) for span in fine)
        return rows, columns

    def _continued(self, fine: Window) -> Window:
        """A window whose far ends at the image's edge go on to the next whole square, by the image's mirror."""
        fold = self.network.plan.fold
        rows, columns = (Span(s.start, -(-s.stop // fold) * fold, -(-s.length // fold) * fold) for s in fine)
        return rows, columns

    @property
    def _projection_radius(self) -> int:
        """Fine pixels by which the result of one back-projection depends on more than itself."""
        return math.ceil(self.upsampling.scaling.factor * (self.upsampling.reach + 1) + self.downsampling.reach)


def _aligned(span: Span, to: int) -> Span:
    return Span(span.start // to * to, min(span.length, -(-span.stop // to) * to), span.length)
