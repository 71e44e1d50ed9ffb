"""The whole proposal: it is a configuration, a study can be planned with it, and it fits the time."""

from __future__ import annotations

import re
from math import prod
from pathlib import Path

import numpy as np
import pytest
import yaml
from fingerprints import stack_of, stack_of_masks
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.model import Zssr, parse_config
from pipeline.errors import InputError
from pipeline.proposal.estimate import estimate
from pipeline.proposal.fingerprint import Fingerprint
from pipeline.proposal.fitting import Wishes
from pipeline.proposal.propose import Proposal, propose
from pipeline.proposal.speed import Load, Speed
from pipeline.proposal.written import written
from pipeline.run.decide import decide
from pipeline.run.intake import read_kernels
from pipeline.volume.geometry import Geometry


def laptop(load: Load) -> Speed:
    """A machine that does 20 thousand million multiplications a second on each thread."""
    work = 0.0
    stride = 1
    for level in load.network.levels:
        work += 2 * sum(prod(kernel) for kernel in level.kernels_zyx) * level.features**2 / stride
        stride *= prod(level.pool_zyx)
    voxels_per_s = 2e10 * load.threads / work
    return Speed(3 * load.batch_size * prod(load.patch_zyx) / voxels_per_s, voxels_per_s)


def two_classes(shape: tuple[int, int, int], seed: int = 0, **facts: object) -> Fingerprint:
    return stack_of((np.random.default_rng(seed).random(shape) < 0.1).astype(int), **facts)


@settings(max_examples=15)
@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(40, 160), st.integers(40, 160)), min_size=1, max_size=3),
    st.sampled_from([(50.0, 4.6, 4.6), (10.0, 5.0, 5.0), (8.0, 8.0, 8.0), (30.0, 16.0, 16.0)]),
    st.one_of(st.floats(0.1, 3), st.floats(3, 600)),
    st.integers(1, 16),
    st.sampled_from([None, True, False]),
    st.sampled_from([None, True, False]),
)
def test_a_study_can_be_planned_with_it(
    shapes: list[tuple[int, int, int]],
    size: tuple[float, float, float],
    minutes: float,
    cores: int,
    binary: bool | None,
    boosting: bool | None,
) -> None:
    stacks = [two_classes(shape, seed, name=f"s{seed}", voxel_size_nm=size) for seed, shape in enumerate(shapes)]
    wishes = Wishes(minutes=minutes, cores=cores, binary=binary, boosting=boosting)
    try:
        proposal = propose(stacks, wishes, laptop)
    except InputError:
        assert boosting
        with pytest.raises(InputError, match="too small to be made coarse; leave the option out"):
            propose(stacks, wishes, laptop)
        return
    text = written(proposal, "vemseg init")
    config = parse_config(text, "study.yaml")
    assert yaml.safe_load(text) == proposal.settings
    kernels = read_kernels(config.boosting, Path()) if config.boost_methods else None
    decided = decide(config, {stack.name: Geometry(stack.shape_zyx, size) for stack in stacks}, kernels)
    train = [block for parts in decided.parts.values() for block in parts.train]
    assert train
    assert all(any(parts.of(part) for parts in decided.parts.values()) for part in ("validation", "test"))
    assert decided.patch_zyx == config.training.patch_zyx
    steps = config.training.steps
    assert proposal.minutes <= minutes or steps == 100
    assert proposal.minutes >= 0.85 * minutes or steps == 6000
    assert any("more --minutes" in warning for warning in proposal.warnings) or steps > 100
    if boosting is None and config.boost_methods:
        assert config.boosting.zssr.most_steps >= 600


def study(proposal: Proposal) -> dict[str, object]:
    return proposal.settings


@pytest.mark.parametrize("thin", [(6, 200, 200), (20, 48, 200), (1, 60, 60)])
def test_a_stack_that_is_only_tested_does_not_make_the_patch_smaller(thin: tuple[int, int, int]) -> None:
    shapes = {"a": (20, 200, 200), "thin": thin}
    stacks = [two_classes(shapes["a"], name="a"), two_classes(shapes["thin"], 1, name="thin", role="test")]
    proposal = propose(stacks, Wishes(), laptop)
    assert proposal.settings["training"]["patch_zyx"] == [8, 96, 96]
    config = parse_config(written(proposal, "vemseg init"), "study.yaml")
    size = stacks[0].voxel_size_nm
    assert size
    decided = decide(config, {name: Geometry(shape, size) for name, shape in shapes.items()}, None)
    assert decided.patch_zyx == config.training.patch_zyx
    assert f"it sees {', '.join(map(str, decided.receptive_field_zyx))} voxels" in proposal.why["network"]


@pytest.mark.parametrize("faster", [0.02, 0.3, 1.0, 3.0, 50.0])
def test_no_network_is_measured_twice_and_few_are(faster: float) -> None:
    asked: list[tuple[int, ...]] = []

    def speed_of(load: Load) -> Speed:
        asked.append(tuple(level.features for level in load.network.levels))
        known = laptop(load)
        return Speed(known.step_s / faster, known.predicted_voxels_per_s * faster)

    propose([two_classes((20, 200, 200))], Wishes(), speed_of)
    assert len(set(asked)) == len(asked) <= 2
    if faster == 1:
        assert len(asked) == 1


def test_sections_far_apart_are_looked_at_one_by_one() -> None:
    flat = study(propose([two_classes((20, 300, 300), voxel_size_nm=(50.0, 5.0, 5.0))], Wishes(), laptop))
    assert flat["network"]["z_context_slices"] == 0  # type: ignore[index]
    assert flat["training"]["patch_zyx"][0] == 1  # type: ignore[index]
    cubic = propose([two_classes((20, 300, 300), voxel_size_nm=(8.0, 8.0, 8.0))], Wishes(minutes=1), laptop)
    assert "voxels are as long in z as in the plane: it sees" in cubic.why["network"]
    assert re.search(r"about \d+ s in all", cubic.why["training"])
    deep = study(propose([two_classes((20, 300, 300))], Wishes(), laptop))
    assert "z_context_slices" not in deep["network"]  # type: ignore[operator]
    assert deep["training"]["patch_zyx"][0] >= 8  # type: ignore[index]


def test_light_unless_asked_or_time_allows() -> None:
    stack = two_classes((10, 200, 200))
    light = propose([stack], Wishes(minutes=5, cores=2), laptop)
    assert light.settings["training"]["targets"] == "multilabel"
    assert light.settings["boosting"] == {"methods": []}
    assert len(light.left_out) == 2
    asked = propose([stack], Wishes(minutes=5, cores=2, binary=True, boosting=True), laptop)
    config = parse_config(written(asked, "vemseg init"), "study.yaml")
    assert config.targets == ("multilabel", "object")
    assert config.boost_methods
    assert not asked.left_out
    several = stack_of(np.random.default_rng(0).integers(0, 4, (10, 200, 200)))
    plenty = propose([several], Wishes(minutes=5000, cores=2), laptop)
    assert plenty.settings["training"]["targets"] == "all"
    assert plenty.settings["boosting"] == {"factor": 2}
    short = propose([stack], Wishes(minutes=5, cores=2, boosting=True), laptop)
    assert short.settings["boosting"]["zssr"]["most_steps"] < 2000


@pytest.mark.parametrize("minutes", [3, 8])
@pytest.mark.parametrize("asked", [{}, {"binary": True}, {"boosting": True}, {"binary": True, "boosting": True}])
def test_the_minutes_are_used_whatever_is_asked_for(minutes: float, asked: dict[str, bool]) -> None:
    stack = stack_of(np.random.default_rng(0).integers(0, 6, (20, 200, 200)))
    proposal = propose([stack], Wishes(minutes=minutes, cores=2, **asked), laptop)
    assert 100 < proposal.settings["training"]["steps"] < 6000
    assert proposal.minutes == pytest.approx(minutes, rel=0.1)


def test_what_the_networks_leave_is_learnt_to_boost_in() -> None:
    stack = two_classes((8, 96, 96))
    steps = []
    for minutes in (20, 40, 2000):
        made = propose([stack], Wishes(minutes=minutes, cores=2, boosting=True), laptop)
        assert made.settings["training"]["steps"] == 6000
        steps.append(parse_config(written(made, "vemseg init"), "study.yaml").boosting.zssr.most_steps)
        if minutes < 2000:
            assert minutes / 2 < made.minutes <= minutes
    assert steps == sorted(steps)
    assert steps[0] < steps[-1] == Zssr().most_steps


def test_boosting_that_learns_too_little_is_told_and_not_planned_unasked() -> None:
    stack = two_classes((8, 96, 96))
    asked = propose([stack], Wishes(minutes=1.5, cores=2, boosting=True), laptop)
    most_steps = asked.settings["boosting"]["zssr"]["most_steps"]
    assert most_steps < 300
    assert any(f"learns for {most_steps} steps only" in warning for warning in asked.warnings)
    unasked = propose([stack], Wishes(minutes=1.5, cores=2), laptop)
    assert unasked.settings["training"]["steps"] == 6000
    assert unasked.settings["boosting"] == {"methods": []}


def test_slices_too_small_to_be_made_coarse_are_not_boosted() -> None:
    tiny = two_classes((1, 24, 24))
    with pytest.raises(InputError, match=r"^--boost: .*leave the option out"):
        propose([tiny], Wishes(boosting=True), laptop)
    assert propose([tiny], Wishes(), laptop).settings["boosting"] == {"methods": []}


def test_more_minutes_than_a_number_holds_are_enough() -> None:
    made = propose([two_classes((8, 96, 96))], Wishes(minutes=1e308), laptop)
    assert made.settings["training"]["steps"] == 6000


def test_more_minutes_are_more_steps_or_a_larger_network() -> None:
    stack = two_classes((20, 300, 300))
    sizes = []
    for minutes in (3, 10, 60, 600):
        made = propose([stack], Wishes(minutes=minutes, cores=2), laptop).settings
        sizes.append((sum(made["network"]["features"]), made["training"]["steps"]))
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_the_voxel_size_is_asked_for_and_looked_at() -> None:
    unknown = two_classes((4, 80, 200), voxel_size_nm=None)
    with pytest.raises(InputError, match="--voxel-size-nm 50,8,8"):
        propose([unknown], Wishes(), laptop)
    swapped = propose([unknown], Wishes(voxel_size_nm=(5.0, 5.0, 40.0)), laptop)
    assert any("x, y, z" in warning or "no squares" in warning for warning in swapped.warnings)
    fine = propose([unknown], Wishes(voxel_size_nm=(5.0, 8.0, 8.0)), laptop)
    assert any("finer in z" in warning for warning in fine.warnings)
    assert not propose([unknown], Wishes(voxel_size_nm=(8.0, 8.0, 8.0)), laptop).warnings
    with pytest.raises(InputError, match="different sizes"):
        propose([two_classes((4, 80, 200)), two_classes((4, 80, 200), voxel_size_nm=(8.0, 8.0, 8.0))], Wishes(), laptop)
    with pytest.raises(InputError, match="says that its voxels"):
        propose([two_classes((4, 80, 200))], Wishes(voxel_size_nm=(9.0, 9.0, 9.0)), laptop)


def test_unlabelled_slices_are_left_out_and_told() -> None:
    ids = np.zeros((10, 120, 120), np.uint8)
    ids[2:8, 20:100:4, 20:100] = 1
    proposal = propose([stack_of(ids)], Wishes(), laptop)
    assert proposal.settings["data"]["captures"][0]["labelled_slices"] == ["2-7"]
    assert any("0-1, 8-9" in warning for warning in proposal.warnings)


def test_unlabelled_slices_are_left_out_where_classes_are_named_too() -> None:
    ids = np.zeros((10, 120, 120), np.uint8)
    ids[2:8, 20:100:4, 20:100] = 1
    named = propose([stack_of(ids)], Wishes(classes={"cell": [1]}), laptop)
    assert named.settings["data"]["captures"][0]["labelled_slices"] == ["2-7"]
    told = propose([stack_of(ids)], Wishes(classes={"rest": [0], "cell": [1]}), laptop)
    assert "labelled_slices" not in told.settings["data"]["captures"][0]


def test_masks_and_equal_names() -> None:
    rng = np.random.default_rng(0)
    masks = {"cell": rng.random((4, 90, 200)) < 0.5, "core": rng.random((4, 90, 200)) < 0.2}
    settings = propose([stack_of_masks(masks), stack_of_masks(masks)], Wishes(), laptop).settings
    assert [capture["name"] for capture in settings["data"]["captures"]] == ["stack", "stack_2"]
    assert settings["classes"]["exclusive"] is False


def test_too_little_is_told_with_a_cure() -> None:
    with pytest.raises(InputError, match="--test RAW LABELS"):
        propose([two_classes((1, 8, 8))], Wishes(), laptop)
    with pytest.raises(InputError, match="one to train on"):
        propose([two_classes((4, 80, 200), role="test")], Wishes(), laptop)


def test_the_estimate_is_that_of_the_proposal_and_grows_with_the_work() -> None:
    stack = two_classes((12, 150, 200))
    proposal = propose([stack], Wishes(minutes=20, cores=2), laptop)
    config = parse_config(written(proposal, "vemseg init"), "study.yaml")
    geometries = {stack.name: Geometry(stack.shape_zyx, (10.0, 5.0, 5.0))}
    decision = decide(config, geometries, read_kernels(config.boosting, Path()))
    found = estimate(config, decision, geometries, 2, laptop)
    assert found.seconds == pytest.approx(60 * proposal.minutes)
    longer = config.model_copy(
        update={"training": config.training.model_copy(update={"steps": 2 * config.training.steps})}
    )
    assert estimate(longer, decision, geometries, 2, laptop).pod_hours > 1.5 * found.pod_hours
    shared = config.model_copy(update={"training": config.training.model_copy(update={"devices": 2})})
    alone, two = (estimate(each, decision, geometries, 2, laptop, gpus=1).seconds for each in (config, shared))
    assert two < 0.7 * alone
    assert all(step.memory_gb > 0 for step in found.steps)


def test_masks_of_some_classes_are_said_to_be_of_these() -> None:
    rng = np.random.default_rng(0)
    ids = np.kron(rng.integers(0, 4, (8, 16, 16)), np.ones((2, 16, 16), int))
    both = {"mitochondria": ids == 1, "vesicles": ids == 2}
    full = stack_of_masks(both, name="full")
    part, other = (stack_of_masks({name: mask}, name=name) for name, mask in both.items())
    settings = propose([full, part], Wishes(), laptop).settings
    captures = {each["name"]: each for each in settings["data"]["captures"]}
    assert "labelled_classes" not in captures["full"]
    assert captures["mitochondria"]["labelled_classes"] == ["mitochondria"]
    assert [each["name"] for each in settings["classes"]["members"]] == ["background", "mitochondria", "vesicles"]
    # Without a stack that names all, nothing says where a voxel is of none.
    alone = propose([other, part], Wishes(), laptop).settings
    assert not alone["classes"]["exclusive"]
    assert [each["labelled_classes"] for each in alone["data"]["captures"]] == [["vesicles"], ["mitochondria"]]


def test_ids_that_some_labels_do_not_hold_are_told() -> None:
    rng = np.random.default_rng(0)
    ids = np.kron(rng.integers(0, 3, (8, 16, 16)), np.ones((2, 16, 16), int))
    proposal = propose([stack_of(ids, name="full"), stack_of(ids * (ids == 1), name="part")], Wishes(), laptop)
    assert any(each.startswith("part: its labels hold no class_2") for each in proposal.warnings)
