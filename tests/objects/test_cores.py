"""Cores of objects: deep enough, parted where objects touch, and one for each object however thin."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt, label

from pipeline.objects.cores import RIM_OF_DEPTH, find_cores

VOXEL_NM = (10.0, 5.0, 5.0)


def all_of(shape: tuple[int, ...]) -> np.ndarray:
    return np.ones(shape, bool)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([4.0, 9.0, 30.0]))
def test_a_core_is_what_lies_deep_in_one_object(seed: int, rim_nm: float) -> None:
    """Against distances over the whole of the volume, object by object."""
    rng = np.random.default_rng(seed)
    objects = rng.integers(0, 4, (3, 4, 5), np.uint64).repeat(2, 0).repeat(5, 1).repeat(4, 2) * np.uint64(2**62)
    found = find_cores(objects, all_of(objects.shape), rim_nm, VOXEL_NM)
    for value in np.unique(objects[objects > 0]):
        own = objects == value
        depth = distance_transform_edt(own, sampling=VOXEL_NM)
        deep = own & (depth > min(rim_nm, RIM_OF_DEPTH * depth[own].max()))
        assert np.all(deep[found & own])
        beside = np.pad(objects, 1, mode="edge")
        other = np.zeros(own.shape, bool)
        for axis in range(3):
            for shift in (-1, 1):
                near = np.roll(beside, shift, axis)[1:-1, 1:-1, 1:-1]
                other |= (near != value) & (near > 0)
        np.testing.assert_array_equal(found & own, deep & ~other)


def test_cores_of_objects_that_touch_do_not_touch() -> None:
    objects = np.zeros((4, 20, 40), np.uint32)
    objects[:, 4:16, 4:20], objects[:, 4:16, 20:36] = 7, 9
    cores = find_cores(objects, all_of(objects.shape), 10.0, VOXEL_NM)
    assert label(cores)[1] == 2
    # Slices are thicker than the rim: what lies above another object is none of its core for all that.
    stacked = np.zeros((2, 12, 12), np.uint32)
    stacked[0, 2:10, 2:10], stacked[1, 2:10, 2:10] = 1, 2
    assert not find_cores(stacked, all_of(stacked.shape), 10.0, (50.0, 5.0, 5.0)).any()


def test_thin_objects_have_a_core_and_unknown_voxels_bound_nothing() -> None:
    objects = np.zeros((1, 9, 30), np.uint32)
    objects[0, 3:6] = 1
    thin = find_cores(objects, all_of(objects.shape), 50.0, VOXEL_NM)
    assert np.array_equal(np.flatnonzero(thin[0].any(axis=1)), [4])
    objects[:] = 1
    assert find_cores(objects, all_of(objects.shape), 50.0, VOXEL_NM).all()
    labelled = all_of(objects.shape)
    labelled[..., :10], objects[..., :10] = False, 0
    assert np.array_equal(find_cores(objects, labelled, 50.0, VOXEL_NM), objects > 0)


def test_nothing_has_no_core() -> None:
    nothing = np.zeros((2, 3, 4), np.uint64)
    assert not find_cores(nothing, all_of(nothing.shape), 20.0, VOXEL_NM).any()
