"""Blocks and grids agree with plain sets of voxels; coarser geometries with averaged voxel centres."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.volume.geometry import CHUNK_VOXELS, SHARD_VOXELS, Block, Geometry, default_grid, tile

coordinates = st.tuples(*[st.integers(-6, 6)] * 3)
sides = st.tuples(*[st.integers(1, 6)] * 3)


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    start, shape = draw(coordinates), draw(sides)
    return Block(start, tuple(np.add(start, shape)))


def voxels(block: Block | None) -> set[tuple[int, ...]]:
    if block is None:
        return set()
    return set(product(*(range(a, b) for a, b in zip(block.start_zyx, block.stop_zyx, strict=True))))


@given(blocks(), blocks())
def test_intersection_and_containment_are_those_of_the_voxels(one: Block, other: Block) -> None:
    assert voxels(one.intersect(other)) == voxels(one) & voxels(other)
    assert one.contains(other) == (voxels(other) <= voxels(one))
    assert one.voxels == len(voxels(one))


@given(blocks(), coordinates)
def test_shifting_moves_every_voxel(block: Block, by: tuple[int, int, int]) -> None:
    assert voxels(block.shift(by)) == {tuple(np.add(voxel, by)) for voxel in voxels(block)}


@given(blocks(), sides, sides)
def test_relative_to_another_is_the_place_in_an_array_of_that_one(
    inner: Block, lo: tuple[int, ...], hi: tuple[int, ...]
) -> None:
    outer = inner.grow(lo, hi)
    rows = np.moveaxis(np.indices(outer.shape_zyx), 0, -1) + outer.start_zyx
    assert {tuple(map(int, row)) for row in rows[inner.relative_to(outer).slices].reshape(-1, 3)} == voxels(inner)


@given(blocks(), sides, sides)
def test_growing_adds_a_margin_before_and_after(block: Block, lo: tuple[int, ...], hi: tuple[int, ...]) -> None:
    grown = block.grow(lo, hi)
    assert grown.start_zyx == tuple(np.subtract(block.start_zyx, lo))
    assert grown.stop_zyx == tuple(np.add(block.stop_zyx, hi))
    assert block.grow(lo) == block.grow(lo, lo)


@given(blocks(), sides, coordinates)
def test_tiles_partition_the_region_along_grid_lines(
    region: Block, size: tuple[int, ...], origin: tuple[int, ...]
) -> None:
    cells = tile(region, size, origin)
    assert sum(cell.voxels for cell in cells) == region.voxels
    assert set().union(*map(voxels, cells)) == voxels(region)
    for cell in cells:
        numbers = {tuple(np.subtract(voxel, origin) // size) for voxel in voxels(cell)}
        assert len(numbers) == 1, "a tile lies in one cell of the grid"
    assert cells == sorted(cells)


def test_slices_index_an_array() -> None:
    array = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    assert array[Block((1, 2, 3), (2, 4, 6)).slices].shape == (1, 2, 3)


@pytest.mark.parametrize(
    ("start", "stop"),
    [((0, 0, 0), (1, 0, 1)), ((2, 0, 0), (1, 1, 1)), ((0, 0), (1, 1)), ((0, 0, 0.5), (1, 1, 1)), ("abc", (1, 1, 1))],
)
def test_a_block_without_voxels_or_of_fractions_is_refused(start: object, stop: object) -> None:
    with pytest.raises(InputError):
        Block(start, stop)  # type: ignore[arg-type]


def test_a_grid_of_cells_without_voxels_is_refused() -> None:
    with pytest.raises(InputError):
        tile(Block.of_shape((2, 2, 2)), (1, 0, 1))


@pytest.mark.parametrize(
    "changed", [{"shape_zyx": (1, 0, 1)}, {"voxel_size_nm": (0, 1, 1)}, {"translation_nm": (0, float("nan"), 0)}]
)
def test_an_impossible_geometry_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Geometry(**{"shape_zyx": (1, 1, 1), "voxel_size_nm": (1, 1, 1)} | changed)  # type: ignore[arg-type]


@given(
    st.tuples(*[st.integers(1, 9)] * 3),
    st.tuples(*[st.floats(1, 100)] * 3),
    st.lists(st.tuples(*[st.sampled_from([1, 2])] * 3), min_size=1, max_size=4),
)
def test_coarser_voxels_lie_at_the_mean_of_the_voxels_they_merge(
    shape: tuple[int, int, int], size_nm: tuple[float, float, float], factors: list[tuple[int, int, int]]
) -> None:
    geometry = Geometry(shape, size_nm, (7.0, -3.0, 0.5))
    total = np.prod(factors, axis=0)
    for step in factors:
        geometry = geometry.coarser(step)
    for axis in range(3):
        centres = (7.0, -3.0, 0.5)[axis] + np.arange(total[axis]) * size_nm[axis]
        assert geometry.translation_nm[axis] == pytest.approx(centres.mean())
        assert geometry.voxel_size_nm[axis] == pytest.approx(size_nm[axis] * total[axis])
        assert geometry.shape_zyx[axis] == -(-shape[axis] // total[axis])


@given(st.tuples(*[st.integers(1, 3000)] * 3), st.tuples(*[st.sampled_from([4.0, 8.0, 30.0, 50.0])] * 3))
def test_the_default_grid_divides_and_stays_small(shape: tuple[int, int, int], size: tuple[float, ...]) -> None:
    chunk, shard = default_grid(Geometry(shape, size))  # type: ignore[arg-type]
    assert all(s % c == 0 for c, s in zip(chunk, shard, strict=True))
    assert np.prod(chunk) <= CHUNK_VOXELS
    assert np.prod(shard) <= SHARD_VOXELS
    assert all(s < 2 * n for s, n in zip(shard, shape, strict=True))


def test_chunks_of_an_anisotropic_volume_are_near_cubic_in_nanometres() -> None:
    chunk, _ = default_grid(Geometry((500, 5000, 5000), (40.0, 5.0, 5.0)))
    extents = np.multiply(chunk, (40.0, 5.0, 5.0))
    assert extents.max() <= 2 * extents.min()
