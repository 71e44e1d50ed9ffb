"""What a network says of voxels that see one grey value and nothing else, as in resin or padding.

Such an answer depends on the value and on the faces of the volume that lie within the receptive field. So a small
volume of that value holds every answer there is: along an axis its edge is one stride where no face is seen, each
convolution continuing what it sees by its last voxels, and elsewhere as long as a face is seen, with the network's own
zeros beyond it::

    seen by the voxels   no face        the near face     both faces
    edge                 a stride       reach + stride    2 reach + stride, or the volume's own
    at its ends          continued      0, continued      0, 0
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.nn.plan import NetworkPlan
from pipeline.nn.regions import receptive_radius
from pipeline.nn.unet import ConvNorm, UNet
from pipeline.volume.geometry import Block, Zyx, zyx

Faces = tuple[bool, bool]
"""Whether the near and the far face of a volume are seen along an axis."""

# Of the features of the finest level, how many a forward pass holds at once, those of the coarser levels included.
_TENSORS = 6


@dataclass(frozen=True)
class Small:
    """A volume in which everything stands that a network says of one grey value; values of the axes z, y, x."""

    shape_zyx: Zyx
    faces_zyx: tuple[Faces, Faces, Faces]


def differing(voxels: NDArray[Any]) -> tuple[Any, Block | None] | None:
    """The grey value that a face of an array is all of, and the box of the voxels that have another one.

    None where every face has several values, which takes next to no time to find.
    """
    ends = (np.take(voxels, end, axis) for axis in range(3) for end in (0, -1))
    value = next((end.flat[0] for end in ends if (end == end.flat[0]).all()), None)
    if value is None:
        return None
    unlike = voxels != value
    across = (np.flatnonzero(unlike.any(axis=tuple(other for other in range(3) if other != axis))) for axis in range(3))
    spans = [(int(found[0]), int(found[-1]) + 1) for found in across if len(found)]
    return value, (Block(*(zyx(ends, "box") for ends in zip(*spans, strict=True))) if spans else None)


def without(block: Block, hole: Block | None) -> Iterator[Block]:
    """What is left of a block, as boxes that do not overlap."""
    if hole is None:
        yield block
        return
    for axis in range(3):
        for edge, near in ((hole.start_zyx[axis], True), (hole.stop_zyx[axis], False)):
            if block.start_zyx[axis] < edge < block.stop_zyx[axis]:
                parts = _cut(block, axis, edge)
                rest, block = parts if near else parts[::-1]
                yield rest


def small_volume(plan: NetworkPlan, box: Block, volume_zyx: Zyx) -> Small:
    """That for the voxels of a box of a volume whose edges are multiples of the stride."""
    edges, seen = [], []
    for radius, stride, start, stop, edge in zip(
        receptive_radius(plan), plan.stride_zyx, box.start_zyx, box.stop_zyx, volume_zyx, strict=True
    ):
        faces = start < radius, stop > edge - radius
        edges.append(min(edge, sum(faces) * _reach(radius, stride) + stride))
        # Where nothing is cut away, both faces are there.
        seen.append((True, True) if edges[-1] == edge else faces)
    return Small(zyx(edges, "small"), (seen[0], seen[1], seen[2]))


def forward_bytes(plan: NetworkPlan, small: Small) -> int:
    """About how much memory one pass over a small volume takes."""
    return _TENSORS * 4 * plan.levels[0].features * prod(small.shape_zyx)


def places(plan: NetworkPlan, box: Block, volume_zyx: Zyx, small: Small) -> list[Tensor]:
    """Where in the small volume the answers for the voxels of a box stand: indices along each axis."""
    found = []
    for axis, radius in enumerate(receptive_radius(plan)):
        edge, short = volume_zyx[axis], small.shape_zyx[axis]
        at = torch.arange(box.start_zyx[axis], box.stop_zyx[axis])
        from_far, reach = at - edge + short, _reach(radius, plan.stride_zyx[axis])
        near, far = small.faces_zyx[axis]
        if short == edge:
            found.append(at)
        elif near and far:
            found.append(torch.where(at < reach, at, from_far.clamp(min=reach)))
        elif near:
            found.append(at.clamp(max=reach))
        else:
            found.append(from_far.clamp(min=0) if far else torch.zeros_like(at))
    return found


def continued(network: UNet, faces_zyx: tuple[Faces, Faces, Faces]) -> UNet:
    """The network, of folded norms, for a small volume: zeros beyond its faces, and elsewhere its last voxels again."""
    twin = deepcopy(network)
    for module in twin.modules():
        if isinstance(module, ConvNorm):
            module.convolution = _Continued(module.convolution, faces_zyx)  # type: ignore[assignment]
    return twin


class _Continued(nn.Module):
    """A convolution that keeps the size."""

    def __init__(self, convolution: nn.Conv3d, faces_zyx: tuple[Faces, Faces, Faces]) -> None:
        super().__init__()
        self._weight, self._bias = convolution.weight, convolution.bias
        sides = [(edge // 2, is_face) for edge, faces in _last_first(convolution, faces_zyx) for is_face in faces]
        self._zeros = [radius * is_face for radius, is_face in sides]
        self._copies = [radius * (not is_face) for radius, is_face in sides]

    def forward(self, features_BCZYX: Tensor) -> Tensor:
        copied = F.pad(features_BCZYX, self._copies, mode="replicate")
        return F.conv3d(F.pad(copied, self._zeros), self._weight, self._bias)


def _last_first(convolution: nn.Conv3d, faces_zyx: tuple[Faces, Faces, Faces]) -> Iterator[tuple[int, Faces]]:
    """Edge of the kernel and faces of each axis, the last axis first, as padding is told."""
    return zip(reversed(convolution.kernel_size), reversed(faces_zyx), strict=True)


def _reach(radius: int, stride: int) -> int:
    """How far from a face its influence ends at the latest, as a multiple of the stride."""
    return -(-radius // stride) * stride


def _cut(block: Block, axis: int, at: int) -> tuple[Block, Block]:
    stop, start = list(block.stop_zyx), list(block.start_zyx)
    stop[axis] = start[axis] = at
    return Block(block.start_zyx, zyx(stop, "stop")), Block(zyx(start, "start"), block.stop_zyx)
