"""Parts: disjoint, as far apart as the network sees, with every class in each where that can be."""

from __future__ import annotations

import numpy as np
from fingerprints import stack_of
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.proposal.classes import propose_classes
from pipeline.proposal.parts import ORDER, ProposedParts, propose_parts
from pipeline.volume.split import SplitSettings, split_capture


def random_ids(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 3, shape)


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(8, 60), st.integers(8, 60)), min_size=1, max_size=3),
    st.tuples(st.integers(1, 9), st.integers(1, 21), st.integers(1, 21)),
    st.sampled_from(["any", "validation", "test"]),
)
def test_parts_are_those_that_the_study_will_make(
    shapes: list[tuple[int, int, int]], guard: tuple[int, int, int], role: str
) -> None:
    """`split_capture`, which a study cuts with, takes nothing away for guard bands, and counts the same voxels."""
    stacks = [stack_of(random_ids(shape, seed), name=f"s{seed}") for seed, shape in enumerate(shapes)]
    stacks.append(stack_of(random_ids((6, 40, 40), 9), name="last", role=role))
    ids = {f"s{seed}": random_ids(shape, seed) for seed, shape in enumerate(shapes)} | {
        "last": random_ids((6, 40, 40), 9)
    }
    classes = propose_classes(stacks).members
    proposed = propose_parts(stacks, classes, guard)
    if proposed is None:
        return
    settings = SplitSettings(regions=proposed.regions)
    counted = {part: np.zeros(len(classes), int) for part in ORDER}
    kept = 0
    for stack in stacks:
        for part in ORDER:
            for block in split_capture(stack.name, stack.shape_zyx, settings, guard).of(part):
                kept += block.voxels
                values = ids[stack.name][block.slices]
                counted[part] += [sum(int((values == id_).sum()) for id_ in each.ids) for each in classes]
    assert {part: tuple(counts) for part, counts in counted.items()} == proposed.voxels
    assert kept == round(proposed.kept * sum(array.size for array in ids.values()))


def parts_of(*stacks: object, guard: tuple[int, int, int] = (3, 11, 11)) -> ProposedParts:
    proposed = propose_parts(stacks, propose_classes(stacks).members, guard)  # type: ignore[arg-type]
    assert proposed is not None
    return proposed


def test_a_rare_class_decides_on_axis_and_order() -> None:
    ids = np.zeros((4, 120, 200), np.uint8)
    ids[:, :, 20:40] = ids[:, :, 60:80] = ids[:, :, 120:140] = ids[:, :, 170:190] = 1
    ids[:, 10:110:10, 150:154] = 2  # only at the right: cut along x, it would be in one part alone
    proposed = parts_of(stack_of(ids))
    assert {next(axis for axis in "zyx" if getattr(region, axis)) for region in proposed.regions} == {"y"}
    assert not any(0 in counts for counts in proposed.voxels.values())


def test_a_class_at_one_end_is_trained_on() -> None:
    ids = np.zeros((1, 14, 200), np.uint8)
    ids[:, :, 150:] = 1  # usually the test part
    proposed = parts_of(stack_of(ids))
    assert all(proposed.voxels["train"])


def test_a_separate_stack_is_used_as_a_whole() -> None:
    train, test = (
        stack_of(random_ids((5, 60, 80)), name="a"),
        stack_of(random_ids((3, 20, 20), 1), name="b", role="test"),
    )
    proposed = parts_of(train, test)
    assert [(region.part, region.capture, region.x) for region in proposed.regions if region.capture == "b"] == [
        ("test", "b", None)
    ]
    assert {region.part for region in proposed.regions if region.capture == "a"} == {"train", "validation"}
    choose = stack_of(random_ids((3, 20, 60), 1), name="b", role="validation")
    proposed = parts_of(train, choose)
    assert {region.part for region in proposed.regions if region.capture == "a"} == {"train"}
    assert {region.part for region in proposed.regions if region.capture == "b"} == {"validation", "test"}


def test_three_stacks_need_no_guard_bands() -> None:
    stacks = [stack_of(random_ids((4, 50, 50), seed), name=f"s{seed}") for seed in range(4)]
    proposed = parts_of(*stacks)
    assert proposed.kept == 1.0
    assert sorted(region.part for region in proposed.regions) == ["test", "train", "train", "validation"]


def test_one_slice_and_no_room() -> None:
    assert parts_of(stack_of(random_ids((1, 90, 90))), guard=(1, 19, 19)).kept > 0.5
    tiny = stack_of(random_ids((1, 20, 20)))
    assert propose_parts([tiny], propose_classes([tiny]).members, (1, 19, 19)) is None
