"""The forward pass of a block slab by slab, each voxel of each level computed once.

The block is swept along its first axis. Planes of the image come in order; every layer computes what they allow for and
keeps what it will ask for again: of what a convolution of three sees, two planes, and the skips until the coarser
levels have caught up. So what is held at once depends on the cross-section of the block and not on its length::

    image        ...........====>           a slab of new planes
    encoder 0    .........====>
    encoder 1    ......====>
    decoder 1    ..====>                    the coarse levels lag behind by their halo
    decoder 0    ====>                      the skips of encoder 0 have waited for it

The numbers are those of `UNet.forward`. Along the sweep a convolution sees zeros beyond the faces of the volume, and
elsewhere the voxels that are there. Across it the planes are padded, and `Regions` says what is to be cropped away.

Features are (Z, Y, X, C) here: planes follow each other in memory, and the channels of a voxel lie side by side.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.nn.regions import Regions, level_extents, scale
from pipeline.nn.unet import ConvNorm, ResidualBlock, UNet, Upsample
from pipeline.volume.geometry import Block, Zyx

Kind = TypeVar("Kind", bound=nn.Module)

# oneDNN is fast for images of so few channels in two dimensions and slow in three: planes become channels.
_FEW_CHANNELS = 4


@dataclass(frozen=True)
class Slab:
    """Planes (Z, Y, X, C) from ``start`` on."""

    start: int
    planes: Tensor

    @property
    def stop(self) -> int:
        """The plane after the last one."""
        return self.start + len(self.planes)

    def crop(self, have: Block, want: Block) -> Slab | None:
        """What lies within ``want``, of planes that cover ``have``; None without any."""
        near, far = max(want.start_zyx[0], self.start), min(want.stop_zyx[0], self.stop)
        if near >= far:
            return None
        _, rows, columns = want.relative_to(have).slices
        return Slab(near, self.planes[near - self.start : far - self.start, rows, columns])


@dataclass(frozen=True)
class Coming:
    """Planes yet to be written, to where their reader wants them: the last operation on them saves it a copy."""

    shape_zyxc: tuple[int, ...]
    write: Callable[[Tensor], object]

    @classmethod
    def copied(cls, planes_ZYXC: Tensor) -> Coming:
        """Planes that are there already."""
        return cls(tuple(planes_ZYXC.shape), lambda out: out.copy_(planes_ZYXC))


class Sweep:
    """One pass of a network over a block.

    Args:
        network: with folded norms.
        regions: of the block, as the network's plan asks for.
        volume_zyx: edges of the volume, multiples of the stride.
    """

    def __init__(self, network: UNet, regions: Regions, volume_zyx: Zyx) -> None:
        self._finest = _Level(network, regions, level_extents(network.plan, volume_zyx), 0)
        self._core = regions.core
        head = network.heads[0]
        assert isinstance(head, nn.Conv3d)
        assert head.bias is not None
        self._weight_OC, self._bias_O1 = head.weight.flatten(1), head.bias[:, None]

    def push(self, image_ZYXC: Tensor) -> tuple[Block, Tensor] | None:
        """Take the next planes of ``regions.input``, and give the part of the block that they complete, if any.

        Returns:
            The part, and its logits (C, Z, Y, X).
        """
        slab = self._finest.push(Coming.copied(image_ZYXC))
        if slab is None:
            return None
        logits_OV = torch.addmm(self._bias_O1, self._weight_OC, slab.planes.flatten(0, 2).t())
        (_, *start), (_, *stop) = self._core.start_zyx, self._core.stop_zyx
        part = Block((slab.start, start[0], start[1]), (slab.stop, stop[0], stop[1]))
        return part, logits_OV.view(-1, *part.shape_zyx)


class _Level:
    """A level and those below it: from planes of its input to the planes that are asked of its decoder."""

    def __init__(self, network: UNet, regions: Regions, extents: list[Block], index: int) -> None:
        extent, entering = extents[index].stop_zyx[0], regions.encoder_input[index]
        self._entering = entering
        self._encoder = _Residual(_module(network.encoder[index], ResidualBlock), entering.start_zyx[0], extent)
        self._below: _Level | None = None
        self._asked = regions.encoded[index]
        if index + 1 < len(extents):
            self._below = _Level(network, regions, extents, index + 1)
            self._pool = _Pool(regions, network.plan.levels[index].pool_zyx, index)
            self._join = _Join(_module(network.upsample[index], Upsample), network.plan.levels[index].pool_zyx)
            self._joined, self._asked = regions.decoder_input[index], regions.decoded[index]
            self._decoder = _Residual(_module(network.decoder[index], ResidualBlock), self._joined.start_zyx[0], extent)

    def push(self, coming: Coming) -> Slab | None:
        """Take the next planes of the input; give those that they complete."""
        encoded = self._encoder.push(coming)
        if encoded is None or self._below is None:
            return encoded and encoded.crop(self._entering, self._asked)
        self._join.wait(encoded.crop(self._entering, self._joined))
        pooled = self._pool.push(encoded)
        coarse = None if pooled is None else self._below.push(Coming.copied(pooled))
        decoded = None if coarse is None else self._decoder.push(self._join.push(coarse))
        return decoded and decoded.crop(self._joined, self._asked)


class _Pool:
    """Largest values of windows of ``pool_zyx`` voxels; a window that is not whole yet waits."""

    def __init__(self, regions: Regions, pool_zyx: Zyx, index: int) -> None:
        self._have = regions.encoder_input[index]
        self._want = scale(regions.encoder_input[index + 1], pool_zyx)
        self._pool_zyx = pool_zyx
        self._begun: Tensor | None = None

    def push(self, slab: Slab) -> Tensor | None:
        z, y, x = self._pool_zyx
        wanted = slab.crop(self._have, self._want)
        if wanted is None:
            return None
        planes = _largest(_largest(wanted.planes, 2, x), 1, y)
        if self._begun is not None:
            planes = torch.cat([self._begun, planes])
        whole = len(planes) // z * z
        self._begun = planes[whole:].clone() if whole < len(planes) else None
        return _largest(planes[:whole], 0, z) if whole else None


class _Join:
    """Coarse planes, projected to fewer channels and repeated, on top of the skips that have waited for them."""

    def __init__(self, upsample: Upsample, factor_zyx: Zyx) -> None:
        self._factor_zyx, repeats = factor_zyx, factor_zyx[2]
        project = upsample.project
        assert project.bias is not None
        # Repeating the outputs repeats each voxel along x.
        self._weight_CO, self._bias_O = project.weight.flatten(1).repeat(repeats, 1).t(), project.bias.repeat(repeats)
        self._skips: deque[Tensor] = deque()

    def wait(self, skip: Slab | None) -> None:
        """Keep the planes of a skip, each on its own: it is freed as soon as it is used."""
        if skip is not None:
            self._skips.extend(skip.planes)

    def push(self, coarse: Slab) -> Coming:
        z, y, x = self._factor_zyx
        planes, rows, columns, _ = coarse.planes.shape
        grown = torch.addmm(self._bias_O, coarse.planes.flatten(0, 2), self._weight_CO).view(planes, rows, 1, -1)

        def add(out_ZYXC: Tensor) -> None:
            for index, out in enumerate(out_ZYXC):
                skip, shape = self._skips.popleft(), (rows, y, -1)
                torch.add(skip.flatten(1).view(shape), grown[index // z], out=out.view(shape))

        return Coming((planes * z, rows * y, columns * x, len(self._bias_O) // x), add)


class _Residual:
    """The convolutions of a residual block, each with what it has to keep."""

    def __init__(self, block: ResidualBlock, start: int, extent: int) -> None:
        rest = [_module(each, ConvNorm) for each in block.rest]
        # The sum takes from the first one's planes what the last one has caught up with.
        lags = [sum(_radius(each) for each in rest[1:]), *(0 for _ in rest[1:])]
        self._entry = _Convolution(block.entry, start, extent)
        self._rest = []
        start = self._entry.next
        for each, lag in zip(rest, lags, strict=False):
            self._rest.append(_Convolution(each, start, extent, lag))
            start = self._rest[-1].next

    def push(self, coming: Coming) -> Slab | None:
        _, made = self._entry.push(coming)
        entry: Slab | None = None
        for convolution in self._rest:
            if made is None:
                return None
            seen, made = convolution.push(_rectified(made.planes))
            entry = entry or seen
        if made is None:
            return None
        if entry is not None:
            made.planes.add_(entry.planes[made.start - entry.start : made.stop - entry.start])
        return Slab(made.start, made.planes.relu_())


class _Convolution:
    """A convolution that sees its input slab by slab.

    Args:
        norm: the convolution, its norm folded.
        start: the first plane that comes.
        extent: planes of the volume; beyond them, and before plane 0, are zeros.
        lag: how many planes before its next output are asked for by others.
    """

    def __init__(self, norm: ConvNorm, start: int, extent: int, lag: int = 0) -> None:
        self._convolution, self._radius, self._extent = norm.convolution, _radius(norm), extent
        self._kept_before = max(self._radius, lag)
        self.next = start if start == 0 else start + self._radius
        self._start = start if start else -self._radius
        self._kept: Tensor | None = None

    def push(self, coming: Coming) -> tuple[Slab, Slab | None]:
        """Take the next planes; give all those that it has, and what it makes of them, if they are enough."""
        seen = self._joined(coming)
        del coming
        first, self.next = self.next, max(self.next, seen.stop - self._radius)
        self._start = max(seen.start, self.next - self._kept_before)
        self._kept = seen.planes[self._start - seen.start :].clone()
        if first == self.next:
            return seen, None
        planes = seen.planes[first - self._radius - seen.start : self.next + self._radius - seen.start]
        return seen, Slab(first, _convolved(planes, self._convolution))

    def _joined(self, coming: Coming) -> Slab:
        """What is kept, what comes, and zeros for what lies beyond the volume."""
        count, *across = coming.shape_zyxc
        begun = 0 if self._kept is None else len(self._kept)
        before = self._radius if self._kept is None and self._start < 0 else 0
        stop = self._start + begun + before + count
        beyond = self._radius if stop == self._extent else 0
        planes = self._convolution.weight.new_empty((begun + before + count + beyond, *across))
        if self._kept is not None:
            planes[:begun] = self._kept
        planes[:before] = 0
        coming.write(planes[begun + before : begun + before + count])
        planes[begun + before + count :] = 0
        return Slab(self._start, planes)


def _convolved(planes_ZYXC: Tensor, convolution: nn.Conv3d) -> Tensor:
    """The planes (Z, Y, X, C) that a convolution makes, padded across them but not along them."""
    weight, bias = convolution.weight, convolution.bias
    _, channels, depth, height, width = weight.shape
    if channels <= _FEW_CHANNELS:
        windows_BCYX = planes_ZYXC.unfold(0, depth, 1).flatten(3).movedim(-1, 1)
        flat = weight.flatten(1, 2).contiguous(memory_format=torch.channels_last)
        return F.conv2d(windows_BCYX, flat, bias, padding=(height // 2, width // 2)).movedim(1, -1)
    features_BCZYX, padding = planes_ZYXC[None].movedim(-1, 1), (0, height // 2, width // 2)
    if weight.device.type == "cpu" and weight.dtype == torch.float32 and _has_onednn():
        # F.conv3d leaves oneDNN for a fall-back ten times slower where an input of one sample is small.
        convolved = torch.mkldnn_convolution(features_BCZYX, weight, bias, padding, (1, 1, 1), (1, 1, 1), 1)
    else:
        convolved = F.conv3d(features_BCZYX, weight, bias, padding=padding)
    return convolved[0].movedim(0, -1)


def _has_onednn() -> bool:
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def _rectified(planes: Tensor) -> Coming:
    return Coming(tuple(planes.shape), lambda out: torch.clamp_min(planes, 0, out=out))


def _largest(planes: Tensor, axis: int, window: int) -> Tensor:
    """Largest values of windows along an axis."""
    every = [slice(None)] * axis
    return reduce(torch.maximum, (planes[(*every, slice(first, None, window))] for first in range(window)))


def _radius(norm: ConvNorm) -> int:
    """How many planes a convolution sees to each side."""
    return norm.convolution.kernel_size[0] // 2


def _module(module: nn.Module, kind: type[Kind]) -> Kind:
    """A member of a list of modules, which do not tell their types."""
    assert isinstance(module, kind)
    return module
