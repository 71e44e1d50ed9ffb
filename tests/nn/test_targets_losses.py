"""Truth, decisions and losses against plain loops over voxels.

Exclusive ids and overlapping bit masks, all classes and one-vs-rest; voxels that nobody labelled must not count.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.nn.targets import DICE_SMOOTHING_VOXELS, Target, deep_loss, segmentation_loss

SHAPE_BZYX = (2, 2, 4, 6)
SOFTMAX = Target("multilabel", (1, 2, 3), exclusive=True)
SIGMOID = Target("multilabel", (1, 2, 3), exclusive=False)
BINARY = Target("second", (2,), exclusive=True)
BINARY_MASK = Target("second", (2,), exclusive=False)
TARGETS = [SOFTMAX, SIGMOID, BINARY, BINARY_MASK]
target_ids = [f"{target.name}-{'ids' if target.exclusive else 'masks'}" for target in TARGETS]


def random_labels(target: Target, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    if target.exclusive:
        return torch.from_numpy(rng.integers(0, 4, SHAPE_BZYX, dtype=np.uint8))
    return torch.from_numpy(rng.integers(0, 16, SHAPE_BZYX, dtype=np.uint32))


def random_logits(target: Target, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((SHAPE_BZYX[0], len(target.class_ids), *SHAPE_BZYX[1:]), generator=generator) * 2


def plain_truth(target: Target, label: int) -> tuple[list[bool], bool]:
    if target.exclusive:
        return [label == class_id for class_id in target.class_ids], label != 0
    return [bool(label & 2**class_id) for class_id in target.class_ids], label % 2 == 1


def plain_loss(target: Target, logits: np.ndarray, labels: np.ndarray, dice_weight: float) -> float:
    """Cross-entropy and soft Dice, voxel by voxel in Python floats."""
    entropies, overlap, size = [], [0.0] * len(target.class_ids), [0.0] * len(target.class_ids)
    for voxel in np.ndindex(labels.shape):
        truth, labelled = plain_truth(target, int(labels[voxel]))
        if not labelled:
            continue
        row = [float(logits[(voxel[0], channel, *voxel[1:])]) for channel in range(len(truth))]
        if target.head == "softmax":
            total = sum(math.exp(value) for value in row)
            probabilities = [math.exp(value) / total for value in row]
            entropies.append(-math.log(probabilities[truth.index(True)]))
        else:
            probabilities = [1 / (1 + math.exp(-value)) for value in row]
            right = [p if is_it else 1 - p for p, is_it in zip(probabilities, truth, strict=True)]
            entropies.append(-sum(math.log(p) for p in right) / len(right))
        for channel, (p, is_it) in enumerate(zip(probabilities, truth, strict=True)):
            overlap[channel] += p * is_it
            size[channel] += p + is_it
    smooth = DICE_SMOOTHING_VOXELS
    dice = [(2 * o + smooth) / (s + smooth) for o, s in zip(overlap, size, strict=True)]
    return sum(entropies) / len(entropies) + dice_weight * (1 - sum(dice) / len(dice))


@pytest.mark.parametrize("target", TARGETS, ids=target_ids)
@pytest.mark.parametrize("dice_weight", [0.0, 0.5, 1.0])
def test_the_loss_is_that_of_plain_loops(target, dice_weight):
    logits, labels = random_logits(target), random_labels(target)
    found = float(segmentation_loss(logits, labels, target, dice_weight))
    assert found == pytest.approx(plain_loss(target, logits.numpy(), labels.numpy(), dice_weight), rel=1e-5)


@pytest.mark.parametrize("target", TARGETS, ids=target_ids)
def test_voxels_that_nobody_labelled_have_neither_loss_nor_gradient(target):
    logits, labels = random_logits(target).requires_grad_(), random_labels(target)
    loss = segmentation_loss(logits, labels, target, 0.5)
    loss.backward()
    labelled = target.truth(labels)[1]
    gradient = logits.grad.abs().amax(1)
    assert (gradient[~labelled] == 0).all()
    assert (gradient[labelled] > 0).all()
    wild = logits.detach() + 30 * torch.randn(logits.shape) * ~labelled.unsqueeze(1)
    assert segmentation_loss(wild, labels, target, 0.5) == pytest.approx(loss.item(), rel=1e-6)


@pytest.mark.parametrize("target", TARGETS, ids=target_ids)
def test_a_batch_without_labels_is_no_loss_and_no_nan(target):
    logits = random_logits(target).requires_grad_()
    loss = segmentation_loss(logits, torch.zeros_like(random_labels(target)), target, 0.5)
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("target", TARGETS, ids=target_ids)
def test_the_loss_of_a_certain_and_right_network_is_near_zero(target):
    labels = random_labels(target)
    truth, _ = target.truth(labels)
    assert float(segmentation_loss(truth.float() * 80 - 40, labels, target, 0.5)) == pytest.approx(0.0, abs=1e-6)


def test_half_precision_logits_are_judged_in_full_precision():
    logits, labels = random_logits(SOFTMAX).bfloat16(), random_labels(SOFTMAX)
    assert segmentation_loss(logits, labels, SOFTMAX, 0.5) == segmentation_loss(logits.float(), labels, SOFTMAX, 0.5)


def test_deep_losses_halve_from_level_to_level_and_take_every_nth_label():
    labels = random_labels(SOFTMAX)
    logits = [random_logits(SOFTMAX), random_logits(SOFTMAX, 1)[:, :, :, ::2, ::2]]
    fine = segmentation_loss(logits[0], labels, SOFTMAX, 0.5)
    coarse = segmentation_loss(logits[1], labels[:, :, ::2, ::2], SOFTMAX, 0.5)
    assert float(deep_loss(logits, labels, SOFTMAX, 0.5)) == pytest.approx(float(fine * 2 / 3 + coarse / 3), rel=1e-6)
    assert deep_loss(logits[:1], labels, SOFTMAX, 0.5) == fine


@pytest.mark.parametrize("target", TARGETS, ids=target_ids)
def test_truth_is_that_of_plain_loops(target):
    labels = random_labels(target)
    truth, labelled = target.truth(labels)
    for voxel in np.ndindex(labels.shape):
        expected = plain_truth(target, int(labels[voxel].item()))
        assert (truth[voxel[0], :, *voxel[1:]].tolist(), bool(labelled[voxel])) == expected


@pytest.mark.parametrize(("dtype", "class_id"), [(torch.uint8, 255), (torch.uint16, 40_000)])
def test_ids_up_to_the_end_of_their_type_are_told_apart(dtype, class_id):
    labels = torch.tensor([[[[0, 1, class_id]]]], dtype=dtype)
    truth, labelled = Target("last", (class_id,), exclusive=True).truth(labels)
    assert truth.flatten().tolist() == [False, False, True]
    assert labelled.flatten().tolist() == [False, True, True]


def test_the_last_of_31_overlapping_classes_has_its_bit():
    target = Target("multilabel", tuple(range(1, 32)), exclusive=False)
    labels = torch.tensor([[[[2**31 + 1, 1, 2**31]]]], dtype=torch.uint32)
    truth, labelled = target.truth(labels)
    assert truth[0, :, 0, 0].nonzero().tolist() == [[30, 0], [30, 2]]
    assert labelled.flatten().tolist() == [True, True, False]
    decided = target.decide(truth[0].float() * 2 - 1)
    assert decided.dtype == torch.uint32
    assert decided.flatten().tolist() == [2**31 + 1, 1, 2**31 + 1]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from(range(4)))
def test_decisions_agree_with_the_probabilities(seed, which):
    target = TARGETS[which]
    logits = random_logits(target, seed)[0]
    probabilities, decided = target.probabilities(logits).numpy(), target.decide(logits).numpy()
    if target.head == "softmax":
        assert (decided == probabilities.argmax(0) + 1).all()
        np.testing.assert_allclose(probabilities.sum(0), 1, rtol=1e-5)
    elif target.one_vs_rest:
        assert (decided == np.where(probabilities[0] > 0.5, 1, 2)).all()
    else:
        bits = sum((probabilities[k - 1] > 0.5).astype(np.uint32) << k for k in target.class_ids)
        assert (decided == bits + 1).all()


def test_the_first_of_equal_classes_is_chosen():
    assert SOFTMAX.decide(torch.zeros(3, 1, 1, 1)).item() == 1
    assert BINARY.decide(torch.zeros(1, 1, 1, 1)).item() == 2
