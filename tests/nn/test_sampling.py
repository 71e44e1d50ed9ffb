"""A rare class is in every batch, candidates hold what they say, and all of it follows from (seed, step) alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.nn.augment.layer import Augmenter
from pipeline.nn.augment.settings import AugmentationSettings
from pipeline.nn.batches import SampleMaker, from_pool, on_the_fly, prefetched
from pipeline.nn.blockwise import Normalisation
from pipeline.nn.sampling import INSCRIBED, LabelledBox, choose_batch, class_counts, class_shares, draw_candidates

PATCH = (4, 16, 16)
SHARES = {1: 0.9, 2: 0.08, 3: 0.0145, 4: 0.003}
"""Class 4 is as rare as synapses are."""


def rare_box(seed: int, shape=(8, 64, 64)) -> LabelledBox:
    """Classes in compact spots of their shares, and a corner that nobody labelled."""
    rng = np.random.default_rng(seed)
    labels = np.ones(shape, np.uint8)
    for class_id in (2, 3, 4):
        spot = max(1, round(SHARES[class_id] * labels.size / 4))
        at = rng.integers(0, labels.size - spot)
        labels.ravel()[at : at + spot] = class_id
    labels[:, :8, :8] = 0
    return LabelledBox(rng.integers(0, 256, shape, dtype=np.uint8), labels)


BOXES = [rare_box(1), rare_box(2, (5, 40, 90))]


def candidates_of(boxes=BOXES, count=64, seed=0, exclusive=True):
    return draw_candidates(boxes, count=count, patch_zyx=PATCH, n_classes=4, exclusive=exclusive, seed=seed)


def test_candidates_hold_the_voxels_they_count():
    found = candidates_of()
    half = [int(edge * INSCRIBED) // 2 for edge in PATCH]
    for box, centre, voxels in zip(found.boxes, found.centres_zyx, found.class_voxels, strict=True):
        labels = BOXES[box].labels
        assert (centre >= 0).all()
        assert (centre < labels.shape).all()
        size = [int(edge * INSCRIBED) for edge in PATCH]
        window = tuple(slice(max(0, c - h), c - h + n) for c, h, n in zip(centre, half, size, strict=True))
        assert [np.count_nonzero(labels[window] == k) for k in (1, 2, 3, 4)] == voxels.tolist()


def test_every_class_has_its_share_of_the_candidates():
    held = (candidates_of(count=100).class_voxels > 0).mean(0)
    assert (held > 0.1).all()


def test_candidates_follow_from_the_seed():
    one, same, other = candidates_of(seed=5), candidates_of(seed=5), candidates_of(seed=6)
    assert (one.centres_zyx == same.centres_zyx).all()
    assert (one.boxes == same.boxes).all()
    assert (one.centres_zyx != other.centres_zyx).any()


def test_bit_masks_are_sampled_like_ids():
    masks = [
        LabelledBox(box.image, np.where(box.labels > 0, 1 | 1 << box.labels, 0).astype(np.uint32)) for box in BOXES
    ]
    ids, bits = candidates_of(), candidates_of(masks, exclusive=False)
    assert (ids.centres_zyx == bits.centres_zyx).all()
    assert (ids.class_voxels == bits.class_voxels).all()


def test_a_class_that_does_not_occur_is_passed_over_and_no_label_at_all_is_refused():
    only = LabelledBox(np.zeros((4, 9, 9), np.uint8), np.full((4, 9, 9), 2, np.uint8))
    assert (candidates_of([only], count=8).class_voxels > 0).any(0).tolist() == [False, True, False, False]
    with pytest.raises(DataError, match="labelled"):
        candidates_of([LabelledBox(only.image, np.zeros_like(only.labels))])


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 10**6), st.integers(1, 6))
def test_every_batch_covers_the_rarest_classes_that_fit(seed, step, batch_size):
    voxels = candidates_of().class_voxels
    cover = [3, 2, 1, 0]
    chosen = choose_batch(voxels, cover=cover, batch_size=batch_size, seed=seed, step=step)
    assert len(chosen) == batch_size
    assert (voxels[chosen][:, cover[:batch_size]] > 0).any(0).all()
    assert chosen == choose_batch(voxels, cover=cover, batch_size=batch_size, seed=seed, step=step)


def test_steps_and_seeds_choose_differently():
    voxels = candidates_of().class_voxels
    chosen = {
        tuple(choose_batch(voxels, cover=[3], batch_size=4, seed=seed, step=step))
        for seed in range(4)
        for step in range(4)
    }
    assert len(chosen) == 16


def test_a_class_that_no_sample_holds_leaves_the_batch_to_the_others():
    voxels = np.array([[5, 0], [0, 0], [0, 0]])
    assert 0 in choose_batch(voxels, cover=[1, 0], batch_size=1, seed=0, step=0)


def maker_of() -> SampleMaker:
    augmenter = Augmenter(AugmentationSettings(), PATCH, (40.0, 8.0, 8.0))
    return SampleMaker(BOXES, candidates_of(count=200), augmenter, Normalisation(128.0, 60.0), seed=0)


def test_the_rarest_class_is_in_every_augmented_batch():
    batches = on_the_fly(maker_of(), cover=[3, 2, 1, 0], batch_size=2, seed=0)
    for step in range(60):
        assert (batches(step)[1] == 4).any(), step


def test_a_batch_made_on_the_fly_is_a_function_of_its_step():
    batches, again = (on_the_fly(maker_of(), cover=[3], batch_size=2, seed=0) for _ in range(2))
    ahead = list(prefetched(again, 2, 6))
    assert len(ahead) == 4
    for step, (image, labels) in zip(range(2, 6), ahead, strict=True):
        expected_image, expected_labels = batches(step)
        assert torch.equal(image, expected_image)
        assert torch.equal(labels, expected_labels)
        assert image.shape == (2, 1, *PATCH)


def test_a_pool_gives_the_chosen_samples_in_float32():
    images = np.arange(12, dtype=np.float16).reshape(12, 1, 1, 1)
    labels = np.arange(12, dtype=np.uint8).reshape(12, 1, 1, 1)
    voxels = np.eye(12, 2, dtype=np.int64)

    def read(indices):
        return images[list(indices)], labels[list(indices)]

    image, label = from_pool(read, voxels, cover=[1], batch_size=3, seed=0)(7)
    assert image.dtype == torch.float32
    assert image.flatten().tolist() == label.flatten().tolist()
    assert label[0].item() == 1


def test_an_error_while_a_batch_is_made_reaches_the_training():
    def broken(step: int):
        raise OSError(f"step {step}")

    with pytest.raises(OSError, match="step 3"):
        next(prefetched(broken, 3, 5))


@given(st.integers(0, 1000))
@settings(deadline=None, max_examples=20)
def test_class_counts_are_those_of_plain_loops(seed):
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 6, (3, 4, 5), dtype=np.uint8)
    assert class_counts(ids, 4, True).tolist() == [int((ids == k).sum()) for k in (1, 2, 3, 4)]
    bits = rng.integers(0, 2**5, (3, 4, 5), dtype=np.uint32)
    assert class_counts(bits, 4, False).tolist() == [int((bits & 2**k > 0).sum()) for k in (1, 2, 3, 4)]


def test_shares_of_what_is_partly_labelled_are_the_likeliest() -> None:
    """Labels of which some do not tell classes apart: shares near those of the truth, without them near others."""
    rng = np.random.default_rng(0)
    shares = np.array([0.6, 0.3, 0.1])
    full = rng.multinomial(20_000, shares, size=5)
    part = rng.multinomial(20_000, shares, size=15)
    counts = np.concatenate(
        [
            np.concatenate([full, np.zeros((5, 1), np.int64)], axis=1),
            np.stack([0 * part[:, 0], 0 * part[:, 1], part[:, 2], part[:, 0] + part[:, 1]], axis=1),
        ]
    )
    assert class_shares(counts, 20_000, True, [[1, 2]]) == pytest.approx(shares.tolist(), abs=0.01)
    assert class_shares(counts[:, :3], 20_000, True)[2] > 0.2
    assert class_shares(full, 20_000, True, []) == class_shares(full, 20_000, True)


def test_shares_of_overlapping_classes_are_of_what_names_them() -> None:
    counts = np.array([[50, 20, 0], [0, 30, 100]])
    assert class_shares(counts, 100, False, [[1]]) == [0.5, 0.25]
