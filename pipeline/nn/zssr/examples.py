"""A stack's own examples of the loss of detail: its slices (fathers), and what coarsening makes of them (sons).

A father is a slice, or a tile of one, at its own scale or made smaller (which shows the same structures finer and with
less noise). From a random crop of it, in one of eight orientations and in some contrast, the son is made with the
kernel by which the stack is believed to have lost its detail; the network learns to get from the interpolated son back
to the father.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.errors import DataError
from pipeline.nn.zssr.grids import ORIENTATIONS, Scaling, Span, Window, turned
from pipeline.nn.zssr.resampling import Downsampling, Upsampling, mirrored

SMALLEST_SIDE = 8
"""Pixels; a smaller slice holds no crop from which anything could be learnt."""

HELD_OUT = 1 / 8
"""Of the longer side of each image."""
_CONTEXT_PX = 32
_MOST_HELD_OUT = 8
"""Images of which the held-out part is looked at."""

MIDDLE_GREY = 0.5
CONTRAST_LEAST, CONTRAST_MOST = 0.5, 1.5
_HELD_OUT_STEP = 2**31
"""The noise on what is held out is that of steps which no training reaches."""
_SEED_STRIDE = 2654435761
"""Keeps the steps of one seed apart from those of another within 32 bits: a generator on the CPU heeds no more."""


@dataclass(frozen=True)
class HeldOut:
    """The end of an image, and a piece of what it borders on; of this a network may see the son, and that is all."""

    son: Tensor
    """(Y, X)"""
    interpolated: Tensor
    """(1, 1, Y, X), as is the next."""
    father: Tensor
    inside: tuple[slice, slice]
    """What was held out (y, x), without what it borders on."""

    def within(self, images: Tensor) -> Tensor:
        """What of images (..., Y, X) like the father was held out."""
        return images[..., self.inside[0], self.inside[1]]


class Examples:
    """Batches of (interpolated son, father), each a function of (seed, step) alone.

    Args:
        images: fathers at their own scale, each (Y, X), float32 of about zero to one.
        reached: what networks at smaller factors have made of the images; further fathers.
        downsampling: makes a son of a father.
        upsampling: makes a son as large as its father again.
        shrinkings: factors above 1 by which fathers are made smaller too; what is less than a crop then is left out.
        patch: edge of a crop in pixels; less where the images are smaller.
        fold: crops are multiples of it.
        noise: standard deviation of the noise on sons, in the intensity of the images.

    Raises DataError when an image is too small to learn from.
    """

    def __init__(
        self,
        images: Sequence[Tensor],
        *,
        downsampling: Downsampling,
        upsampling: Upsampling,
        shrinkings: Sequence[float],
        patch: int,
        fold: int,
        noise: float,
        seed: int,
        reached: Sequence[Tensor] = (),
    ) -> None:
        self._downsampling, self._upsampling = downsampling, upsampling
        self.noise, self._seed = noise, seed
        smallest = min(min(image.shape) for image in images)
        if smallest < SMALLEST_SIDE:
            raise DataError(
                f"slices of {tuple(images[0].shape)} pixels (y, x) are too small to learn super-resolution from; each "
                f"side must have at least {SMALLEST_SIDE}: boost them with bicubic interpolation"
            )
        judged = images[:: math.ceil(len(images) / _MOST_HELD_OUT)]
        self.held_out = [self._held_out(image, fold, number) for number, image in enumerate(judged)]
        images = [_without_end(image) for image in images]
        self.patch = min(patch, *(min(image.shape) for image in images)) // fold * fold
        factor = downsampling.scaling.factor
        self._margin = fold * math.ceil((factor * (upsampling.reach + 1) + downsampling.reach) / fold)
        smaller = [shrunk(image, by) for by in shrinkings for image in images]
        fathers = [
            *images,
            *map(_without_end, reached),
            *(image for image in smaller if min(image.shape) >= self.patch),
        ]
        self._fathers = [mirrored(father[None], (self._margin, self._margin))[0] for father in fathers]
        self._areas = torch.tensor([father.numel() for father in fathers], dtype=torch.float64)

    def batch(self, step: int, size: int) -> tuple[Tensor, Tensor]:
        """Interpolated sons and fathers of a step, both (N, 1, patch, patch)."""
        generator = torch.Generator().manual_seed((self._seed * _SEED_STRIDE + step) % 2**32)
        chosen = torch.multinomial(self._areas, size, replacement=True, generator=generator)
        crops_NYX = torch.stack([self._crop(self._fathers[index], generator) for index in chosen.tolist()])
        crops_NYX = _with_other_contrast(crops_NYX, generator)
        side = crops_NYX.shape[-1]
        fine: Window = (Span.whole(side), Span.whole(side))
        _, interpolated_NYX = self._sons(crops_NYX, fine, generator)
        return self._inner(interpolated_NYX), self._inner(crops_NYX)

    def _sons(self, fathers_NYX: Tensor, fine: Window, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The sons of whole images, and the same interpolated."""
        rows, columns = (Span.whole(self._downsampling.scaling.coarse_length(len(span))) for span in fine)
        sons_NYX = self._downsampling(fathers_NYX, fine, (rows, columns))
        if self.noise:
            sons_NYX = sons_NYX + self.noise * torch.randn(sons_NYX.shape, generator=generator)
        return sons_NYX, self._upsampling(sons_NYX, (rows, columns), fine)

    def _held_out(self, image_YX: Tensor, fold: int, number: int) -> HeldOut:
        """The end of an image; whole squares of ``fold`` pixels with what it borders on."""
        axis, end = _end(image_YX)
        lengths = [length // fold * fold for length in image_YX.shape]
        lengths[axis] = min(lengths[axis], (end + _CONTEXT_PX) // fold * fold)
        piece_YX = image_YX[-lengths[0] :, -lengths[1] :]
        fine: Window = (Span.whole(lengths[0]), Span.whole(lengths[1]))
        generator = torch.Generator().manual_seed((self._seed * _SEED_STRIDE + _HELD_OUT_STEP + number) % 2**32)
        sons_NYX, interpolated_NYX = self._sons(piece_YX[None], fine, generator)
        inside = [slice(None), slice(None)]
        inside[axis] = slice(lengths[axis] - end, lengths[axis])
        return HeldOut(sons_NYX[0], interpolated_NYX[:, None], piece_YX[None, None], (inside[0], inside[1]))

    def _crop(self, father: Tensor, generator: torch.Generator) -> Tensor:
        orientation, row, column = (
            int(torch.randint(0, end, (1,), generator=generator))
            for end in (
                len(ORIENTATIONS),
                father.shape[0] - self.patch - 2 * self._margin + 1,
                father.shape[1] - self.patch - 2 * self._margin + 1,
            )
        )
        side = self.patch + 2 * self._margin
        return turned(father[row : row + side, column : column + side], orientation)

    def _inner(self, images_NYX: Tensor) -> Tensor:
        inside = slice(self._margin, self._margin + self.patch)
        return images_NYX[:, None, inside, inside].contiguous()


def _end(image_YX: Tensor) -> tuple[int, int]:
    """The axis at whose end pixels are held out, and how many."""
    axis = 0 if image_YX.shape[0] >= image_YX.shape[1] else 1
    return axis, int(image_YX.shape[axis] * HELD_OUT)


def _without_end(image_YX: Tensor) -> Tensor:
    """An image without what is held out of it."""
    axis, end = _end(image_YX)
    return image_YX.narrow(axis, 0, image_YX.shape[axis] - end)


def without_padding(image_YX: Tensor, patch: int) -> Tensor:
    """An image without the rows and columns of one value at its ends: nothing can be learnt there, and judged nothing.

    It stays as it is where crops of ``patch`` pixels, or as large ones as before, would no longer fit into it.
    """
    is_tissue = image_YX != image_YX[:, :1], image_YX != image_YX[:1]
    spans = [torch.nonzero(varied.any(dim=1 - axis)).flatten() for axis, varied in enumerate(is_tissue)]
    if not all(map(len, spans)):
        return image_YX
    (top, bottom), (left, right) = ((int(span[0]), int(span[-1]) + 1) for span in spans)
    least = min(math.ceil(patch / (1 - HELD_OUT)), *image_YX.shape)
    return image_YX[top:bottom, left:right] if min(bottom - top, right - left) >= least else image_YX


def _with_other_contrast(crops_NYX: Tensor, generator: torch.Generator) -> Tensor:
    """More or less contrast, and every other time dark for bright: detail is lost and found alike in all of them."""
    crops = len(crops_NYX)
    gain_N = CONTRAST_LEAST + (CONTRAST_MOST - CONTRAST_LEAST) * torch.rand(crops, generator=generator)
    sign_N = 2 * torch.randint(0, 2, (crops,), generator=generator) - 1
    return MIDDLE_GREY + (gain_N * sign_N)[:, None, None] * (crops_NYX - MIDDLE_GREY)


def shrunk(image_YX: Tensor, factor: float) -> Tensor:
    """An image made smaller with antialiased cubic interpolation."""
    scaling = Scaling.centred(factor)
    fine = tuple(Span.whole(length) for length in image_YX.shape)
    coarse = tuple(Span.whole(scaling.coarse_length(length)) for length in image_YX.shape)
    small: Tensor = Downsampling(scaling)(image_YX[None], fine, coarse)[0]  # type: ignore[arg-type]
    return small
