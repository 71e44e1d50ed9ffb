"""What the augmentation layer promises, each judged by a slow and plain twin or by a law.

- Geometry: scipy.ndimage.affine_transform on the same matrix; mirrors and quarter turns to the bit.
- Labels: never mixed, exactly where the image is, bit masks intact, 0 beyond the capture.
- The source patch suffices: no voxel is ever read from beyond it.
- Reproducibility: a sample's bits are a function of (seed, sample index); batch, order and neighbours do not matter.
- Each transform does what its settings say, and nothing when its probability is 0.
Left out on purpose: speed (tests/bench/bench_augmentation.py) and whether augmentation helps a network.
"""

from __future__ import annotations

import math
from dataclasses import fields, replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from pipeline.errors import ConfigError, InputError
from pipeline.nn.augment.intensity import (
    Mixture,
    NoiseBanks,
    NoiseWindows,
    add_noise,
    adjust,
    apply_gamma,
    blur,
)
from pipeline.nn.augment.layer import Augmenter, draw_sample
from pipeline.nn.augment.planning import control_points, spline_weights, upsample
from pipeline.nn.augment.settings import AugmentationSettings
from pipeline.nn.augment.spatial import Deformation, rearrange, resample, source_coordinates
from pipeline.nn.sampling import cut_source_patch

OFF = AugmentationSettings.off()
PROBABILITIES = [field.name for field in fields(AugmentationSettings) if field.name.endswith("_probability")]
ALWAYS = replace(AugmentationSettings(), **dict.fromkeys(PROBABILITIES, 1.0))
SPATIAL = replace(
    OFF,
    flip_probability_zyx=(0.5, 0.5, 0.5),
    quarter_turn_probability=0.75,
    rotation_probability=1.0,
    tilt_probability=1.0,
    scale_probability=1.0,
    stretch_probability=1.0,
    elastic_probability=1.0,
)
ISOTROPIC, ANISOTROPIC = (8.0, 8.0, 8.0), (30.0, 4.0, 4.0)

voxel_sizes = st.sampled_from([ISOTROPIC, ANISOTROPIC, (10.0, 8.0, 9.0), (40.0, 8.0, 6.0)])
patches = st.tuples(st.integers(1, 9), st.integers(1, 24), st.integers(1, 24))


def random_source(augmenter: Augmenter, batch: int, *, seed: int = 0, channels: int = 1, dtype=torch.uint8):
    generator = torch.Generator().manual_seed(seed)
    shape = augmenter.source_patch_zyx
    image = torch.randn((batch, channels, *shape), generator=generator)
    return image, torch.randint(0, 200, (batch, *shape), generator=generator, dtype=torch.int32).to(dtype)


def smooth_source(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(shape)
    return ndimage.gaussian_filter(noise, 1.5).astype(np.float32) * 5


def centre(volume: torch.Tensor, augmenter: Augmenter) -> torch.Tensor:
    inside = (slice(m, m + p) for m, p in zip(augmenter.margin_zyx, augmenter.plan.patch_zyx, strict=True))
    return volume[(..., *inside)]


# Geometry ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("voxel_size_nm", [ISOTROPIC, ANISOTROPIC, (10.0, 8.0, 9.0)])
@pytest.mark.parametrize("index", range(4))
def test_rotation_tilt_scale_and_stretch_agree_with_scipy(voxel_size_nm, index):
    """scipy applies the same matrix about the same centres; labels may differ only at rounding ties."""
    augmenter = Augmenter(replace(SPATIAL, elastic_probability=0.0), (6, 21, 24), voxel_size_nm)
    image = smooth_source(augmenter.source_patch_zyx)
    labels = (image > 0).astype(np.uint8) + 2 * (image > 1).astype(np.uint8)
    got, got_labels = augmenter(torch.tensor(image)[None, None], torch.tensor(labels)[None], 5, [index])

    draw, _ = draw_sample(augmenter.plan, 5, index)
    assert draw.deformation is not None
    matrix = np.eye(3)
    matrix[-len(draw.deformation.matrix) :, -len(draw.deformation.matrix) :] = draw.deformation.matrix
    offset = (np.array(image.shape) - 1) / 2 - matrix @ ((np.array((6, 21, 24)) - 1) / 2)

    def oracle(volume: np.ndarray, order: int) -> np.ndarray:
        moved = ndimage.affine_transform(volume, matrix, offset, (6, 21, 24), order=order, mode="nearest")
        return moved[::-1] if draw.flips_zyx[0] else moved

    np.testing.assert_allclose(got[0, 0].numpy(), oracle(image, 1), atol=2e-3)
    assert np.mean(got_labels[0].numpy() != oracle(labels, 0)) < 1e-3


@pytest.mark.parametrize("voxel_size_nm", [ISOTROPIC, ANISOTROPIC])
def test_image_and_labels_share_one_elastic_grid(voxel_size_nm):
    """Against scipy.ndimage.map_coordinates at the layer's own coordinates."""
    plan = Augmenter(SPATIAL, (8, 30, 27), voxel_size_nm).plan
    axes = plan.resampled_axes
    deformation = draw_sample(plan, 1, 2)[0].deformation
    patch, source = ([size[axis] for axis in axes] for size in (plan.patch_zyx, plan.source_patch_zyx))
    weights = [
        spline_weights(plan.patch_zyx[a], plan.control_spacing(plan.settings.elastic_spacing_voxels, a)) for a in axes
    ]
    coordinates = source_coordinates(deformation, patch, source, weights, torch.device("cpu"))
    image = smooth_source(plan.source_patch_zyx)
    labels = np.arange(image.size, dtype=np.int32).reshape(image.shape)
    got, got_labels = resample(torch.tensor(image)[None], torch.tensor(labels), coordinates)

    where = coordinates.double().numpy()
    if len(axes) == 2:
        where = np.stack(
            [
                np.broadcast_to(np.arange(8.0)[:, None, None], (8, 30, 27)),
                *np.broadcast_to(where[:, None], (2, 8, 30, 27)),
            ]
        )
    np.testing.assert_allclose(got[0].numpy(), ndimage.map_coordinates(image, where, order=1), atol=2e-3)
    nearest = np.rint(where).astype(int)
    np.testing.assert_array_equal(got_labels.numpy(), labels[tuple(nearest)])


@pytest.mark.parametrize("flips", list(product([False, True], repeat=3)))
def test_flips_are_exact(flips):
    only_flips = replace(OFF, flip_probability_zyx=tuple(float(flip) for flip in flips))
    augmenter = Augmenter(only_flips, (3, 7, 6), ANISOTROPIC)
    image, labels = random_source(augmenter, 1)
    got, got_labels = augmenter(image, labels, 0, [0])
    axes = [axis - 3 for axis, flip in enumerate(flips) if flip]
    torch.testing.assert_close(got, image.flip(axes), rtol=0, atol=0)
    assert torch.equal(got_labels, labels.flip(axes))


@pytest.mark.parametrize("patch", [(2, 6, 6), (3, 8, 4), (2, 5, 6)])
def test_quarter_turns_are_exact_and_all_occur(patch):
    augmenter = Augmenter(replace(OFF, quarter_turn_probability=1.0), patch, ISOTROPIC)
    image, labels = random_source(augmenter, 1)
    seen = set()
    for index in range(12):
        turns = draw_sample(augmenter.plan, 0, index)[0].quarter_turns
        got, got_labels = augmenter(image, labels, 0, [index])
        whole, whole_labels = (volume.rot90(turns, (-2, -1)) for volume in (image, labels))
        windows = whole_labels.unfold(2, patch[1], 1).unfold(3, patch[2], 1)
        matches = [
            (y, x) for y, x in product(*map(range, windows.shape[2:4])) if torch.equal(windows[:, :, y, x], got_labels)
        ]
        assert matches
        y, x = matches[0]
        assert torch.equal(whole[..., y : y + patch[1], x : x + patch[2]], got)
        seen.add(turns)
    assert seen == {1, 2, 3}


@given(patch=patches, flips=st.tuples(*[st.booleans()] * 3), turns=st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_flips_and_turns_are_the_same_whether_moved_or_resampled(patch, flips, turns):
    """A sample whose rotation happens to be 0 looks the same as one that was not rotated."""
    plan = Augmenter(replace(OFF, quarter_turn_probability=1.0), patch, ISOTROPIC).plan
    if (plan.source_patch_zyx[1] - patch[1]) % 2 or (plan.source_patch_zyx[2] - patch[2]) % 2:
        return  # an even and an odd edge change places: the centres lie half a voxel apart
    symmetry = np.diag([(-1.0) ** flips[1], (-1.0) ** flips[2]]) @ np.linalg.matrix_power([[0, 1], [-1, 0]], turns)
    source = torch.arange(math.prod(plan.source_patch_zyx), dtype=torch.int32).reshape(plan.source_patch_zyx)
    coordinates = source_coordinates(
        Deformation(symmetry, None), patch[1:], plan.source_patch_zyx[1:], [], torch.device("cpu")
    )
    _, resampled = resample(source[None].float(), source, coordinates)
    draw = replace(draw_sample(plan, 0, 0)[0], flips_zyx=flips, quarter_turns=turns)
    assert torch.equal(rearrange(source, patch, draw), resampled)


@given(patch=patches, voxel_size_nm=voxel_sizes, index=st.integers(0, 2**63))
@settings(max_examples=60, deadline=None)
def test_the_source_patch_always_suffices(patch, voxel_size_nm, index):
    plan = Augmenter(ALWAYS, patch, voxel_size_nm).plan
    draw, axes = draw_sample(plan, 3, index)[0], plan.resampled_axes
    source = [plan.source_patch_zyx[axis] for axis in axes]
    weights = [spline_weights(patch[a], plan.control_spacing(plan.settings.elastic_spacing_voxels, a)) for a in axes]
    coordinates = source_coordinates(
        draw.deformation, [patch[axis] for axis in axes], source, weights, torch.device("cpu")
    )
    shift = torch.tensor((0, *draw.shift.offset_yx)[-len(axes) :]).abs()
    for along, size, extra in zip(coordinates, source, shift, strict=True):
        assert along.min() >= extra - 1e-3
        assert along.max() <= size - 1 - extra + 1e-3


@pytest.mark.parametrize("voxel_size_nm", [ISOTROPIC, (10.0, 8.0, 9.0), (40.0, 8.0, 6.0)])
def test_the_source_patch_holds_the_largest_elastic_displacement(voxel_size_nm):
    plan = Augmenter(replace(OFF, elastic_probability=1.0), (6, 20, 20), voxel_size_nm).plan
    for axis in plan.resampled_axes:
        largest = plan.settings.elastic_amplitude_voxels * min(voxel_size_nm) / voxel_size_nm[axis]
        assert largest <= plan.margin_zyx[axis] < largest + 1


@pytest.mark.parametrize("voxel_size_nm", [ISOTROPIC, (10.0, 8.0, 9.0), (40.0, 8.0, 6.0)])
@pytest.mark.parametrize("index", range(5))
def test_rotation_and_tilt_keep_distances_in_nm(voxel_size_nm, index):
    """Voxels that are not cubes must not shear the tissue: in nm the map is orthogonal."""
    only = replace(OFF, rotation_probability=1.0, tilt_probability=1.0)
    plan = Augmenter(only, (6, 20, 20), voxel_size_nm).plan
    voxel_nm = np.diag([voxel_size_nm[axis] for axis in plan.resampled_axes])
    in_nm = voxel_nm @ draw_sample(plan, 0, index)[0].deformation.matrix @ np.linalg.inv(voxel_nm)
    np.testing.assert_allclose(in_nm @ in_nm.T, np.eye(len(in_nm)), atol=1e-12)


@pytest.mark.parametrize("patch", [(2, 6, 6), (2, 5, 6), (2, 6, 9)])
def test_an_unchanged_sample_is_the_patch_at_the_margin(patch):
    augmenter = Augmenter(replace(ALWAYS, flip_probability_zyx=(0.0, 0.0, 0.0)), patch, ISOTROPIC)
    image, _ = random_source(augmenter, 1)
    nothing = replace(draw_sample(augmenter.plan, 0, 0)[0], quarter_turns=0, flips_zyx=(False,) * 3, shift=None)
    assert torch.equal(rearrange(image[0], patch, nothing), centre(image[0], augmenter))


def test_resampling_stays_within_the_slices_of_anisotropic_data():
    augmenter = Augmenter(replace(SPATIAL, flip_probability_zyx=(0.0, 0.5, 0.5)), (5, 16, 16), ANISOTROPIC)
    assert augmenter.source_patch_zyx[0] == 5
    image, labels = random_source(augmenter, 1)
    image[:] = torch.arange(5.0)[:, None, None]
    labels[:] = torch.arange(5, dtype=torch.uint8)[:, None, None]
    got, got_labels = augmenter(image, labels, 0, [0])
    torch.testing.assert_close(got, got_labels[:, None].float())


# Labels -----------------------------------------------------------------------------------------------------------


@given(
    patch=patches,
    voxel_size_nm=voxel_sizes,
    dtype=st.sampled_from([torch.uint8, torch.uint16, torch.int32, torch.uint32, torch.int64]),
    index=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_labels_come_from_the_input_and_keep_their_type(patch, voxel_size_nm, dtype, index):
    augmenter = Augmenter(ALWAYS, patch, voxel_size_nm)
    image, labels = random_source(augmenter, 1, dtype=torch.int32)
    ids = torch.tensor([0, 3, 200, 17, 101], dtype=torch.int64)
    labels = ids[labels.long() % 5].to(dtype)
    got, got_labels = augmenter(image, labels, 9, [index])
    assert got.shape == (1, 1, *patch)
    assert got_labels.shape == (1, *patch)
    assert got_labels.dtype == dtype
    assert set(got_labels.long().unique().tolist()) <= set(ids.tolist())


def test_bit_masks_above_the_precision_of_float32_survive():
    augmenter = Augmenter(ALWAYS, (4, 20, 20), ISOTROPIC)
    image, _ = random_source(augmenter, 1)
    masks = torch.tensor([1, 2**24 + 1, 2**30 + 2**24 + 1, -(2**31) + 1], dtype=torch.int32)
    labels = masks[torch.randint(0, 4, (1, *augmenter.source_patch_zyx))]
    _, got = augmenter(image, labels, 0, [1])
    assert set(got.unique().tolist()) <= set(masks.tolist())


@given(voxel_size_nm=voxel_sizes, index=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_labels_lie_where_the_image_is(voxel_size_nm, index):
    """An image that is a smooth function of place, with labels cut from it, still fits its labels afterwards."""
    augmenter = Augmenter(replace(SPATIAL, shifted_slice_probability=0.5), (6, 30, 30), voxel_size_nm)
    grids = np.meshgrid(*(np.arange(size) for size in augmenter.source_patch_zyx), indexing="ij")
    ramp = torch.tensor(
        sum(grid * step for grid, step in zip(grids, (3.0, 1.0, 0.5), strict=True)), dtype=torch.float32
    )
    labels = ramp.round().int()
    got, got_labels = augmenter(ramp[None, None], labels[None], 2, [index])
    # Half a voxel of rounding along each axis, half a grey value of rounding in the labels.
    assert (got[0, 0] - got_labels[0]).abs().max() <= 0.5 * (3 + 1 + 0.5) + 0.5 + 0.05


def test_beyond_the_capture_labels_are_zero_and_the_image_is_mirrored():
    image = np.arange(2 * 3 * 5 * 4, dtype=np.float32).reshape(2, 3, 5, 4)
    labels = np.full((3, 5, 4), 7, dtype=np.uint8)
    cut, cut_labels = cut_source_patch(image, labels, (-5, 2, -1), (12, 3, 9))
    oracle = np.pad(image, ((0, 0), (5, 4), (0, 0), (1, 4)), mode="reflect")[:, :, 2:5]
    np.testing.assert_array_equal(cut, oracle)
    oracle_labels = np.pad(labels, ((5, 4), (0, 0), (1, 4)))[:, 2:5]
    np.testing.assert_array_equal(cut_labels, oracle_labels)


def test_a_single_slice_can_be_padded_along_z():
    cut, cut_labels = cut_source_patch(
        np.ones((1, 1, 4, 4), np.float32), np.ones((1, 4, 4), np.uint8), (-2, 0, 0), (4, 4, 4)
    )
    assert (cut == 1).all()
    assert cut_labels.sum(axis=(1, 2)).tolist() == [0, 0, 16, 0]


def test_cutting_leaves_the_capture_alone_and_names_a_shape_that_does_not_fit():
    image, labels = np.ones((1, 3, 3, 3), np.float32), np.ones((3, 3, 3), np.uint8)
    cut, cut_labels = cut_source_patch(image, labels, (0, 0, 0), (3, 3, 3))
    cut[:], cut_labels[:] = 0, 0
    assert image.all()
    assert labels.all()
    with pytest.raises(InputError, match=r"\(3, 3, 3\).*\(2, 3, 3\)"):
        cut_source_patch(image, labels[:2], (0, 0, 0), (3, 3, 3))


# Reproducibility --------------------------------------------------------------------------------------------------


@given(
    patch=patches,
    voxel_size_nm=voxel_sizes,
    seed=st.integers(0, 2**64 - 1),
    indices=st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=4),
    often=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_batched_equals_one_at_a_time_in_any_order_bit_for_bit(patch, voxel_size_nm, seed, indices, often):
    chosen = ALWAYS if often else AugmentationSettings()
    augmenter = Augmenter(chosen, patch, voxel_size_nm)
    image, labels = random_source(augmenter, len(indices), channels=2)
    together, labels_together = augmenter(image, labels, seed, indices)
    for place in reversed(range(len(indices))):
        fresh = Augmenter(chosen, patch, voxel_size_nm)
        alone, labels_alone = fresh(image[[place]], labels[[place]], seed, [indices[place]])
        assert torch.equal(alone[0], together[place])
        assert torch.equal(labels_alone[0], labels_together[place])


def test_the_input_stays_as_it_is():
    augmenter = Augmenter(ALWAYS, (6, 12, 12), ANISOTROPIC)
    image, labels = random_source(augmenter, 2)
    before, labels_before = image.clone(), labels.clone()
    augmenter(image, labels, 0, [0, 1])
    assert torch.equal(image, before)
    assert torch.equal(labels, labels_before)


@pytest.mark.parametrize("other", [(1, 0), (0, 1), (0, 2**32), (2**32, 0), (0, 2**63), (2**63, 0)])
def test_another_seed_or_another_sample_is_another_fate(other):
    augmenter = Augmenter(ALWAYS, (6, 12, 12), ANISOTROPIC)
    image, labels = random_source(augmenter, 1)
    one, _ = augmenter(image, labels, 0, [0])
    two, _ = augmenter(image, labels, other[0], [other[1]])
    assert not torch.equal(one, two)


def test_the_global_generators_are_neither_read_nor_moved():
    augmenter = Augmenter(ALWAYS, (6, 12, 12), ANISOTROPIC)
    image, labels = random_source(augmenter, 1)
    torch.manual_seed(1)
    one, _ = augmenter(image, labels, 0, [0])
    after_one = torch.rand(())
    torch.manual_seed(1)
    assert torch.equal(after_one, torch.rand(()))
    two, _ = augmenter(image, labels, 0, [0])
    assert torch.equal(one, two)


# Each transform ---------------------------------------------------------------------------------------------------


@given(patch=patches, voxel_size_nm=voxel_sizes, index=st.integers(0, 2**64 - 1))
@settings(max_examples=30, deadline=None)
def test_probability_zero_is_the_identity_bit_for_bit(patch, voxel_size_nm, index):
    augmenter = Augmenter(OFF, patch, voxel_size_nm)
    assert augmenter.source_patch_zyx == patch
    image, labels = random_source(augmenter, 1)
    got, got_labels = augmenter(image, labels, 0, [index])
    assert torch.equal(got, image)
    assert torch.equal(got_labels, labels)


@pytest.mark.parametrize("name", PROBABILITIES)
def test_each_transform_alone_changes_the_sample_and_only_as_often_as_asked(name):
    augmenter = Augmenter(replace(OFF, **{name: 0.5}), (9, 16, 16), ISOTROPIC)
    image, labels = random_source(augmenter, 1)
    changed = [
        not torch.equal(augmenter(image, labels, 0, [index])[0], centre(image, augmenter)) for index in range(40)
    ]
    assert 8 <= sum(changed) <= 32


def test_missing_slices_change_exactly_those_slices_and_no_label():
    only = replace(OFF, missing_slice_probability=1.0, missing_slices_max=3)
    augmenter = Augmenter(only, (9, 8, 8), ANISOTROPIC)
    kinds = set()
    for index in range(20):
        image, labels = random_source(augmenter, 1, seed=index)
        got, got_labels = augmenter(image, labels, 0, [index])
        missing = draw_sample(augmenter.plan, 0, index)[1].missing
        lost = {section.z for section in missing}
        changed = {z for z in range(9) if not torch.equal(got[0, 0, z], image[0, 0, z])}
        assert changed == lost
        assert 1 <= len(lost) <= 3
        assert torch.equal(got_labels, labels)
        for section in missing:
            plane = got[0, 0, section.z]
            blank = bool((plane == plane[0, 0]).all())
            kinds.add(blank)
            assert blank or any(torch.equal(plane, image[0, 0, z]) for z in range(9))
            assert image.min() <= plane.min() <= plane.max() <= image.max()
    assert kinds == {False, True}


@pytest.mark.parametrize("slices", [1, 2])
def test_a_patch_of_one_or_two_slices_loses_none(slices):
    augmenter = Augmenter(replace(OFF, missing_slice_probability=1.0), (slices, 8, 8), ANISOTROPIC)
    image, labels = random_source(augmenter, 1)
    assert torch.equal(augmenter(image, labels, 0, [0])[0], image)


@pytest.mark.parametrize("voxel_size_nm", [ISOTROPIC, ANISOTROPIC])
@pytest.mark.parametrize("interpolated", [False, True])
def test_shifted_slices_move_image_and_labels_and_no_other_slice(voxel_size_nm, interpolated):
    """Interpolated or not, a shifted slice shows what an unshifted one shows some voxels further on."""
    patch = (7, 12, 12)
    augmenter = Augmenter(replace(OFF, shifted_slice_probability=1.0), patch, voxel_size_nm)
    if interpolated:  # stretched by nothing: resampled, but onto its own voxels
        augmenter = Augmenter(
            replace(OFF, shifted_slice_probability=1.0, stretch_probability=1.0, stretch_max=1.0), patch, voxel_size_nm
        )
    image, labels = random_source(augmenter, 1)
    depth, y, x = augmenter.margin_zyx
    for index in range(12):
        shift = draw_sample(augmenter.plan, 0, index)[0].shift
        got, got_labels = augmenter(image, labels, 0, [index])
        for z in range(7):
            dy, dx = shift.offset_yx if shift.z_start <= z < shift.z_stop else (0, 0)
            window = (..., depth + z, slice(y + dy, y + dy + 12), slice(x + dx, x + dx + 12))
            assert torch.equal(got_labels[:, z], labels[window])
            torch.testing.assert_close(got[:, :, z], image[window], rtol=0, atol=5e-3 if interpolated else 0)


@pytest.mark.parametrize("sigma", [(0.0, 1.0, 1.0), (0.7, 0.5, 1.3), (0.05, 0.9, 0.0)])
@pytest.mark.parametrize("shape", [(2, 6, 15, 11), (1, 1, 3, 20)])
def test_blur_agrees_with_scipy(sigma, shape):
    image = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    radius = [min(max(1, round(3 * s)), n - 1) for s, n in zip(sigma, shape[1:], strict=True)]
    used = [s if s >= 0.2 and n > 1 else 0 for s, n in zip(sigma, shape[1:], strict=True)]
    for channel, blurred in zip(image.numpy(), blur(image, sigma).numpy(), strict=True):
        oracle = ndimage.gaussian_filter(channel.astype(float), used, mode="nearest", radius=radius)
        np.testing.assert_allclose(blurred, oracle, atol=1e-5)


def test_gamma_keeps_the_range_and_the_order():
    image = torch.randn(1, 4, 9, 9)
    before = image.clone()
    apply_gamma(image, 1.4)
    torch.testing.assert_close(image.aminmax(), before.aminmax())
    unit = (before - before.min()) / (before.max() - before.min())
    torch.testing.assert_close((image - image.min()) / (image.max() - image.min()), unit**1.4, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "transform", [lambda x: apply_gamma(x, 0.7), lambda x: add_noise(x, ((torch.randn(x.shape), 1.0),), 0.0, 0.2)]
)
def test_a_constant_image_stays_finite_and_constant(transform):
    image = torch.full((1, 2, 5, 5), 3.0)
    transform(image)
    torch.testing.assert_close(image, torch.full((1, 2, 5, 5), 3.0))


def test_contrast_brightness_and_unevenness_are_one_product_and_one_sum():
    image, field = torch.randn(2, 3, 5, 5), torch.rand(1, 3, 5, 5) - 0.5
    expected = image * 1.3 * (1 + field) - 0.2
    adjust(image, 1.3, -0.2, field)
    torch.testing.assert_close(image, expected)


def mixture(shape: tuple[int, ...], seed: int) -> Mixture:
    banks = NoiseBanks(math.prod(shape), torch.device("cpu"))
    return banks.mixture(NoiseWindows((seed * 100, seed * 200), float(seed)), torch.Size(shape))


def normal_noise(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return sum(numbers * weight for numbers, weight in mixture(shape, seed))


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_standard_normal_and_white(seed):
    noise = normal_noise((200_000,), seed).double().numpy()
    assert stats.kstest(noise, "norm").pvalue > 1e-3
    spectrum = np.fft.irfft(np.abs(np.fft.rfft(noise)) ** 2) / noise.size  # autocorrelation at every lag
    assert np.abs(spectrum[1:]).max() < 6 / math.sqrt(noise.size)


def test_noise_of_two_samples_is_uncorrelated():
    one, two = normal_noise((200_000,), 1), normal_noise((200_000,), 2)
    assert abs(float((one * two).mean())) < 6 / math.sqrt(200_000)


def test_noise_has_the_variance_that_was_asked_for():
    """Gaussian noise everywhere; shot noise whose variance is 0 in the dark and full in the light, linear between."""
    levels = torch.tensor([-1.0, 0.0, 1.0]).repeat_interleave(40_000).reshape(1, 3, 200, 200)
    noisy = levels.clone()
    add_noise(noisy, mixture(levels.shape, 1), 0.1, 0.3)
    measured = (noisy - levels).square().mean(dim=(0, 2, 3))
    torch.testing.assert_close(measured, 0.01 + 0.09 * torch.tensor([0.0, 0.5, 1.0]), rtol=0.03, atol=0)


@given(size=st.integers(1, 60), spacing=st.floats(1, 50))
@settings(max_examples=50, deadline=None)
def test_spline_weights_are_convex_and_reproduce_straight_lines(size, spacing):
    weights = spline_weights(size, spacing).double()
    assert weights.shape == (size, control_points(size, spacing))
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(size, dtype=torch.float64), atol=1e-6, rtol=0)
    line = weights @ torch.arange(weights.shape[1], dtype=torch.float64) * spacing
    torch.testing.assert_close(line - line[0], torch.arange(size, dtype=torch.float64), atol=1e-3, rtol=0)
    torch.testing.assert_close(weights, weights.flip(0, 1), atol=1e-5, rtol=0)


def test_upsampling_is_the_tensor_product_of_its_axes():
    controls = torch.randn(2, 4, 5, 6)
    matrices = [torch.rand(n, k) for n, k in ((7, 4), (8, 5), (9, 6))]
    expected = torch.einsum("cijk,zi,yj,xk->czyx", controls, *matrices)
    torch.testing.assert_close(upsample(controls, matrices), expected, atol=1e-4, rtol=1e-4)


# Errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rotation_probability", 1.1),
        ("flip_probability_zyx", (0.5, -0.1, 0.5)),
        ("scale_range", (1.2, 0.8)),
        ("gamma_range", (0.0, 1.0)),
        ("stretch_max", 0.9),
        ("unevenness_max", 1.0),
        ("elastic_spacing_voxels", 20.0),
        ("slice_shift_max_voxels", 0),
        ("tilt_degrees", float("nan")),
    ],
)
def test_a_setting_out_of_range_is_named(field, value):
    with pytest.raises(ConfigError, match=rf"^{field}: "):
        replace(AugmentationSettings(), **{field: value})


@pytest.mark.parametrize(
    ("patch", "voxel"), [((0, 8, 8), ISOTROPIC), ((4, 8, 8), (8.0, 0.0, 8.0)), ((8, 8), ISOTROPIC)]
)
def test_an_impossible_patch_or_voxel_size_is_refused(patch, voxel):
    with pytest.raises(InputError, match="three positive numbers"):
        Augmenter(OFF, patch, voxel)


def test_wrong_shapes_types_and_indices_are_refused():
    augmenter = Augmenter(OFF, (3, 4, 4), ISOTROPIC)
    image, labels = random_source(augmenter, 2)
    for bad in (
        (image.double(), labels, 0, [0, 1]),
        (image[0], labels, 0, [0, 1]),
        (image, labels.float(), 0, [0, 1]),
        (image, labels > 0, 0, [0, 1]),
        (image, labels, 0, [0]),
        (image[..., 1:], labels[..., 1:], 0, [0, 1]),
        (image, labels, -1, [0, 1]),
        (image, labels, 0, [0, 2**64]),
    ):
        with pytest.raises(InputError):
            augmenter(*bad)


def test_a_draw_says_everything_about_a_sample():
    """Equal draws, equal fates: nothing is decided outside the draw."""
    plan = Augmenter(ALWAYS, (6, 12, 12), ISOTROPIC).plan
    for one, two in zip(draw_sample(plan, 4, 9), draw_sample(plan, 4, 9), strict=True):
        for field in fields(one):
            np.testing.assert_equal(_plain(getattr(one, field.name)), _plain(getattr(two, field.name)))


def _plain(value: object) -> object:
    return vars(value) if isinstance(value, Deformation) else value
