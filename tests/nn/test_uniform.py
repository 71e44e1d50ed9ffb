"""What sees one grey value is looked up: it equals one pass over the whole volume, wherever the value lies in it.

The judge is that of the seam test, which has the network compute everything. Here a stretch of the volume is of one
value, at each of its sides, in its middle, or all of it; and it is shown that what is looked up is not swept.
"""

from __future__ import annotations

import gc
import weakref
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_blockwise import CPU, NORMALISATION, network_of, predictor_of, reader, whole_volume_logits

from pipeline.nn.blockwise import BlockInput, BlockPredictor
from pipeline.nn.regions import receptive_radius
from pipeline.nn.uniform import differing, without
from pipeline.volume.geometry import Block, tile

# Volumes that reach well beyond the receptive field along one axis, at each end of which there is padding.
SHAPES = {"isotropic": (9, 25, 140), "anisotropic": (5, 19, 310), "2D-like": (3, 21, 60), "one level": (7, 9, 31)}
TOLERANCE = 1e-5


def padded(kind: str, axis: int, near: bool, share: float = 0.6, value: int = 0) -> np.ndarray:
    """Noise, of which a share at an end of an axis is of one value."""
    z, y, x = SHAPES[kind]
    volume = np.random.default_rng(1).integers(1, 255, (z, x, y) if axis == 1 else (z, y, x), dtype=np.uint8)
    ends = [slice(None)] * 3
    length = round(share * volume.shape[axis])
    ends[axis] = slice(None, length) if near else slice(volume.shape[axis] - length, None)
    volume[tuple(ends)] = value
    return volume


def found(predictor: BlockPredictor, volume: np.ndarray, blocks: list[Block]) -> tuple[np.ndarray, int]:
    """Logits of a whole volume, and how many voxels of them were swept."""
    swept, sweep = [], predictor._swept

    def noted(block: BlockInput):
        swept.append(block.core.voxels)
        return sweep(block)

    predictor._swept = noted  # type: ignore[method-assign]
    logits = np.full((3, *volume.shape), np.nan, np.float32)
    for core in blocks:
        for part, some in predictor.slabs(predictor.read(reader(volume), core, volume.shape)):
            place = (slice(None), *part.slices)
            assert np.isnan(logits[place]).all(), "a voxel was given twice"
            logits[place] = some.numpy()
    return logits, sum(swept)


CASES = [(kind, axis, near, ()) for kind in SHAPES for axis in (1, 2) for near in (True, False)]
CASES += [("isotropic", 2, False, (0, 1, 2)), ("2D-like", 1, True, (1, 2))]


@pytest.mark.parametrize(("kind", "axis", "near", "mirror_axes"), CASES)
def test_a_padded_volume_equals_one_pass(kind: str, axis: int, near: bool, mirror_axes: tuple[int, ...]) -> None:
    volume, network = padded(kind, axis, near), network_of(kind)
    expected = whole_volume_logits(network, volume, mirror_axes)
    logits, swept = found(predictor_of(network, mirror_axes=mirror_axes), volume, [Block.of_shape(volume.shape)])
    assert np.abs(logits - expected).max() < TOLERANCE
    edge = volume.shape[axis]
    reached = edge - round(0.6 * edge) + receptive_radius(network.plan)[axis]
    assert swept == volume.size * reached // edge


@pytest.mark.parametrize("kind", SHAPES)
@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_any_box_of_one_value_in_any_blocks(kind: str, data: st.DataObject) -> None:
    shape, network = SHAPES[kind], network_of(kind)
    volume = np.full(shape, data.draw(st.sampled_from((0, 131, 255))), np.uint8)
    tissue = data.draw(st.tuples(*(st.tuples(st.integers(0, n), st.integers(0, n)) for n in shape)))
    inside = tuple(slice(min(ends), max(ends)) for ends in tissue)
    volume[inside] = np.random.default_rng(2).integers(0, 256, volume[inside].shape)
    size = data.draw(st.tuples(*(st.integers(min(24, n), n) for n in shape)))
    logits, _ = found(predictor_of(network_of(kind)), volume, tile(Block.of_shape(shape), size))
    assert np.abs(logits - whole_volume_logits(network, volume)).max() < TOLERANCE


@pytest.mark.parametrize("kind", ["isotropic", "2D-like"])
def test_nothing_is_swept_of_a_block_of_one_value(kind: str) -> None:
    network = network_of(kind)
    volume = np.full(SHAPES[kind], 7, np.uint8)
    expected = whole_volume_logits(network, volume)
    half = (volume.shape[0], volume.shape[1], volume.shape[2] // 2)
    blocks = tile(Block.of_shape(volume.shape), half)
    logits, swept = found(predictor_of(network), volume, blocks)
    assert swept == 0
    assert np.abs(logits - expected).max() < TOLERANCE


def test_what_has_no_uniform_face_is_swept_whole() -> None:
    volume = padded("isotropic", 2, True)
    volume[:, ::7, ::5] = 200
    network = network_of("isotropic")
    logits, swept = found(predictor_of(network), volume, [Block.of_shape(volume.shape)])
    assert swept == volume.size
    assert np.abs(logits - whole_volume_logits(network, volume)).max() < TOLERANCE


def test_bfloat16_is_looked_up_too() -> None:
    volume = padded("isotropic", 1, False)
    predictor = BlockPredictor(network_of("isotropic"), NORMALISATION, device=CPU, precision="bfloat16")
    logits, swept = found(predictor, volume, [Block.of_shape(volume.shape)])
    assert swept < volume.size
    expected = whole_volume_logits(network_of("isotropic"), volume)
    assert np.abs(logits - expected).max() < 0.05 * np.abs(expected).max()


def test_answers_that_are_kept_do_not_keep_the_predictor() -> None:
    predictor, volume = predictor_of(network_of("isotropic")), padded("isotropic", 1, False)
    found(predictor, volume, [Block.of_shape(volume.shape)])
    del predictor._swept  # what `found` looked through
    gone = weakref.ref(predictor)
    gc.disable()  # which a GPU's memory would wait for
    try:
        del predictor
        assert gone() is None
    finally:
        gc.enable()


def test_the_box_that_differs() -> None:
    voxels = np.full((4, 5, 6), 3, np.uint16)
    assert differing(voxels) == (3, None)
    voxels[1, 2, 3:5] = 9
    assert differing(voxels) == (3, Block((1, 2, 3), (2, 3, 5)))
    voxels[0], voxels[-1, :, 0], voxels[:, :, -1], voxels[2, 0] = 3, 8, 3, np.arange(6)
    value, box = differing(voxels) or (None, None)
    assert (value, box) == (3, Block((1, 0, 0), (4, 5, 6)))
    noise = np.random.default_rng(0).integers(0, 9, (4, 5, 6))
    assert differing(noise) is None
    assert differing(np.full((3, 3, 3), np.nan)) is None


@given(st.tuples(*[st.lists(st.integers(0, 9), min_size=4, max_size=4, unique=True).map(sorted)] * 3))
def test_a_block_without_another_one_is_boxes_that_hold_the_rest_once(ends: tuple[list[int], ...]) -> None:
    block = Block(tuple(axis[0] for axis in ends), tuple(axis[3] for axis in ends))
    hole = Block(tuple(axis[1] for axis in ends), tuple(axis[2] for axis in ends))
    boxes = [hole, *without(block, hole)]
    assert sum(box.voxels for box in boxes) == block.voxels
    assert all(one.intersect(other) is None for one, other in pairwise(sorted(boxes)))
    assert all(block.contains(box) for box in boxes)
    assert list(without(block, None)) == [block]
    assert list(without(block, block)) == []
