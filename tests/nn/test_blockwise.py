"""The seam test: a volume predicted block by block equals one forward pass over all of it.

The judge is the plain network on the whole volume: no folding, no regions, the far faces continued by `np.pad` to a
multiple of the stride. Batch-norm statistics are random, so that a face padded with anything but what a whole-volume
pass pads it with shows. float32, logits within 1e-4, class ids equal but for ties.
Left out on purpose: volumes on disk, shards and workers (the infer step's tests) and speed (tests/bench).
"""

from __future__ import annotations

import threading
from itertools import combinations
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pipeline.nn import slabs
from pipeline.nn.blockwise import BlockPredictor, Normalisation, predict_blocks
from pipeline.nn.plan import plan_network
from pipeline.nn.regions import receptive_radius, required_regions
from pipeline.nn.slabs import sweep_bytes
from pipeline.nn.targets import Target
from pipeline.nn.unet import ConvNorm, UNet
from pipeline.volume.geometry import Block, tile

TOLERANCE = 1e-4
NORMALISATION = Normalisation(mean=110.0, std=40.0)
CPU = torch.device("cpu")


def plan_of(kind: str, **options):
    plans = {
        "isotropic": {"voxel_size_nm": (8, 8, 8), "extent_zyx": (16, 16, 16), "features": (4, 6, 8)},
        "anisotropic": {"voxel_size_nm": (30, 8, 8), "extent_zyx": (16, 64, 64), "features": (4, 6, 8, 8)},
        "2D-like": {"voxel_size_nm": (50, 4, 4), "extent_zyx": (8, 64, 64), "features": (4, 6), "z_context_slices": 0},
        "one level": {"voxel_size_nm": (8, 8, 8), "extent_zyx": (16, 16, 16), "features": (4,)},
    }
    return plan_network(outputs=3, head="softmax", **plans[kind], **options)


KINDS = ("isotropic", "anisotropic", "2D-like", "one level")
# Odd sizes: no edge is a multiple of the stride, but for the slices of the 2D-like network.
SIZES = {"isotropic": (19, 23, 21), "anisotropic": (9, 37, 45), "2D-like": (3, 41, 35), "one level": (7, 9, 11)}


def network_of(kind: str, seed: int = 0, **options) -> UNet:
    torch.manual_seed(seed)
    network = UNet(plan_of(kind, **options)).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.normal_(module.running_mean, std=0.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.5)
    return network


def volume_of(kind: str, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, SIZES[kind], dtype=np.uint8)


def reader(volume: np.ndarray):
    """Reads blocks, and fails on any that does not lie within the volume."""

    def read(block: Block) -> np.ndarray:
        assert Block.of_shape(volume.shape).contains(block)
        return volume[block.slices]

    return read


def whole_volume_logits(network: UNet, volume: np.ndarray, mirror_axes: tuple[int, ...] = ()) -> np.ndarray:
    """The judge: (C, Z, Y, X)."""
    beyond = [(0, -edge % step) for edge, step in zip(volume.shape, network.plan.stride_zyx, strict=True)]
    image = torch.from_numpy(NORMALISATION(np.pad(volume, beyond, mode="edge")))[None, None]
    flips = [flip for count in range(len(mirror_axes) + 1) for flip in combinations(mirror_axes, count)]
    with torch.inference_mode():
        passes = [
            network(image.flip([axis + 2 for axis in flip]))[0].flip([axis + 1 for axis in flip]) for flip in flips
        ]
    z, y, x = volume.shape
    return torch.stack(passes).mean(0)[:, :z, :y, :x].numpy()


def predictor_of(network: UNet, **options) -> BlockPredictor:
    return BlockPredictor(network, NORMALISATION, device=CPU, **options)


def blocks_within(shape_zyx):
    ends = [
        st.tuples(st.integers(0, n), st.integers(0, n)).filter(lambda e: e[0] != e[1]).map(sorted) for n in shape_zyx
    ]
    return st.tuples(*ends).map(lambda axes: Block(tuple(a for a, _ in axes), tuple(b for _, b in axes)))


class Seam:
    """A network with its judgement of a volume, made once and asked for many blocks."""

    def __init__(self, kind: str, mirror_axes: tuple[int, ...] = (), **options) -> None:
        self.volume = volume_of(kind)
        network = network_of(kind, **options)
        self.expected = whole_volume_logits(network, self.volume, mirror_axes)
        self.predictor = predictor_of(network, mirror_axes=mirror_axes)

    def check(self, block: Block, slab_planes: int = 1) -> None:
        """Slabs as thin as the stride, unless told otherwise: that a block is one slab shows nothing."""
        read = self.predictor.read(reader(self.volume), block, self.volume.shape)
        with patch.multiple(slabs, SLAB_PLANES=slab_planes, SLAB_VOXELS=1):
            logits = self.predictor.logits(read).numpy()
        expected = self.expected[(slice(None), *block.slices)]
        assert logits.shape == expected.shape
        assert np.abs(logits - expected).max() < TOLERANCE
        first, second = np.sort(expected, axis=0)[:-3:-1]
        tied = first - second < 2 * TOLERANCE
        assert (tied | (logits.argmax(0) == expected.argmax(0))).all()


SEAMS = {kind: Seam(kind) for kind in KINDS}
CONVOLVED = {(kind, count): Seam(kind, convolutions_per_level=count) for kind in KINDS for count in (1, 3)}
SUPERVISED = Seam("isotropic", deep_supervision=True)
MIRRORED = {kind: Seam(kind, axes) for kind, axes in [("isotropic", (0, 1, 2)), ("anisotropic", (1, 2))]}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_block_equals_the_whole_volume(kind, data):
    SEAMS[kind].check(data.draw(blocks_within(SIZES[kind])), data.draw(st.sampled_from((1, 5, 8, 1000))))


@pytest.mark.parametrize(("kind", "convolutions"), CONVOLVED)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_any_block_equals_the_whole_volume_whatever_the_convolutions_of_a_level(kind, convolutions, data):
    CONVOLVED[kind, convolutions].check(data.draw(blocks_within(SIZES[kind])))


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_any_block_equals_the_whole_volume_of_a_network_of_several_heads(data):
    SUPERVISED.check(data.draw(blocks_within(SIZES["isotropic"])))


@settings(max_examples=20, deadline=None)
@given(shape=st.tuples(*[st.integers(1, 40)] * 3), seed=st.integers(0, 3))
def test_a_volume_of_any_shape_is_exact_swept_along_any_axis(shape, seed):
    volume = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    network = network_of("isotropic", seed)
    expected = whole_volume_logits(network, volume)
    predictor, block = predictor_of(network), Block.of_shape(shape)
    with patch.multiple(slabs, SLAB_PLANES=1, SLAB_VOXELS=1):
        parts = list(predict_blocks(predictor, reader(volume), [block], shape))
    assert sum(part.voxels for part, _ in parts) == block.voxels
    for part, logits_CZYX in parts:
        assert np.abs(logits_CZYX.numpy() - expected[(slice(None), *part.slices)]).max() < TOLERANCE


def test_a_long_block_comes_in_parts_each_as_soon_as_its_halo_is_there():
    plan, shape = plan_of("isotropic"), (20, 24, 200)
    network = network_of("isotropic")
    predictor = predictor_of(network)
    volume = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    with patch.multiple(slabs, SLAB_PLANES=8, SLAB_VOXELS=1):
        parts = [part for part, _ in predict_blocks(predictor, reader(volume), [Block.of_shape(shape)], shape)]
    lengths = [part.shape_zyx[2] for part in parts]
    assert sum(lengths) == 200
    assert all(part.shape_zyx[:2] == shape[:2] for part in parts)
    assert max(lengths[:-1]) == 8
    assert lengths[-1] <= 8 + receptive_radius(plan)[2] + plan.stride_zyx[2]


def test_a_longer_block_takes_no_more_memory_but_for_its_voxels():
    plan, volume = plan_of("isotropic"), (256, 256, 4096)
    short, long = (sweep_bytes(plan, (64, 64, edge), volume) for edge in (512, 1024))
    read = [required_regions(plan, Block((96, 96, 1024), (160, 160, 1024 + n)), volume).input for n in (512, 1024)]
    assert long - short == 2 * (read[1].voxels - read[0].voxels) + 2 * 64 * 64 * 512
    assert sweep_bytes(plan, (64, 64, 512), volume, passes=8) > 3 * short


def test_decisions_of_ties_are_for_the_class_that_comes_first():
    logits_CZYX = torch.randint(0, 3, (8, 7, 33, 65), generator=torch.Generator().manual_seed(0)).float()
    target = Target("multilabel", tuple(range(1, 9)), exclusive=True)
    expected = logits_CZYX.numpy().argmax(0) + 1
    for layout in (logits_CZYX, logits_CZYX.movedim(0, -1).contiguous().movedim(-1, 0), logits_CZYX.transpose(1, 3)):
        ids = target.decide(layout).numpy()
        assert (ids == (expected if ids.shape == expected.shape else expected.transpose(2, 1, 0))).all()


@pytest.mark.parametrize("kind", MIRRORED)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_any_block_equals_the_whole_volume_when_mirror_images_are_averaged(kind, data):
    MIRRORED[kind].check(data.draw(blocks_within(SIZES[kind])))


@pytest.mark.parametrize("kind", KINDS)
def test_the_corners_the_faces_and_the_whole_are_exact(kind):
    seam, shape = SEAMS[kind], SIZES[kind]
    seam.check(Block.of_shape(shape))
    for corner in (Block.of_shape((1, 1, 1)), Block.of_shape((1, 1, 1)).shift([n - 1 for n in shape])):
        seam.check(corner)
    seam.check(Block((0, 0, 0), (shape[0], 1, shape[2])))


@settings(max_examples=6, deadline=None)
@given(size=st.tuples(*[st.integers(5, 20)] * 3), origin=st.tuples(*[st.integers(0, 7)] * 3))
def test_a_volume_is_the_same_whatever_the_grid_of_blocks(size, origin):
    seam, shape = SEAMS["isotropic"], SIZES["isotropic"]
    found = np.full((3, *shape), np.nan, np.float32)
    blocks = tile(Block.of_shape(shape), size, origin)
    for core, logits_CZYX in predict_blocks(seam.predictor, reader(seam.volume), blocks, shape):
        found[(slice(None), *core.slices)] = logits_CZYX.numpy()
    assert np.abs(found - seam.expected).max() < TOLERANCE


def test_a_volume_thinner_than_the_stride_and_the_halo_is_exact():
    network, volume = network_of("isotropic"), volume_of("isotropic")[:1, :3]
    expected = whole_volume_logits(network, volume)
    predictor = predictor_of(network)
    block = Block((0, 1, 4), (1, 2, 20))
    logits = predictor.logits(predictor.read(reader(volume), block, volume.shape)).numpy()
    assert np.abs(logits - expected[(slice(None), *block.slices)]).max() < TOLERANCE


def test_no_halo_is_read_beyond_the_faces_nor_beyond_the_receptive_field():
    plan, shape = plan_of("isotropic"), (64, 64, 64)
    core = Block((0, 28, 32), (64, 36, 64))
    needed = required_regions(plan, core, shape).input
    radius = receptive_radius(plan)
    assert (needed.start_zyx[0], needed.stop_zyx[0], needed.stop_zyx[2]) == (0, 64, 64)
    assert core.grow(radius).contains(needed)


def test_regions_of_a_volume_that_the_stride_does_not_divide_are_refused():
    with pytest.raises(ValueError, match="stride"):
        required_regions(plan_of("isotropic"), Block.of_shape((4, 4, 4)), (16, 17, 16))


def averaging_twin(kind: str, **options) -> UNet:
    """A network without a zero gradient: positive weights, so that no ReLU closes, and means for maxima."""
    network = UNet(plan_of(kind, **options)).eval()
    for parameter in network.parameters():
        nn.init.uniform_(parameter, 0.5, 1.0)
    network.pools = nn.ModuleList(nn.AvgPool3d(pool.kernel_size, pool.stride) for pool in network.pools)
    return network.double()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("convolutions", [1, 2])
def test_the_receptive_radius_is_that_of_the_gradients(kind, convolutions):
    network = averaging_twin(kind, convolutions_per_level=convolutions)
    radius, stride = receptive_radius(network.plan), network.plan.stride_zyx
    # One axis at a time: the others need only be as long as the stride.
    for axis in range(3):
        edges = list(stride)
        middle = -(-radius[axis] // stride[axis]) * stride[axis]
        edges[axis] = 2 * middle + stride[axis]
        reached = 0
        for phase in range(stride[axis]):
            image = torch.ones((1, 1, *edges), dtype=torch.float64, requires_grad=True)
            at = [0, 0, 0]
            at[axis] = middle + phase
            network(image)[0, 0, at[0], at[1], at[2]].backward()
            others = tuple(other for other in range(3) if other != axis)
            seen = np.flatnonzero(image.grad[0, 0].sum(others).numpy())
            reached = max(reached, at[axis] - seen[0], seen[-1] - at[axis])
        assert reached == radius[axis]


def test_a_voxel_beyond_the_receptive_radius_changes_nothing():
    network = network_of("isotropic")
    radius, stride = receptive_radius(network.plan), network.plan.stride_zyx
    middle = [-(-r // s) * s for r, s in zip(radius, stride, strict=True)]
    image = torch.randn((1, 1, *(2 * m + s for m, s in zip(middle, stride, strict=True))))
    changed = image.clone()
    changed[0, 0, :, : middle[1] - radius[1]] += 5.0
    changed[0, 0, :, :, middle[2] + radius[2] + 1 :] += 5.0
    with torch.inference_mode():
        before, after = (network(each)[0, :, middle[0], middle[1], middle[2]] for each in (image, changed))
    torch.testing.assert_close(before, after, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_folding_the_norms_changes_no_logits(kind):
    network = network_of(kind)
    image = torch.randn((1, 1, *(4 * step for step in network.plan.stride_zyx)))
    with torch.inference_mode():
        before = network(image)
        network.fold_norms()
        after = network(image)
    torch.testing.assert_close(before, after, rtol=0, atol=1e-5)
    assert not any(
        isinstance(module.norm, nn.BatchNorm3d) for module in network.modules() if isinstance(module, ConvNorm)
    )


def test_deep_supervision_adds_heads_but_changes_no_logits_of_the_finest():
    network = network_of("isotropic", deep_supervision=True)
    image = torch.randn(1, 1, 16, 16, 16)
    with torch.inference_mode():
        deep = network.forward_deep(image)
        assert torch.equal(deep[0], network(image))
    assert [tuple(logits.shape[2:]) for logits in deep] == [(16, 16, 16), (8, 8, 8)]


def test_bfloat16_is_close_and_comes_back_as_float32():
    seam, shape = SEAMS["2D-like"], SIZES["2D-like"]
    predictor = predictor_of(network_of("2D-like"), precision="bfloat16")
    block = Block((0, 5, 5), (2, 30, 30))
    logits = predictor.logits(predictor.read(reader(seam.volume), block, shape))
    assert logits.dtype == torch.float32
    expected = seam.expected[(slice(None), *block.slices)]
    assert np.abs(logits.numpy() - expected).mean() < 0.05 * np.abs(expected).mean()


def test_the_next_block_is_read_while_one_is_computed_and_no_other_thread_computes():
    seam, shape = SEAMS["one level"], SIZES["one level"]
    readers = []

    def read(block: Block) -> np.ndarray:
        readers.append(threading.current_thread())
        return seam.volume[block.slices]

    blocks = tile(Block.of_shape(shape), (4, 9, 11))
    predicted = predict_blocks(seam.predictor, read, blocks, shape)
    assert next(predicted)[0] == blocks[0]
    assert [core for core, _ in predicted] == blocks[1:]
    assert len(readers) == len(blocks)
    assert threading.main_thread() not in readers


def test_what_goes_wrong_in_the_reader_reaches_the_caller():
    def read(_block: Block) -> np.ndarray:
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk"):
        next(predict_blocks(SEAMS["one level"].predictor, read, [Block.of_shape((1, 1, 1))], SIZES["one level"]))


def test_no_blocks_are_no_work():
    assert list(predict_blocks(SEAMS["one level"].predictor, reader(np.zeros((1, 1, 1))), [], (1, 1, 1))) == []
