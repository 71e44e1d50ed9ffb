"""A 3D U-Net with residual blocks and summed skip connections.

The design follows the symmetric residual U-Net for electron microscopy of Lee et al. (arXiv:1706.00120) within the
U-Net of Çiçek et al. (MICCAI 2016): summing the skip keeps the decoder as narrow as the encoder, which halves its cost.
Normalisation is batch normalisation, whose statistics are stored: at inference it is a constant affine map that is
folded into the convolutions, so that the output of a voxel depends on its receptive field and on nothing else.

Tensor names end in their dimensions: B batch, C channel, Z Y X space.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pipeline.nn.plan import Level, NetworkPlan
from pipeline.volume.geometry import Zyx


class ConvNorm(nn.Module):
    """A convolution that keeps the size, and its normalisation."""

    def __init__(self, inputs: int, outputs: int, kernel_zyx: Zyx) -> None:
        super().__init__()
        z, y, x = (edge // 2 for edge in kernel_zyx)
        self.convolution = nn.Conv3d(inputs, outputs, kernel_zyx, padding=(z, y, x), bias=False)
        self.norm: nn.Module = nn.BatchNorm3d(outputs)

    def forward(self, features_BCZYX: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.convolution(features_BCZYX))
        return normed

    def fold(self) -> None:
        """Fold the stored statistics into the convolution; only for a network in evaluation mode."""
        if isinstance(self.norm, nn.BatchNorm3d):
            self.convolution = fuse_conv_bn_eval(self.convolution, self.norm)
            self.norm = nn.Identity()


class ResidualBlock(nn.Module):
    """One convolution, and the others as a residual around it."""

    def __init__(self, inputs: int, level: Level) -> None:
        super().__init__()
        first, *rest = level.kernels_zyx
        self.entry = ConvNorm(inputs, level.features, first)
        self.rest = nn.ModuleList(ConvNorm(level.features, level.features, kernel) for kernel in rest)

    def forward(self, features_BCZYX: Tensor) -> Tensor:
        # In place wherever the gradient needs no value that is lost: it halves what a block holds at once.
        entry = torch.relu_(self.entry(features_BCZYX))
        residual = entry
        for index, convolution in enumerate(self.rest):
            residual = convolution(residual if index == 0 else torch.relu_(residual))
        return torch.relu_(residual.add_(entry)) if self.rest else entry


class Upsample(nn.Module):
    """To the next finer level: fewer channels at the coarse level, then each voxel is repeated.

    The output of a voxel depends on one coarse voxel only, so blocks need no further halo here.
    """

    def __init__(self, inputs: int, outputs: int, factor_zyx: Zyx) -> None:
        super().__init__()
        self.project = nn.Conv3d(inputs, outputs, 1)
        self.grow = nn.Upsample(scale_factor=tuple(float(factor) for factor in factor_zyx), mode="nearest")

    def forward(self, features_BCZYX: Tensor) -> Tensor:
        grown: Tensor = self.grow(self.project(features_BCZYX))
        return grown


class UNet(nn.Module):
    """The network of a plan: image (B, inputs, Z, Y, X) to logits (B, outputs, Z, Y, X).

    The edges of the image must be multiples of ``plan.stride_zyx``. `pipeline.nn.sweep` computes blocks of a larger
    volume.
    """

    def __init__(self, plan: NetworkPlan) -> None:
        super().__init__()
        self.plan = plan
        levels = plan.levels
        inputs = [plan.inputs, *(level.features for level in levels[:-1])]
        self.encoder = nn.ModuleList(ResidualBlock(count, level) for count, level in zip(inputs, levels, strict=True))
        self.pools = nn.ModuleList(nn.MaxPool3d(level.pool_zyx, level.pool_zyx) for level in levels[:-1])
        self.upsample = nn.ModuleList(
            Upsample(coarse.features, fine.features, fine.pool_zyx) for fine, coarse in pairwise(levels)
        )
        self.decoder = nn.ModuleList(ResidualBlock(level.features, level) for level in levels[:-1])
        heads = len(levels) - 1 if plan.deep_supervision else 1
        self.heads = nn.ModuleList(nn.Conv3d(level.features, plan.outputs, 1) for level in levels[: max(heads, 1)])

    def forward(self, image_BCZYX: Tensor) -> Tensor:
        """Logits of the image."""
        logits: Tensor = self.heads[0](self._decode(image_BCZYX)[0])
        return logits

    def forward_deep(self, image_BCZYX: Tensor) -> list[Tensor]:
        """Logits of every supervised level, fine to coarse."""
        decoded = self._decode(image_BCZYX)
        return [head(features) for head, features in zip(self.heads, decoded, strict=False)]

    def deep(self) -> nn.Module:
        """A module around the network whose call is `forward_deep`."""
        return _Deep(self)

    def _decode(self, image_BCZYX: Tensor) -> list[Tensor]:
        """The decoder's features of every level, fine to coarse."""
        *skips, features_BCZYX = self._encode(image_BCZYX)
        decoded = [features_BCZYX]
        for index in reversed(range(len(self.decoder))):
            grown: Tensor = self.upsample[index](features_BCZYX)
            features_BCZYX = self.decoder[index](grown.add_(skips[index]))
            decoded.append(features_BCZYX)
        return decoded[::-1]

    def _encode(self, image_BCZYX: Tensor) -> list[Tensor]:
        """The encoder's features of every level, fine to coarse."""
        encoded = [self.encoder[0](image_BCZYX)]
        for pool, block in zip(self.pools, list(self.encoder)[1:], strict=True):
            encoded.append(block(pool(encoded[-1])))
        return encoded

    def fold_norms(self) -> None:
        """Make normalisation part of the convolutions, for inference."""
        self.eval()
        for module in self.modules():
            if isinstance(module, ConvNorm):
                module.fold()


class _Deep(nn.Module):
    def __init__(self, network: UNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image_BCZYX: Tensor) -> list[Tensor]:
        return self.network.forward_deep(image_BCZYX)
