"""Train, validation and test regions of a capture, with guard bands between them.

A network that is scored on voxels it has seen in training, even as context, is scored too well. Between the parts lie
bands at least as wide as the receptive field that belong to none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from pipeline.errors import ConfigError
from pipeline.volume.geometry import Block, Zyx, zyx

Part = Literal["train", "validation", "test"]
PART_IDS: dict[Part, int] = {"train": 1, "validation": 2, "test": 3}
"""Values of the split volume; 0 is the guard and what no part takes."""
AXES = "zyx"


@dataclass(frozen=True)
class Region:
    """A box of a capture that goes to one part: ranges of voxels, end excluded; None is all of the axis."""

    part: Part
    capture: str | None = None
    """None: every capture."""
    z: tuple[int, int] | None = None
    y: tuple[int, int] | None = None
    x: tuple[int, int] | None = None


@dataclass(frozen=True)
class Fractions:
    """Shares of the parts along an axis, guard bands aside; they add up to 1."""

    train: float = 0.6
    validation: float = 0.15
    test: float = 0.25


@dataclass(frozen=True)
class SplitSettings:
    """How captures are cut: by fractions along an axis, or into boxes."""

    axis: Literal["auto", "z", "y", "x"] = "auto"
    """auto: of the axes with room for all parts, the one that loses the smallest share to guard bands."""
    fractions: Fractions = Fractions()
    regions: tuple[Region, ...] = ()
    """Where there are any, they count and the fractions do not."""


@dataclass(frozen=True)
class Parts:
    """Disjoint blocks of one capture."""

    train: tuple[Block, ...]
    validation: tuple[Block, ...]
    test: tuple[Block, ...]

    def of(self, part: Part) -> tuple[Block, ...]:
        """The blocks of a part."""
        blocks: tuple[Block, ...] = getattr(self, part)
        return blocks


def split_capture(name: str, shape_zyx: Zyx, settings: SplitSettings, guard_zyx: Zyx) -> Parts:
    """Cut a capture into parts.

    Args:
        name: of the capture, for regions and messages.
        shape_zyx: voxels of the capture.
        settings: fractions along an axis, or boxes.
        guard_zyx: voxels that must lie between two parts along at least one axis.

    Raises:
        ConfigError: there is no room for the guard bands, or a region lies outside the capture.
    """
    if settings.regions:
        return _from_regions(name, Block.of_shape(shape_zyx), settings.regions, guard_zyx)
    return _from_fractions(name, shape_zyx, settings, guard_zyx)


def _from_fractions(name: str, shape_zyx: Zyx, settings: SplitSettings, guard_zyx: Zyx) -> Parts:
    usable_zyx = zyx([n - 2 * guard for n, guard in zip(shape_zyx, guard_zyx, strict=True)], "usable")
    shares_zyx = [_lengths(usable, settings.fractions) for usable in usable_zyx]
    if settings.axis == "auto":
        axis = _cut_axis(shape_zyx, usable_zyx, [min(lengths) > 0 for lengths in shares_zyx])
    else:
        axis = AXES.index(settings.axis)
    usable, lengths = usable_zyx[axis], shares_zyx[axis]
    if min(lengths) < 1:
        raise ConfigError(
            f"split: capture {name!r} has {shape_zyx[axis]} voxels along {AXES[axis]}; two guard bands of "
            f"{guard_zyx[axis]} (the receptive field of the network) leave {max(usable, 0)} to share out. Take fewer "
            "levels in network.features, a smaller network.z_context_slices, another split.axis, or give whole "
            "captures to the parts with split.regions."
        )
    blocks, start = [], 0
    for length in lengths:
        blocks.append(_slab(shape_zyx, axis, start, start + length))
        start += length + guard_zyx[axis]
    return Parts(*((block,) for block in blocks))


def _cut_axis(shape_zyx: Zyx, usable_zyx: Zyx, has_room: Sequence[bool]) -> int:
    """Of the axes with room for all parts, the last of those that lose the smallest share to guard bands."""
    return max(range(3), key=lambda axis: (has_room[axis], usable_zyx[axis] / shape_zyx[axis], axis))


def _lengths(usable: int, fractions: Fractions) -> tuple[int, int, int]:
    train = round(usable * fractions.train)
    validation = round(usable * fractions.validation)
    return train, validation, usable - train - validation


def _slab(shape_zyx: Zyx, axis: int, start: int, stop: int) -> Block:
    low, high = [0, 0, 0], list(shape_zyx)
    low[axis], high[axis] = start, stop
    return Block(zyx(low, "start"), zyx(high, "stop"))


def _from_regions(name: str, volume: Block, regions: Sequence[Region], guard_zyx: Zyx) -> Parts:
    wanted: dict[Part, list[Block]] = {part: [] for part in PART_IDS}
    for index, region in enumerate(regions):
        if region.capture in (None, name):
            wanted[region.part].append(_box(region, index, name, volume))
    test = _disjoint(wanted["test"])
    validation = _without(_disjoint(wanted["validation"]), test, guard_zyx)
    train = _without(_without(_disjoint(wanted["train"]), test, guard_zyx), validation, guard_zyx)
    parts = Parts(tuple(train), tuple(validation), tuple(test))
    for part, boxes in wanted.items():
        if boxes and not parts.of(part):
            raise ConfigError(
                f"split.regions: guard bands of {guard_zyx} voxels (z, y, x; the receptive field of the network) leave "
                f"nothing of the {part} part of capture {name!r}. Move its regions farther from the others, or take "
                "fewer levels in network.features or a smaller network.z_context_slices."
            )
    return parts


def _box(region: Region, index: int, name: str, volume: Block) -> Block:
    start, stop = list(volume.start_zyx), list(volume.stop_zyx)
    for axis, key in enumerate(AXES):
        limits: tuple[int, int] | None = getattr(region, key)
        if limits is None:
            continue
        if not 0 <= limits[0] < limits[1] <= volume.stop_zyx[axis]:
            raise ConfigError(
                f"split.regions.{index}.{key}: {list(limits)} is no range within the {volume.stop_zyx[axis]} voxels "
                f"of capture {name!r}; give [first, one past the last]"
            )
        start[axis], stop[axis] = limits
    return Block(zyx(start, "start"), zyx(stop, "stop"))


def _disjoint(blocks: Sequence[Block]) -> list[Block]:
    """The same voxels, each in one block only."""
    apart: list[Block] = []
    for block in blocks:
        apart.extend(_without([block], apart, (0, 0, 0)))
    return apart


def _without(blocks: Sequence[Block], holes: Sequence[Block], guard_zyx: Zyx) -> list[Block]:
    """The voxels of ``blocks`` that lie farther than the guard from every hole."""
    left = list(blocks)
    for hole in holes:
        kept = hole.grow(guard_zyx)
        left = [piece for block in left for piece in _subtract(block, kept)]
    return left


def _subtract(block: Block, hole: Block) -> Iterator[Block]:
    """The block's voxels outside the hole, as up to six blocks."""
    inside = block.intersect(hole)
    if inside is None:
        yield block
        return
    low, high = list(block.start_zyx), list(block.stop_zyx)
    for axis, side in product(range(3), ("before", "after")):
        edge = inside.start_zyx[axis] if side == "before" else inside.stop_zyx[axis]
        start, stop = list(low), list(high)
        if side == "before":
            stop[axis], low[axis] = edge, edge
        else:
            start[axis], high[axis] = edge, edge
        if start[axis] < stop[axis]:
            yield Block(zyx(start, "start"), zyx(stop, "stop"))
