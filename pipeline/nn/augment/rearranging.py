"""Mirrors, quarter turns and shifted slices where nothing is interpolated: voxels only change places."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pipeline.nn.augment.draws import SampleDraw, SectionShift


def rearrange(volume: torch.Tensor, patch_zyx: Sequence[int], draw: SampleDraw) -> torch.Tensor:
    """The patch from the middle of a source volume (..., z, y, x), copied."""
    depth, height, width = patch_zyx
    if draw.quarter_turns % 2:
        height, width = width, height
    patch = _cut_middle(volume, (depth, height, width), draw.shift)
    patch = patch.flip([axis for axis, flip in ((-2, draw.flips_zyx[1]), (-1, draw.flips_zyx[2])) if flip])
    return patch.rot90(draw.quarter_turns, dims=(-2, -1)).contiguous()


def _cut_middle(volume: torch.Tensor, size_zyx: Sequence[int], shift: SectionShift | None) -> torch.Tensor:
    z, y, x = ((have - want) // 2 for have, want in zip(volume.shape[-3:], size_zyx, strict=True))
    depth, height, width = size_zyx
    patch = volume[..., z : z + depth, y : y + height, x : x + width].clone()
    if shift is not None:
        y, x = y + shift.offset_yx[0], x + shift.offset_yx[1]
        slices = slice(z + shift.z_start, z + shift.z_stop)
        patch[..., shift.z_start : shift.z_stop, :, :] = volume[..., slices, y : y + height, x : x + width]
    return patch
