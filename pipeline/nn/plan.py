"""The shape of a U-Net, decided from the voxel size and the extent of the data, before any weight exists.

Voxels of serial sections are up to ten times longer in z than in the plane. The plan therefore works in the plane
alone (kernels 1 × 3 × 3, pooling 1 × 2 × 2) until the pooled voxel is nearly isotropic, and only then in all three
axes, as nnU-Net does (Isensee et al., Nature Methods 18, 203-211, 2021).

A plan is plain data: it is written to ``model.json`` as JSON, and two plans can be compared with ``diff``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pipeline.errors import ConfigError
from pipeline.volume.geometry import Zyx, ZyxNm, zyx

Head = Literal["softmax", "sigmoid"]

# An axis is pooled, or gets a kernel of 3, while its voxels are less than this many times the smallest voxel edge.
NEAR_ISOTROPIC = 2.0
# Fewer voxels than this along an axis at the coarsest level leave nothing to convolve over.
SMALLEST_COARSE_EXTENT = 4


@dataclass(frozen=True)
class Level:
    """One resolution of the U-Net: its convolutions (encoder and decoder alike) and the pooling below it."""

    features: int
    kernels_zyx: tuple[Zyx, ...]
    """One kernel a convolution; every edge is odd."""
    pool_zyx: Zyx
    """Pooling from this level to the next coarser one; (1, 1, 1) at the coarsest."""

    @property
    def radius_zyx(self) -> Zyx:
        """How far, in voxels of this level, the convolutions of this level see to each side."""
        z, y, x = (sum(kernel[axis] // 2 for kernel in self.kernels_zyx) for axis in range(3))
        return z, y, x


@dataclass(frozen=True)
class NetworkPlan:
    """A U-Net: levels from fine to coarse, input channels, output channels and what turns logits into classes."""

    levels: tuple[Level, ...]
    outputs: int
    head: Head
    inputs: int = 1
    deep_supervision: bool = False

    def __post_init__(self) -> None:
        if not self.levels:
            raise ConfigError("network: a plan needs at least one level")
        if self.levels[-1].pool_zyx != (1, 1, 1):
            raise ConfigError("network: the coarsest level cannot be pooled further")

    @property
    def stride_zyx(self) -> Zyx:
        """Voxels of the input per voxel of the coarsest level; the network is translation-invariant up to it."""
        return self.level_stride_zyx(len(self.levels) - 1)

    def level_stride_zyx(self, index: int) -> Zyx:
        """Voxels of the input per voxel of level ``index``."""
        z, y, x = (math.prod(level.pool_zyx[axis] for level in self.levels[:index]) for axis in range(3))
        return z, y, x

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON-ready data; ``from_json`` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> NetworkPlan:
        """Rebuild a plan from ``to_json``'s data."""
        levels = tuple(
            Level(
                features=level["features"],
                kernels_zyx=tuple(zyx(kernel, "kernel") for kernel in level["kernels_zyx"]),
                pool_zyx=zyx(level["pool_zyx"], "pool"),
            )
            for level in data["levels"]
        )
        return cls(**{**data, "levels": levels})


def plan_network(
    *,
    voxel_size_nm: ZyxNm,
    extent_zyx: Zyx,
    outputs: int,
    head: Head,
    features: Sequence[int],
    convolutions_per_level: int = 2,
    z_context_slices: int | None = None,
    deep_supervision: bool = False,
) -> NetworkPlan:
    """Plan a U-Net for data of this voxel size.

    Args:
        voxel_size_nm: edge lengths z, y, x of a voxel.
        extent_zyx: voxels of the training patch; no axis is pooled below ``SMALLEST_COARSE_EXTENT``.
        outputs: channels of the output, one a class.
        head: ``softmax`` for exclusive classes, ``sigmoid`` for overlapping or one-vs-rest ones.
        features: channels of each level, fine to coarse; its length is the number of levels.
        convolutions_per_level: convolutions in each block.
        z_context_slices: slices that the network may see to each side of a voxel's own; None: as many as the levels
            ask for, 0: each slice on its own. The coarse levels spend the budget first, where a look at the
            neighbouring slice costs least and depends least on exact alignment.
        deep_supervision: whether the coarser decoder levels carry a training loss too.
    """
    pools = _pools(voxel_size_nm, extent_zyx, len(features))
    kernels = _kernels(voxel_size_nm, extent_zyx, pools)
    levels = [
        Level(count, (kernel,) * convolutions_per_level, pool)
        for count, kernel, pool in zip(features, kernels, pools, strict=True)
    ]
    if z_context_slices is not None:
        levels = _within_z_context(levels, z_context_slices)
    return NetworkPlan(tuple(levels), outputs=outputs, head=head, deep_supervision=deep_supervision)


def _pools(voxel_size_nm: Sequence[float], extent_zyx: Zyx, levels: int) -> list[Zyx]:
    size, extent = list(voxel_size_nm), list(extent_zyx)
    pools: list[Zyx] = []
    for _ in range(levels - 1):
        # An axis too short to pool keeps its fine voxels; the others must not wait for it.
        long = [axis for axis in range(3) if extent[axis] // 2 >= SMALLEST_COARSE_EXTENT]
        if not long:
            raise ConfigError(
                f"network.features: {levels} levels are too many for a patch of {extent_zyx} voxels (z, y, x): "
                f"level {len(pools)} is down to {tuple(extent)}. Use fewer levels or a larger training.patch_zyx."
            )
        pool = [2 if axis in _finest(size, long) else 1 for axis in range(3)]
        size = [edge * factor for edge, factor in zip(size, pool, strict=True)]
        extent = [count // factor for count, factor in zip(extent, pool, strict=True)]
        pools.append(zyx(pool, "pool"))
    return [*pools, (1, 1, 1)]


def _kernels(voxel_size_nm: Sequence[float], extent_zyx: Zyx, pools: Sequence[Zyx]) -> list[Zyx]:
    size, kernels = list(voxel_size_nm), []
    deep = [axis for axis in range(3) if extent_zyx[axis] > 1]
    wide: set[int] = set()
    for pool in pools:
        # An axis that is convolved over stays so: where another is too short to pool, sizes part again.
        wide |= _finest(size, deep)
        kernels.append(zyx([3 if axis in wide else 1 for axis in range(3)], "kernel"))
        size = [edge * factor for edge, factor in zip(size, pool, strict=True)]
    return kernels


def _finest(size_nm: Sequence[float], axes: Sequence[int]) -> set[int]:
    """Those of the axes whose voxels are nearly as short as the shortest among them."""
    shortest = min((size_nm[axis] for axis in axes), default=0.0)
    return {axis for axis in axes if size_nm[axis] < NEAR_ISOTROPIC * shortest}


def _within_z_context(levels: list[Level], budget_slices: int) -> list[Level]:
    """The levels, flattened in z, fine ones first, until the network sees no more than ``budget_slices`` to a side.

    Where they ask for more, nothing is pooled in z: a pooled slice would bring in all slices of its window.
    """
    if _z_reach(levels) <= budget_slices:
        return levels
    spent, kept = 0, list(levels)
    for index in reversed(range(len(levels))):
        passes = 1 if index == len(levels) - 1 else 2
        kernels = list(levels[index].kernels_zyx)
        for position, (z, y, x) in enumerate(kernels):
            cost = (z // 2) * passes
            if spent + cost > budget_slices:
                kernels[position] = (1, y, x)
            else:
                spent += cost
        kept[index] = Level(levels[index].features, tuple(kernels), (1, *levels[index].pool_zyx[1:]))
    return kept


def _z_reach(levels: Sequence[Level]) -> int:
    """Slices to a side that the levels see at most: their convolutions, down and up again, and the pooled windows."""
    reach, stride = 0, 1
    for index, level in enumerate(levels):
        reach += level.radius_zyx[0] * stride * (1 if index == len(levels) - 1 else 2)
        stride *= level.pool_zyx[0]
    return reach + stride - 1
