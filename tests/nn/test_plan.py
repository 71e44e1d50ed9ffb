"""The shape of a network follows from the voxel size, the extent of the data and the budget of slices in z.

The receptive field that a plan implies is checked against networks in test_blockwise.py.
"""

from __future__ import annotations

import json
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.nn.plan import SMALLEST_COARSE_EXTENT, Level, NetworkPlan, plan_network
from pipeline.nn.regions import receptive_radius

voxel_sizes_nm = st.tuples(*[st.floats(1.0, 60.0)] * 3)


def plan_for(voxel_size_nm, extent_zyx=(64, 256, 256), features=(4, 8, 12, 16), **options) -> NetworkPlan:
    return plan_network(
        voxel_size_nm=voxel_size_nm, extent_zyx=extent_zyx, outputs=3, head="softmax", features=features, **options
    )


def test_isotropic_voxels_are_pooled_and_convolved_in_all_axes():
    plan = plan_for((8, 8, 8))
    assert [level.pool_zyx for level in plan.levels] == [(2, 2, 2)] * 3 + [(1, 1, 1)]
    assert {kernel for level in plan.levels for kernel in level.kernels_zyx} == {(3, 3, 3)}
    assert plan.stride_zyx == (8, 8, 8)


def test_thick_slices_are_left_alone_until_the_pooled_voxel_is_nearly_isotropic():
    plan = plan_for((40, 8, 8))  # in-plane edges 8, 16, 32 nm: below half of 40 nm twice
    assert [level.pool_zyx for level in plan.levels] == [(1, 2, 2), (1, 2, 2), (2, 2, 2), (1, 1, 1)]
    assert [level.kernels_zyx[0] for level in plan.levels] == [(1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3)]


@pytest.mark.parametrize("voxel_size_nm", [(8, 8, 8), (2, 8, 8), (40, 8, 8)])
def test_a_single_slice_is_planned_as_an_image(voxel_size_nm):
    plan = plan_for(voxel_size_nm, extent_zyx=(1, 256, 256))
    assert plan.stride_zyx == (1, 8, 8)
    assert {kernel for level in plan.levels for kernel in level.kernels_zyx} == {(1, 3, 3)}


def test_a_stack_too_thin_to_pool_in_z_is_still_pooled_and_convolved_in_the_plane():
    plan = plan_for((8, 8, 8), extent_zyx=(12, 256, 256))
    assert [level.pool_zyx for level in plan.levels] == [(2, 2, 2), (1, 2, 2), (1, 2, 2), (1, 1, 1)]
    assert {kernel for level in plan.levels for kernel in level.kernels_zyx} == {(3, 3, 3)}


@settings(deadline=None)
@given(voxel_sizes_nm, st.tuples(*[st.integers(1, 200)] * 3), st.integers(1, 4))
def test_no_axis_is_pooled_below_what_a_convolution_needs(voxel_size_nm, extent_zyx, levels):
    try:
        plan = plan_for(voxel_size_nm, extent_zyx, (4,) * levels)
    except ConfigError:
        return
    assert len(plan.levels) == levels
    for extent, stride in zip(extent_zyx, plan.stride_zyx, strict=True):
        assert stride == 1 or extent // stride >= SMALLEST_COARSE_EXTENT


def test_levels_that_leave_nothing_to_pool_are_refused_with_both_cures():
    with pytest.raises(ConfigError, match=r"network\.features.*training\.patch_zyx"):
        plan_for((8, 8, 8), extent_zyx=(8, 8, 8))


@settings(deadline=None, max_examples=40)
@given(voxel_sizes_nm, st.integers(0, 12), st.integers(1, 4), st.integers(1, 3))
def test_a_network_sees_no_more_slices_than_its_budget(voxel_size_nm, budget, levels, convolutions):
    plan = plan_for(voxel_size_nm, features=(4,) * levels, convolutions_per_level=convolutions, z_context_slices=budget)
    assert receptive_radius(plan)[0] <= budget


def test_a_budget_of_slices_is_spent_at_the_coarse_levels_first():
    plan = plan_for((8, 8, 8), features=(4, 8, 12), convolutions_per_level=1, z_context_slices=1)
    assert [level.kernels_zyx for level in plan.levels] == [((1, 3, 3),), ((1, 3, 3),), ((3, 3, 3),)]


def test_a_generous_budget_changes_nothing():
    assert plan_for((40, 8, 8), z_context_slices=1000) == plan_for((40, 8, 8))


@settings(deadline=None, max_examples=30)
@given(voxel_sizes_nm, st.integers(1, 4), st.booleans())
def test_a_plan_survives_json(voxel_size_nm, levels, deep):
    plan = plan_for(voxel_size_nm, features=(4, 8, 12, 16)[:levels], deep_supervision=deep)
    assert NetworkPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_strides_multiply_from_level_to_level():
    plan = plan_for((40, 8, 8))
    strides = [plan.level_stride_zyx(index) for index in range(4)]
    assert strides == [(1, 1, 1), (1, 2, 2), (1, 4, 4), (2, 8, 8)]
    assert prod(plan.stride_zyx) == prod(prod(level.pool_zyx) for level in plan.levels)


def test_a_plan_without_levels_or_with_a_pool_below_the_coarsest_is_refused():
    with pytest.raises(ConfigError, match="level"):
        NetworkPlan((), outputs=2, head="softmax")
    with pytest.raises(ConfigError, match="coarsest"):
        NetworkPlan((Level(4, ((3, 3, 3),), (2, 2, 2)),), outputs=2, head="softmax")
