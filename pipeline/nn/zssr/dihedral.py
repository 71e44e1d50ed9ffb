"""The eight flips and quarter turns of an image."""

from __future__ import annotations

from torch import Tensor

ORIENTATIONS = range(8)


def turned(images: Tensor, orientation: int) -> Tensor:
    """A view of images (..., Y, X) in one of the eight orientations; 0 is as it is."""
    if orientation & 1:
        images = images.transpose(-1, -2)
    if orientation & 2:
        images = images.flip(-1)
    return images.flip(-2) if orientation & 4 else images


def turned_back(images: Tensor, orientation: int) -> Tensor:
    """The inverse of `turned`."""
    if orientation & 4:
        images = images.flip(-2)
    if orientation & 2:
        images = images.flip(-1)
    return images.transpose(-1, -2) if orientation & 1 else images
