"""What is counted of objects block by block is what the whole volume gives at once, by scikit-image or a slow twin."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import inf, pi

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist
from skimage.measure import regionprops

from pipeline.objects.grouping import total
from pipeline.objects.measure import Measuring
from pipeline.objects.sums import CROSSINGS, Contacts, Measured, ObjectSums, packed, unpacked
from pipeline.objects.surface import SIGNS, Lines
from pipeline.objects.table import object_table
from pipeline.volume.geometry import Block, Geometry, Zyx, ZyxNm, tile

LARGE = 2**53
"""From here on, floats have no place for every whole number."""
SIDES = st.tuples(*[st.integers(1, 7)] * 3)
SIZES = st.sampled_from([(8.0, 8.0, 8.0), (50.0, 8.0, 8.0), (20.0, 9.0, 4.0)])


def ids_of(shape: Zyx, seed: int, objects: int = 4) -> np.ndarray:
    """Random ids, some of which differ in their last bit only."""
    return np.random.default_rng(seed).choice(np.arange(objects, dtype=np.uint64) + LARGE, shape) * (
        np.random.default_rng(seed + 1).random(shape) < 0.6
    )


def read_from(ids: np.ndarray, block: Block) -> np.ndarray:
    return ids[block.slices]


def measuring(
    size_nm: ZyxNm, limit_nm: float = 200.0, membrane: np.ndarray | None = None, **ids: np.ndarray
) -> Measuring:
    shape = next(iter(ids.values())).shape
    reads = {name: partial(read_from, values) for name, values in ids.items()}
    near = None if membrane is None else partial(read_from, membrane)
    return Measuring(Geometry(shape, size_nm), reads, near, limit_nm=limit_nm)


def assert_same(one: Measured, other: Measured) -> None:
    assert one.objects.keys() == other.objects.keys()
    for name, sums in one.objects.items():
        for key in ("ids", "totals", "low", "high", "nearest_nm"):
            np.testing.assert_array_equal(getattr(sums, key), getattr(other.objects[name], key), key)
    for pair, contacts in one.contacts.items():
        np.testing.assert_array_equal(contacts.ids, other.contacts[pair].ids)
        np.testing.assert_array_equal(contacts.faces, other.contacts[pair].faces)


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, SIZES, st.integers(0, 99), st.randoms())
def test_any_tiling_in_any_order_gives_the_same(shape, block_zyx, size_nm, seed, shuffler) -> None:  # type: ignore[no-untyped-def]
    near = np.random.default_rng(seed).random(shape) < 0.1
    measure = measuring(size_nm, 30.0, near, mitochondria=ids_of(shape, seed), vesicles=ids_of(shape, seed + 7))
    whole = measure.measure(measure.geometry.block)
    blocks = tile(measure.geometry.block, block_zyx)
    shuffler.shuffle(blocks)
    assert_same(measure.measure_all(blocks), whole)
    halves = [measure.measure_all(blocks[start::3]) for start in range(3)]
    assert_same(halves[2] + (halves[0] + halves[1]), whole)
    assert_same(unpacked(packed(whole), measure.nothing), whole)


@given(arrays(np.uint8, (5, 6, 7), elements=st.integers(0, 3)), SIZES)
def test_voxels_moments_and_boxes_are_those_of_scikit_image(ids: np.ndarray, size_nm: ZyxNm) -> None:
    measure = measuring(size_nm, cells=ids)
    table = object_table(measure.measure_all(tile(measure.geometry.block, (2, 3, 4))), measure.geometry).to_pylist()
    regions = regionprops(ids, spacing=size_nm)
    assert [row["id"] for row in table] == [region.label for region in regions]
    for row, region in zip(table, regions, strict=True):
        assert row["voxels"] == region.num_pixels
        assert row["volume_nm3"] == pytest.approx(region.area)
        box = [row[f"box_{end}_{axis}_voxel"] for end in ("start", "stop") for axis in "zyx"]
        assert tuple(box) == region.bbox
        assert [row[f"centroid_{axis}_nm"] for axis in "zyx"] == pytest.approx(list(region.centroid))
        # scikit-image takes voxels for points; ours are boxes, each with side² / 12 of its own along each axis.
        inertia = region.inertia_tensor
        covariance = np.trace(inertia) / 2 * np.eye(3) - inertia + np.diag(np.square(size_nm) / 12)
        lengths = np.sqrt(20 * np.linalg.eigvalsh(covariance)[::-1])
        assert [row[f"axis_{axis}_nm"] for axis in ("major", "middle", "minor")] == pytest.approx(lengths)
        direction = np.array([row[f"direction_{axis}"] for axis in "zyx"])
        np.testing.assert_allclose(covariance @ direction, lengths[0] ** 2 / 20 * direction, rtol=1e-6, atol=1e-6)


def test_sums_beyond_64_bits_far_from_the_origin_are_exact() -> None:
    """An object at 2**30 voxels from the origin: its sums of squares wrap, what is told of it does not."""
    ids = np.zeros((6, 7, 8), np.uint8)
    ids[1:4, 2:6, 1:7] = 1
    near, far = measuring((8, 8, 8), cells=ids), Geometry((2**31, 2**31, 2**31), (8, 8, 8))
    place = (2**30, 2**30 + 3, 2**30 + 5)
    moved = Measuring(far, {"cells": lambda block: np.pad(ids, [(n, n) for n in moved.margin_zyx])})
    block = near.geometry.block.shift(place)
    here = object_table(near.measure(near.geometry.block), near.geometry).to_pylist()[0]
    there = object_table(moved.measure(block), far).to_pylist()[0]
    for key in ("voxels", "axis_major_nm", "axis_middle_nm", "axis_minor_nm"):
        assert there[key] == here[key]
    for axis, start in zip("zyx", place, strict=True):
        assert there[f"centroid_{axis}_voxel"] == here[f"centroid_{axis}_voxel"] + start


def test_ids_that_are_one_as_floats_stay_two_objects() -> None:
    ids = np.array([[[2**53, 0, 2**53 + 1], [2**64 - 1, 2**64 - 2, 0]]], np.uint64)
    measure = measuring((8, 8, 8), cells=ids)
    table = object_table(measure.measure(measure.geometry.block), measure.geometry)
    assert table["id"].to_pylist() == [2**53, 2**53 + 1, 2**64 - 2, 2**64 - 1]
    assert table["voxels"].to_pylist() == [1, 1, 1, 1]


@given(SIDES, st.integers(0, 99), SIZES)
@settings(max_examples=30, deadline=None)
def test_crossings_are_counted_as_by_a_walk_along_every_line(shape: Zyx, seed: int, size_nm: ZyxNm) -> None:
    ids = ids_of(shape, seed)
    measure = measuring(size_nm, cells=ids)
    sums = measure.measure(measure.geometry.block).objects["cells"]
    for value, row in zip(sums.ids[:, 0], sums.totals[:, CROSSINGS], strict=True):
        for step, found in zip(Lines(size_nm).steps_zyx, row, strict=True):
            expected = 0
            for here in map(tuple, np.argwhere(ids == value)):
                for way in (1, -1):
                    there = tuple(a + way * b for a, b in zip(here, step, strict=True))
                    inside = all(0 <= t < n for t, n in zip(there, shape, strict=True))
                    expected += not inside or ids[there] != value
            assert found == expected


def test_lines_have_13_directions_and_steps_as_long_as_the_voxel() -> None:
    assert len(set(SIGNS)) == 13
    assert all(tuple(-s for s in signs) not in SIGNS for signs in SIGNS)
    assert Lines((8.0, 8.0, 8.0)).steps_zyx == SIGNS
    assert Lines((50.0, 8.0, 8.0)).steps_zyx[-1] == (1, -6, -6)
    assert Lines((50.0, 8.0, 8.0)).margin_zyx == (1, 6, 6)


@pytest.mark.parametrize("size_nm", [(8.0, 8.0, 8.0), (50.0, 8.0, 8.0), (30.0, 4.0, 6.0)])
def test_planes_of_any_orientation_have_their_area(size_nm: ZyxNm) -> None:
    """What the 13 directions cost, apart from voxels: within 2 % in the mean square, 10 % at the worst orientation."""
    lines = Lines(size_nm)
    normals = np.random.default_rng(0).normal(size=(5000, 3))
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    crossings_per_nm2 = np.abs(normals @ (np.array(lines.steps_zyx) * size_nm).T) / np.prod(size_nm)
    error = crossings_per_nm2 @ lines.crossing_nm2 - 1
    assert abs(error.mean()) < 0.002
    assert np.sqrt(np.mean(error**2)) < 0.02
    assert np.abs(error).max() < 0.10


@pytest.mark.parametrize(
    ("size_nm", "radius_nm", "bias", "spread"),
    [
        ((8.0, 8.0, 8.0), 40.0, 0.015, 0.015),
        ((8.0, 8.0, 8.0), 120.0, 0.002, 0.003),
        ((50.0, 8.0, 8.0), 120.0, 0.03, 0.02),
        ((50.0, 8.0, 8.0), 300.0, 0.006, 0.004),
    ],
)
def test_the_surface_of_balls(size_nm: ZyxNm, radius_nm: float, bias: float, spread: float) -> None:
    """At eight places between the voxels; a ball of few sections has a little less: lines step over its poles."""
    errors = []
    for seed in range(8):
        ids = ball(size_nm, radius_nm, np.random.default_rng(seed).uniform(-0.5, 0.5, 3))
        measure = measuring(size_nm, cells=ids)
        (row,) = object_table(measure.measure(measure.geometry.block), measure.geometry).to_pylist()
        errors.append(row["surface_nm2"] / (4 * pi * radius_nm**2) - 1)
        assert row["sphericity"] == pytest.approx(1, abs=0.1)
        assert not row["touches_face"]
    assert -bias < np.mean(errors) < 0.003
    assert np.std(errors) < spread


def test_the_surface_of_turned_rods() -> None:
    """Ellipsoids of 400 × 120 × 120 nm, at 12 orientations: area by Thomsen's formula, which is good to 1.1 %."""
    half, power = np.array([400.0, 120.0, 120.0]), 1.6075
    a, b, c = half**power
    area = 4 * pi * ((a * b + a * c + b * c) / 3) ** (1 / power)
    for size_nm, worst in (((8.0, 8.0, 8.0), 0.03), ((50.0, 8.0, 8.0), 0.10)):
        errors = []
        for seed in range(12):
            turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
            grid = np.meshgrid(*[np.arange(-450, 450, size) for size in size_nm], indexing="ij")
            inside = np.einsum("ij,jzyx->izyx", turn, np.stack(grid)) / half[:, None, None, None]
            measure = measuring(size_nm, cells=((inside**2).sum(axis=0) < 1).astype(np.uint8))
            (row,) = object_table(measure.measure(measure.geometry.block), measure.geometry).to_pylist()
            errors.append(row["surface_nm2"] / area - 1)
            assert row["axis_major_nm"] == pytest.approx(800, rel=0.02)
            assert row["axis_minor_nm"] == pytest.approx(240, rel=0.03)
            assert abs(turn[0] @ [row[f"direction_{axis}"] for axis in "zyx"]) > 0.999
        assert np.abs(errors).max() < worst


@given(SIDES, st.integers(0, 99), SIZES)
@settings(max_examples=40, deadline=None)
def test_distances_are_those_between_all_pairs_of_voxels(shape: Zyx, seed: int, size_nm: ZyxNm) -> None:
    limit = 25.0
    cells, others = ids_of(shape, seed), ids_of(shape, seed + 5, objects=2) * (ids_of(shape, seed) == 0)
    near = np.random.default_rng(seed).random(shape) < 0.05
    measure = measuring(size_nm, limit, near, cells=cells, others=others)
    sums = measure.measure_all(tile(measure.geometry.block, (3, 2, 4))).objects["cells"]
    for value, found in zip(sums.ids[:, 0], sums.nearest_nm, strict=True):
        own = np.argwhere(cells == value) * size_nm
        for target, distance in zip((near, others > 0), found, strict=True):
            exact = cdist(own, np.argwhere(target) * size_nm).min() if target.any() else inf
            assert distance == (pytest.approx(exact, abs=1e-3) if exact <= limit else inf)


def test_contacts_hold_the_faces_between_two_objects() -> None:
    cells = np.array([[[5, 5, 7, 0], [5, 0, 7, 0]], [[7, 7, 7, 0], [0, 0, 0, 0]]], np.uint64)
    others = np.array([[[0, 0, 0, 9], [0, 9, 0, 0]], [[0, 0, 0, 0], [0, 0, 0, 8]]], np.uint64)
    measure = measuring((50.0, 8.0, 4.0), cells=cells, others=others)
    measured = measure.measure_all(tile(measure.geometry.block, (1, 1, 3)))
    within, across = measured.contacts["cells", "cells"], measured.contacts["cells", "others"]
    assert within.ids.tolist() == [[5, 7]]
    assert within.faces.tolist() == [[2, 0, 1]]
    assert across.ids.tolist() == [[5, 9], [7, 9]]
    assert across.faces.tolist() == [[0, 1, 1], [0, 0, 2]]
    rows = object_table(measured, measure.geometry).to_pylist()
    assert [(row["class"], row["id"], row["contacts"]) for row in rows] == [
        ("cells", 5, 2), ("cells", 7, 2), ("others", 8, 0), ("others", 9, 2),
    ]  # fmt: skip
    assert rows[0]["contact_nm2"] == 2 * 8 * 4 + 50 * 8 + 50 * 4 + 50 * 8


def test_nothing_anywhere_is_an_empty_table() -> None:
    measure = measuring((8, 8, 8), cells=np.zeros((3, 3, 3), np.uint32))
    measured = measure.measure(measure.geometry.block)
    assert_same(measured, total(measure.nothing, []))
    assert object_table(measured, measure.geometry).num_rows == 0
    assert (ObjectSums.none() + ObjectSums.none()).ids.shape == (0, 1)
    assert (Contacts.none() + Contacts.none()).ids.shape == (0, 2)


def ball(size_nm: ZyxNm, radius_nm: float, shift: np.ndarray) -> np.ndarray:
    """A ball with a voxel of nothing around; its centre `shift` voxels from that of the volume."""
    shape = [2 * int(radius_nm / size) + 5 for size in size_nm]
    axes = [(np.arange(n) - (n - 1) / 2 - by) * size for n, by, size in zip(shape, shift, size_nm, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return (z**2 + y**2 + x**2 <= radius_nm**2).astype(np.uint8)


def test_an_object_at_the_face_of_the_volume_is_closed_by_the_cut() -> None:
    """Half a ball that ends with the volume has the area of the cut as well, which is told apart."""
    size_nm, radius_nm = (8.0, 8.0, 8.0), 200.0
    whole = ball(size_nm, radius_nm, np.zeros(3))
    for ids in (whole[whole.shape[0] // 2 :], whole[:, : whole.shape[1] // 2 + 1]):
        measure = measuring(size_nm, cells=ids)
        measured = measure.measure_all(tile(measure.geometry.block, (16, 16, 16)))
        (row,) = object_table(measured, measure.geometry).to_pylist()
        assert row["touches_face"]
        assert row["cut_nm2"] == pytest.approx(pi * radius_nm**2, rel=0.01)
        assert row["surface_nm2"] == pytest.approx(3 * pi * radius_nm**2, rel=0.04)


def test_an_object_is_cut_where_nothing_was_predicted() -> None:
    """Two regions side by side are one: it is where both end that an object may go on."""
    ids = np.zeros((4, 8, 12), np.uint8)
    ids[1:3, 2:4, 2:9] = 1
    ids[1, 6, 4:6] = 2
    regions = (Block((0, 0, 0), (4, 8, 5)), Block((0, 0, 5), (4, 8, 9)))
    measure = replace(measuring((50.0, 8.0, 8.0), cells=ids), regions=regions)
    for block_zyx in ((4, 8, 12), (3, 2, 5)):
        measured = measure.measure_all(tile(measure.geometry.block, block_zyx))
        one, two = object_table(measured, measure.geometry).to_pylist()
        assert one["cut_nm2"] == 2 * 2 * 50 * 8
        assert one["touches_face"]
        assert not two["touches_face"]
