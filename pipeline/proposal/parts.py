"""Train, validation and test: of all ways to cut the stacks, the one in which most classes are in every part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from pipeline.proposal.classes import ProposedClass
from pipeline.proposal.fingerprint import Fingerprint, Profile
from pipeline.volume.geometry import Zyx
from pipeline.volume.split import AXES, Part, Region

ORDER: tuple[Part, ...] = ("train", "validation", "test")
SHARES: dict[tuple[Part, ...], dict[Part, float]] = {
    ("train", "validation", "test"): {"train": 0.6, "validation": 0.15, "test": 0.25},
    ("train", "validation"): {"train": 0.8, "validation": 0.2},
    ("validation", "test"): {"validation": 0.4, "test": 0.6},
}
"""Of a stack that is cut into these parts."""
LEAST_TRAIN = 0.4
"""Of the voxels, where whole stacks are given to the parts."""


@dataclass(frozen=True)
class ProposedParts:
    """The regions, and what they hold."""

    regions: tuple[Region, ...]
    kept: float
    """Share of the voxels that lie in a part: the others are guard bands."""
    voxels: dict[Part, tuple[int, ...]]
    """Of each class."""
    why: str

    def lacking(self, part: Part, classes: Sequence[ProposedClass]) -> list[str]:
        """The classes of which a part has no voxel."""
        return [each.name for each, count in zip(classes, self.voxels[part], strict=True) if not count]


def propose_parts(
    stacks: Sequence[Fingerprint], classes: Sequence[ProposedClass], guard_zyx: Zyx
) -> ProposedParts | None:
    """Cut stacks into parts.

    Args:
        stacks: of which those for any part are cut into all that no other stack is for.
        classes: that each part should hold.
        guard_zyx: voxels between two parts.

    Returns:
        None where there is no room for three parts that hold labels, or training would lack a class.
    """
    groups: list[tuple[list[Fingerprint], tuple[Part, ...]]] = []
    any_part, validation, test = (
        [stack for stack in stacks if stack.role == role] for role in ("any", "validation", "test")
    )
    if test:
        groups.append((any_part, ("train",) if validation else ("train", "validation")))
        if validation:
            groups.append((validation, ("validation",)))
        groups.append((test, ("test",)))
    elif validation:
        groups += [(any_part, ("train",)), (validation, ("validation", "test"))]
    else:
        groups.append((any_part, ORDER))
    chosen = [_best(group, parts, classes, guard_zyx) for group, parts in groups]
    found = [each for each in chosen if each is not None]
    if len(found) < len(chosen):
        return None
    regions = tuple(region for each in found for region in each)
    counted = {part: _count(stacks, regions, part, classes) for part in ORDER}
    if not all(counted["train"]) or not all(sum(counts) for counts in counted.values()):
        return None
    return ProposedParts(regions, _kept(stacks, regions), counted, _reason(regions, guard_zyx, has_test=bool(test)))


def _best(
    stacks: Sequence[Fingerprint], parts: Sequence[Part], classes: Sequence[ProposedClass], guard_zyx: Zyx
) -> tuple[Region, ...] | None:
    def worth(regions: tuple[Region, ...]) -> tuple[float, ...]:
        held = {part: _count(stacks, regions, part, classes) for part in parts}
        present = {part: sum(count > 0 for count in counts) for part, counts in held.items()}
        # Train before test before validation: what is not learnt cannot be scored, what is not scored is unknown.
        wanted = [present[part] for part in ("train", "test", "validation") if part in present]
        usual = [region.part for region in regions] == sorted((r.part for r in regions), key=ORDER.index)
        return (min(sum(counts) > 0 for counts in held.values()), *wanted, round(20 * _kept(stacks, regions)), usual)

    candidates = list(_candidates(stacks, parts, guard_zyx))
    return max(candidates, key=worth) if candidates else None


def _candidates(stacks: Sequence[Fingerprint], parts: Sequence[Part], guard_zyx: Zyx) -> Iterator[tuple[Region, ...]]:
    if len(parts) == 1:
        yield tuple(Region(parts[0], stack.name) for stack in stacks)
        return
    if len(stacks) >= len(parts) > 1:
        yield from _whole_stacks(stacks, parts)
    for axis in (2, 1, 0):
        for order in permutations(parts):
            cut = [_slabs(stack, axis, order, SHARES[tuple(parts)], guard_zyx[axis]) for stack in stacks]
            if all(cut):
                yield tuple(region for regions in cut for region in regions)


def _whole_stacks(stacks: Sequence[Fingerprint], parts: Sequence[Part]) -> Iterator[tuple[Region, ...]]:
    total = sum(_size(stack) for stack in stacks)
    for held_out in permutations(stacks, len(parts) - 1):
        kept_for = dict(zip((stack.name for stack in held_out), parts[1:], strict=True))
        regions = tuple(Region(kept_for.get(stack.name, parts[0]), stack.name) for stack in stacks)
        if total - sum(_size(stack) for stack in held_out) >= LEAST_TRAIN * total:
            yield regions


def _slabs(
    stack: Fingerprint, axis: int, order: Sequence[Part], shares: Mapping[Part, float], guard: int
) -> tuple[Region, ...]:
    """One behind the other, guard bands between; none where there is no room."""
    usable = stack.shape_zyx[axis] - (len(order) - 1) * guard
    lengths = [round(usable * shares[part]) for part in order[:-1]]
    lengths.append(usable - sum(lengths))
    if min(lengths) < 1:
        return ()
    regions, start = [], 0
    for part, length in zip(order, lengths, strict=True):
        regions.append(Region(part, stack.name, **{AXES[axis]: (start, start + length)}))
        start += length + guard
    return tuple(regions)


def _count(
    stacks: Sequence[Fingerprint], regions: Sequence[Region], part: Part, classes: Sequence[ProposedClass]
) -> tuple[int, ...]:
    """Labelled voxels of each class in a part: regions are slabs, so that a profile says all of it."""
    by_name = {stack.name: stack for stack in stacks}
    counts = [0] * len(classes)
    for region in regions:
        if region.part == part and region.capture in by_name:
            stack = by_name[str(region.capture)]
            for index, each in enumerate(classes):
                counts[index] += _in_slab(stack, region, each)
    return tuple(counts)


def _in_slab(stack: Fingerprint, region: Region, each: ProposedClass) -> int:
    axis = next((index for index, name in enumerate(AXES) if getattr(region, name)), 0)
    start, stop = getattr(region, AXES[axis]) or (0, stack.shape_zyx[axis])

    def held(profile: Profile) -> int:
        return int(profile[axis][start:stop].sum())

    if each.fill:  # what no mask covers, as if it were spread evenly
        return round(stack.uncovered * (stop - start) / stack.shape_zyx[axis])
    return sum(held(stack.profiles[id_]) for id_ in each.counted_as if id_ in stack.profiles)


def _size(stack: Fingerprint) -> int:
    z, y, x = stack.shape_zyx
    return z * y * x


def _kept(stacks: Sequence[Fingerprint], regions: Sequence[Region]) -> float:
    by_name = {stack.name: stack for stack in stacks}
    kept = 0
    for region in regions:
        stack = by_name.get(str(region.capture))
        if stack is not None:
            spans = [getattr(region, name) or (0, n) for name, n in zip(AXES, stack.shape_zyx, strict=True)]
            kept += (spans[0][1] - spans[0][0]) * (spans[1][1] - spans[1][0]) * (spans[2][1] - spans[2][0])
    return kept / sum(_size(stack) for stack in stacks)


def _reason(regions: Sequence[Region], guard_zyx: Zyx, *, has_test: bool) -> str:
    axes = sorted({name for region in regions for name in AXES if getattr(region, name)})
    if not axes:
        return "whole stacks: between them no guard bands are needed"
    bands = f"guard bands of {guard_zyx[AXES.index(axes[0])]} voxels between, as wide as what the network sees"
    apart = "; the separate stack is used as a whole" if has_test else ""
    return f"cut along {' and '.join(axes)}, {bands}{apart}"
