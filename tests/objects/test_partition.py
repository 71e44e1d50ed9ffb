"""Objects told apart shard by shard are those of one pass over the whole volume, whatever the shards.

The judge is a slow, plain twin: SciPy's labels of cores and of what they do not reach, and Dijkstra's way to the
nearest core with the least first voxel.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label

from pipeline.objects.growing import Reach
from pipeline.objects.partition import grow_shard, number_cores, number_objects, separate
from pipeline.objects.pieces import find_pieces
from pipeline.volume.geometry import Block, Zyx, tile

Ids = NDArray[np.uint8]


def by_shards(
    classes: Ids, cores: Ids, shard_zyx: Zyx, reach: Reach, smallest: Mapping[int, int]
) -> NDArray[np.uint64]:
    whole = Block.of_shape(classes.shape)
    shards = tile(whole, shard_zyx)
    found = [find_pieces(cores[shard.slices], shard, classes.shape) for shard in shards]
    numbers = number_cores([(shard, table) for shard, (_, table) in zip(shards, found, strict=True)], smallest)
    at = {shard.start_zyx: (local, mine) for shard, (local, _), mine in zip(shards, found, numbers, strict=True)}
    grown = []
    for shard in shards:
        block = shard.grow(reach.halo_zyx).intersect(whole)
        pieces = []
        for part in tile(block, shard_zyx):
            start = tuple(edge - edge % side for edge, side in zip(part.start_zyx, shard_zyx, strict=True))
            local, mine = at[start]
            pieces.append((part, local[part.shift([-edge for edge in start]).slices], mine))
        grown.append(grow_shard(classes[block.slices], pieces, block, shard, classes.shape, reach))
    objects = number_objects([(shard, table) for shard, (_, table) in zip(shards, grown, strict=True)], smallest)
    out = np.zeros(classes.shape, np.uint64)
    for shard, (rows, _), one in zip(shards, grown, objects, strict=True):
        out[shard.slices] = one.numbers[rows]
    return out


def plainly(classes: Ids, cores: Ids, reach: Reach, smallest: Mapping[int, int]) -> NDArray[np.uint64]:
    out = np.zeros(classes.shape, np.uint64)
    for value in np.unique(classes[classes > 0]):
        inside = classes == value
        core, _ = label(cores == value)
        # SciPy numbers in the order of first voxels; that is made sure of here.
        least = 0.25 * smallest.get(int(value), 0)
        large = [n for n in range(1, core.max() + 1) if (core == n).sum() >= least]
        first = {n: np.flatnonzero(core.ravel() == n)[0] for n in large}
        key = np.full(core.shape, -1, np.int64)
        for n, at in first.items():
            key[core == n] = at
        best = {tuple(at): (0, int(key[tuple(at)])) for at in np.argwhere(key >= 0)}
        heap = [(0, k, at) for at, (_, k) in best.items()]
        heapq.heapify(heap)
        while heap:
            length, k, at = heapq.heappop(heap)
            if best[at] < (length, k):
                continue
            for axis, step in enumerate(reach.steps_zyx):
                for sign in (-1, 1):
                    to = tuple(c + sign * (i == axis) for i, c in enumerate(at))
                    if any(not 0 <= c < n for c, n in zip(to, classes.shape, strict=True)) or not inside[to]:
                        continue
                    new = (length + step, k)
                    if new[0] <= reach.longest and new < best.get(to, (np.inf, 0)):
                        best[to] = new
                        heapq.heappush(heap, (*new, to))
        owner = np.full(classes.shape, -1, np.int64)
        for at, (_, k) in best.items():
            owner[at] = k
        rest, count = label(inside & (owner < 0))
        fewest = smallest.get(int(value), 0)
        groups = [group for k in first.values() if (group := owner == k).sum() >= fewest]
        groups += [group for n in range(1, count + 1) if (group := rest == n).sum() >= 4 * fewest]
        groups.sort(key=lambda group: np.flatnonzero(group)[0])
        for number, group in enumerate(groups, start=1):
            out[group] = number
    return out


def random_capture(shape: Zyx, seed: int) -> tuple[Ids, Ids]:
    rng = np.random.default_rng(seed)
    grey = gaussian_filter(rng.normal(size=shape), 1.2)
    classes = np.where(grey > 0.05, 1 + (gaussian_filter(rng.normal(size=shape), 2) > 0), 0).astype(np.uint8)
    return classes, np.where(grey > 0.3, classes, 0).astype(np.uint8)


SIDES = st.tuples(*[st.integers(1, 7)] * 3)


@settings(deadline=None, max_examples=40)
@given(SIDES, SIDES, st.integers(0, 2**32 - 1), st.tuples(*[st.integers(1, 3)] * 3), st.integers(0, 9))
def test_the_partition_is_that_of_a_plain_twin_whatever_the_shards(
    shape: Zyx, shard_zyx: Zyx, seed: int, steps: Zyx, longest: int
) -> None:
    rng = np.random.default_rng(seed)
    classes = rng.choice([0, 1, 1, 1, 2], shape).astype(np.uint8)
    cores = np.where(rng.random(shape) < 0.15, classes, 0).astype(np.uint8)
    reach, smallest = Reach(steps, longest), {1: 5}
    expected = plainly(classes, cores, reach, smallest)
    np.testing.assert_array_equal(separate(classes, cores, reach, smallest), expected)
    np.testing.assert_array_equal(by_shards(classes, cores, shard_zyx, reach, smallest), expected)


@pytest.mark.parametrize("shard_zyx", [(13, 37, 41), (4, 8, 16), (5, 7, 3), (1, 37, 41), (13, 1, 9), (4, 6, 6)])
def test_objects_over_many_shards_are_those_of_the_whole(shard_zyx: Zyx) -> None:
    classes, cores = random_capture((13, 37, 41), 0)
    reach, smallest = Reach((2, 1, 1), 7), {1: 5, 2: 9}
    expected = separate(classes, cores, reach, smallest)
    assert expected.max() > 10
    np.testing.assert_array_equal(by_shards(classes, cores, shard_zyx, reach, smallest), expected)


def test_two_that_touch_are_two_and_a_snake_is_one() -> None:
    classes, cores = np.zeros((1, 30, 30), np.uint8), np.zeros((1, 30, 30), np.uint8)
    classes[0, 2:8, 2:26] = 1
    cores[0, 4:6, 4:12] = cores[0, 4:6, 15:24] = 1
    classes[0, 10::2] = 1
    classes[0, 11::4, -1] = classes[0, 13::4, 0] = 1
    cores[0, 10:] = classes[0, 10:]
    for shard_zyx in ((1, 30, 30), (1, 5, 7), (1, 1, 30)):
        objects = by_shards(classes, cores, shard_zyx, Reach((1, 1, 1), 8), {})
        assert objects.max() == 3
        assert objects[0, 4, 13] == 1
        assert objects[0, 4, 14] == 2
        assert len(np.unique(objects[0, 10:][classes[0, 10:] > 0])) == 1


def test_a_speck_of_core_parts_nothing() -> None:
    classes = np.zeros((1, 8, 20), np.uint8)
    cores = classes.copy()
    classes[0, 1:7, 1:19], cores[0, 2:6, 2:12], cores[0, 3, 15] = 1, 1, 1
    assert separate(classes, cores, Reach((1, 1, 1), 20), {}).max() == 2
    assert separate(classes, cores, Reach((1, 1, 1), 20), {1: 6}).max() == 1
    classes[0, :, 13] = 0
    assert separate(classes, cores, Reach((1, 1, 1), 20), {1: 6}).max() == 2


def test_no_core_reaches_beyond_its_reach() -> None:
    classes, cores = np.ones((1, 1, 12), np.uint8), np.zeros((1, 1, 12), np.uint8)
    cores[0, 0, 1:3] = 1
    objects = by_shards(classes, cores, (1, 1, 5), Reach((1, 1, 1), 4), {})
    assert objects.ravel().tolist() == [1] * 7 + [2] * 5
    assert by_shards(classes, cores, (1, 1, 5), Reach((1, 1, 1), 4), {1: 6}).ravel().tolist() == [1] * 7 + [0] * 5


def test_a_step_is_as_long_as_the_voxel() -> None:
    reach = Reach.of(100.0, (50.0, 8.0, 8.0))
    assert reach == Reach((6, 1, 1), 12)
    assert reach.halo_zyx == (2, 12, 12)
