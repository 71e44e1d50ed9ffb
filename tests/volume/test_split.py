"""Parts never share a voxel nor come closer than the guard, whatever the shape, the scheme and the regions.

Judged voxel by voxel or box by box from the definition; which receptive field the guard has is the plan step's affair.
"""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.volume.geometry import Block
from pipeline.volume.split import PART_IDS, Fractions, Parts, Region, SplitSettings, split_capture

shapes = st.tuples(*[st.integers(1, 30)] * 3)
guards = st.tuples(*[st.integers(0, 4)] * 3)


def gaps_zyx(one: Block, other: Block) -> list[int]:
    """Voxels between two blocks along each axis; negative where they overlap."""
    ends = zip(one.start_zyx, one.stop_zyx, other.start_zyx, other.stop_zyx, strict=True)
    return [max(c - b, a - d) for a, b, c, d in ends]


def check_apart(parts: Parts, shape_zyx, guard_zyx) -> None:
    volume = Block.of_shape(shape_zyx)
    counts = np.zeros(shape_zyx, int)
    for part in PART_IDS:
        for block in parts.of(part):
            assert volume.contains(block)
            counts[block.slices] += 1
    assert counts.max(initial=0) <= 1
    for first, second in combinations(PART_IDS, 2):
        for one, other in product(parts.of(first), parts.of(second)):
            gaps = gaps_zyx(one, other)
            assert any(gap >= guard for gap, guard in zip(gaps, guard_zyx, strict=True) if gap >= 0), (one, other)


@st.composite
def fractions(draw):
    train = draw(st.floats(0.05, 0.9))
    validation = draw(st.floats(0.02, 0.98)) * (1 - train)
    return Fractions(train=train, validation=validation, test=1 - train - validation)


@settings(deadline=None)
@given(shapes, guards, st.sampled_from(["auto", "z", "y", "x"]), fractions())
def test_fractions_are_shared_out_along_one_axis(shape, guard, axis, shares):
    try:
        parts = split_capture("c", shape, SplitSettings(axis=axis, fractions=shares), guard)
    except ConfigError:
        return
    check_apart(parts, shape, guard)
    (train,), (validation,), (test,) = parts.train, parts.validation, parts.test
    cut = [k for k in range(3) if gaps_zyx(train, test)[k] >= 0]
    assert len(cut) == 1
    k = cut[0]
    assert axis in ("auto", "zyx"[k])
    usable = shape[k] - 2 * guard[k]
    for block, share in ((train, shares.train), (validation, shares.validation), (test, shares.test)):
        assert abs(block.shape_zyx[k] - usable * share) <= 1
    assert sum(block.shape_zyx[k] for block in (train, validation, test)) == usable
    assert (train.start_zyx[k], test.stop_zyx[k]) == (0, shape[k])


@settings(deadline=None)
@given(shapes, guards, fractions())
def test_auto_finds_an_axis_wherever_one_has_room(shape, guard, shares):
    def fits(axis: str) -> bool:
        try:
            split_capture("c", shape, SplitSettings(axis=axis, fractions=shares), guard)
        except ConfigError:
            return False
        return True

    assert fits("auto") == any(fits(axis) for axis in "zyx")


@pytest.mark.parametrize(
    ("shape", "guard", "axis"),
    [
        ((25, 700, 700), (12, 40, 40), 2),  # a thin stack is cut in the plane
        ((1, 700, 700), (0, 40, 40), 2),  # so is a single slice, though z needs no guard
        ((25, 700, 700), (0, 40, 40), 0),  # a network that sees one slice at a time wastes nothing in z
        ((2000, 700, 700), (40, 40, 40), 0),
    ],
)
def test_auto_cuts_where_the_guard_bands_cost_least(shape, guard, axis):
    parts = split_capture("c", shape, SplitSettings(), guard)
    assert parts.train[0].shape_zyx[axis] < shape[axis]


@pytest.mark.parametrize("axis", ["auto", "y"])
def test_no_room_is_refused_with_the_ways_out(axis):
    with pytest.raises(ConfigError) as refused:
        split_capture("thin", (5, 60, 60), SplitSettings(axis=axis), (5, 30, 30))
    for word in ("'thin'", "network.features", "network.z_context_slices", "split.axis", "split.regions"):
        assert word in str(refused.value)


@st.composite
def ranges(draw, edge):
    first = draw(st.integers(0, edge - 1))
    return first, draw(st.integers(first + 1, edge))


@st.composite
def regions(draw, shape):
    part = draw(st.sampled_from(sorted(PART_IDS)))
    capture = draw(st.sampled_from([None, "c", "other"]))
    axes = {key: draw(st.none() | ranges(edge)) for key, edge in zip("zyx", shape, strict=True)}
    return Region(part=part, capture=capture, **axes)


def judged(shape, boxes: list[Region], guard) -> np.ndarray:
    """Part ids voxel by voxel: test as asked for, then validation, then train, each outside the others' guard."""
    result = np.zeros(shape, np.uint8)
    taken = np.zeros(shape, bool)
    for part in ("test", "validation", "train"):
        mask = np.zeros(shape, bool)
        for box in boxes:
            if box.part == part and box.capture in (None, "c"):
                mask[tuple(slice(*(getattr(box, key) or (None, None))) for key in "zyx")] = True
        mask &= ~taken
        result[mask] = PART_IDS[part]
        for z, y, x in np.argwhere(mask):
            taken[tuple(slice(max(0, at - g), at + g + 1) for at, g in zip((z, y, x), guard, strict=True))] = True
    return result


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_regions_give_way_as_promised_voxel_by_voxel(data):
    shape, guard = data.draw(st.tuples(*[st.integers(1, 9)] * 3)), data.draw(st.tuples(*[st.integers(0, 2)] * 3))
    boxes = data.draw(st.lists(regions(shape), min_size=1, max_size=5))
    expected = judged(shape, boxes, guard)
    asked = {box.part for box in boxes if box.capture in (None, "c")}
    if any(PART_IDS[part] not in expected for part in asked):
        with pytest.raises(ConfigError, match=r"split\.regions"):
            split_capture("c", shape, SplitSettings(regions=tuple(boxes)), guard)
        return
    parts = split_capture("c", shape, SplitSettings(regions=tuple(boxes)), guard)
    check_apart(parts, shape, guard)
    found = np.zeros(shape, np.uint8)
    for part, value in PART_IDS.items():
        for block in parts.of(part):
            found[block.slices] = value
    assert (found == expected).all()


@pytest.mark.parametrize("limits", [(3, 3), (-1, 4), (0, 11), (5, 2)])
def test_a_region_out_of_the_capture_is_named(limits):
    asked = SplitSettings(regions=(Region(part="test"), Region(part="train", y=limits)))
    with pytest.raises(ConfigError, match=r"split\.regions\.1\.y.*10 voxels.*'c'"):
        split_capture("c", (8, 10, 12), asked, (0, 0, 0))


def test_whole_captures_can_go_to_the_parts():
    asked = SplitSettings(regions=tuple(Region(part=part, capture=part) for part in PART_IDS))
    for part in PART_IDS:
        parts = split_capture(part, (4, 5, 6), asked, (9, 9, 9))
        assert parts.of(part) == (Block.of_shape((4, 5, 6)),)
        assert not any(parts.of(other) for other in PART_IDS if other != part)
