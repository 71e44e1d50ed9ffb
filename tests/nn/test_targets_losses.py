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

from pipeline.nn.targets import DICE_SMOOTHING_VOXELS, RAREST_SHARE, SegmentationLoss, Target, prior_logits

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


def loss_of(target: Target, dice_weight: float = 0.5, prior: float = 0.0) -> SegmentationLoss:
    """A loss whose classes' priors differ by `prior`."""
    return SegmentationLoss(target, -prior * torch.arange(len(target.class_ids)), dice_weight)


def plain_loss(target: Target, logits: np.ndarray, labels: np.ndarray, dice_weight: float, prior: float) -> float:
    """Cross-entropy of shifted logits and soft Dice, voxel by voxel in Python floats."""
    entropies, overlap, size = [], [0.0] * len(target.class_ids), [0.0] * len(target.class_ids)
    for voxel in np.ndindex(labels.shape):
        truth, labelled = plain_truth(target, int(labels[voxel]))
        if not labelled:
            continue
        row = [float(logits[(voxel[0], channel, *voxel[1:])]) for channel in range(len(truth))]
        shifted = plain_probabilities(target, [value - prior * channel for channel, value in enumerate(row)])
        if target.head == "softmax":
            entropies.append(-math.log(shifted[truth.index(True)]))
        else:
            right = [p if is_it else 1 - p for p, is_it in zip(shifted, truth, strict=True)]
            entropies.append(-sum(math.log(p) for p in right) / len(right))
        for channel, (p, is_it) in enumerate(zip(plain_probabilities(target, row), truth, strict=True)):
            overlap[channel] += p * is_it
            size[channel] += p + is_it
    smooth = DICE_SMOOTHING_VOXELS
    dice = [(2 * o + smooth) / (s + smooth) for o, s in zip(overlap, size, strict=True)]
    return sum(entropies) / len(entropies) + dice_weight * (1 - sum(dice) / len(dice))


def plain_probabilities(target: Target, logits: list[float]) -> list[float]:
    if target.head == "softmax":
        total = sum(math.exp(value) for value in logits)
        return [math.exp(value) / total for value in logits]
    return [1 / (1 + math.exp(-value)) for value in logits]


@pytest.mark.parametrize("target", TARGETS, ids=target_ids)
@pytest.mark.parametrize(("dice_weight", "prior"), [(0.0, 0.0), (0.5, 0.0), (1.0, 0.0), (0.5, 1.5)])
def test_the_loss_is_that_of_plain_loops(target, dice_weight, prior):
    logits, labels = random_logits(target), random_labels(target)
    found = float(loss_of(target, dice_weight, prior)(logits, labels))
    assert found == pytest.approx(plain_loss(target, logits.numpy(), labels.numpy(), dice_weight, prior), rel=1e-5)


@pytest.mark.parametrize("target", TARGETS, ids=target_ids)
def test_the_prior_alone_says_how_frequent_a_class_is(target):
    shares = [0.7, 0.25, 0.05] if target.exclusive else [0.9, 0.25, 0.05]
    said = target.probabilities(prior_logits(shares, target).view(-1, 1, 1, 1)).flatten()
    assert said.tolist() == pytest.approx([shares[class_id - 1] for class_id in target.class_ids], abs=1e-6)


@pytest.mark.parametrize("target", TARGETS, ids=target_ids)
def test_the_prior_of_a_class_is_bounded_and_none_where_there_is_none(target):
    absent = target.class_ids[-1]
    shares = [0.5 if class_id != absent else 0.0 for class_id in (1, 2, 3)]
    assert prior_logits(shares, target)[-1] == 0
    shares[absent - 1] = 1e-9
    rarest = prior_logits(shares, target)[-1]
    shares[absent - 1] = RAREST_SHARE
    assert rarest == prior_logits(shares, target)[-1]


@pytest.mark.parametrize("target", TARGETS, ids=target_ids)
def test_voxels_that_nobody_labelled_have_neither_loss_nor_gradient(target):
    logits, labels = random_logits(target).requires_grad_(), random_labels(target)
    loss = loss_of(target)(logits, labels)
    loss.backward()
    labelled = target.is_labelled(labels)
    gradient = logits.grad.abs().amax(1)
    assert (gradient[~labelled] == 0).all()
    assert (gradient[labelled] > 0).all()
    wild = logits.detach() + 30 * torch.randn(logits.shape) * ~labelled.unsqueeze(1)
    assert loss_of(target)(wild, labels) == pytest.approx(loss.item(), rel=1e-6)


@pytest.mark.parametrize("target", TARGETS, ids=target_ids)
def test_a_batch_without_labels_is_no_loss_and_no_nan(target):
    logits = random_logits(target).requires_grad_()
    loss = loss_of(target)(logits, torch.zeros_like(random_labels(target)))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("target", TARGETS, ids=target_ids)
def test_the_loss_of_a_certain_and_right_network_is_near_zero(target):
    labels = random_labels(target)
    truth, _ = target.truth(labels)
    assert float(loss_of(target)(truth.float() * 80 - 40, labels)) == pytest.approx(0.0, abs=1e-6)


def test_half_precision_logits_are_judged_in_full_precision():
    logits, labels = random_logits(SOFTMAX).bfloat16(), random_labels(SOFTMAX)
    assert loss_of(SOFTMAX)(logits, labels) == loss_of(SOFTMAX)(logits.float(), labels)


def test_deep_losses_halve_from_level_to_level_and_take_every_nth_label():
    labels = random_labels(SOFTMAX)
    logits = [random_logits(SOFTMAX), random_logits(SOFTMAX, 1)[:, :, :, ::2, ::2]]
    fine = loss_of(SOFTMAX)(logits[0], labels)
    coarse = loss_of(SOFTMAX)(logits[1], labels[:, :, ::2, ::2])
    assert float(loss_of(SOFTMAX).deep(logits, labels)) == pytest.approx(float(fine * 2 / 3 + coarse / 3), rel=1e-6)
    assert loss_of(SOFTMAX).deep(logits[:1], labels) == fine


@pytest.mark.parametrize("target", TARGETS, ids=target_ids)
def test_truth_is_that_of_plain_loops(target):
    labels = random_labels(target)
    truth, labelled = target.truth(labels)[0], target.is_labelled(labels)
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


UNTOLD = Target("multilabel", (1, 2, 3), True, untold=((4, (1, 3)), (5, (2, 3))))
UNTOLD_BITS = Target("multilabel", (1, 2, 3), False, untold=((4, (1, 3)),))


def test_what_may_be_of_several_classes_has_their_summed_probability() -> None:
    """Marginal cross-entropy, voxel by voxel in plain Python; Dice of a class where it is known."""
    labels = torch.randint(0, 6, (2, 2, 4, 4), generator=torch.Generator().manual_seed(3)).to(torch.uint8)
    logits = random_logits(SOFTMAX)[:, :, :2, :4, :4]
    allowed = {1: {0}, 2: {1}, 3: {2}, 4: {0, 2}, 5: {1, 2}}
    probabilities = logits.softmax(1)
    losses, overlap, size = [], [16.0] * 3, [16.0] * 3
    for voxel in np.ndindex(labels.shape):
        possible = allowed.get(int(labels[voxel]))
        if possible is None:
            continue
        p = [float(each) for each in probabilities[voxel[0], :, *voxel[1:]]]
        losses.append(-np.log(sum(p[channel] for channel in possible)))
        for channel in range(3):
            if possible == {channel} or channel not in possible:
                is_one = possible == {channel}
                overlap[channel] += 2 * p[channel] * is_one
                size[channel] += p[channel] + is_one
    dice = np.mean([each / whole for each, whole in zip(overlap, size, strict=True)])
    found = SegmentationLoss(UNTOLD, torch.zeros(3), 0.5)(logits, labels)
    assert float(found) == pytest.approx(np.mean(losses) + 0.5 * (1 - dice), rel=1e-5)


def test_what_is_not_known_leaves_no_gradient() -> None:
    """Among the classes that a voxel may be of, nothing is preferred; of overlapping ones, each is known or not."""
    labels = torch.full((1, 1, 1, 2), 4, dtype=torch.uint8)
    logits = torch.tensor([0.3, -0.2, 0.1]).view(1, 3, 1, 1, 1).repeat(1, 1, 1, 1, 2).requires_grad_()
    SegmentationLoss(UNTOLD, torch.zeros(3), 0.0)(logits, labels).backward()
    pull, odds = logits.grad[0, :, 0, 0, 0], logits.detach()[0, :, 0, 0, 0].softmax(0)
    assert pull[1] > 0
    assert float(pull[0] / pull[2]) == pytest.approx(float(odds[0] / odds[2]), rel=1e-5)
    bits = torch.full((1, 1, 1, 2), 1 | 1 << 2 | 1 << 4, dtype=torch.uint32)
    logits = logits.detach().requires_grad_()
    SegmentationLoss(UNTOLD_BITS, torch.zeros(3), 0.5)(logits, bits).backward()
    assert (logits.grad[:, [0, 2]] == 0).all()
    assert (logits.grad[:, 1] != 0).all()


@pytest.mark.parametrize(("class_id", "unknown"), [(1, (0, 4)), (2, (0, 5)), (3, (0, 4, 5))])
def test_a_network_of_one_class_counts_what_is_surely_of_it_or_not(class_id: int, unknown: tuple[int, ...]) -> None:
    target, known = Target("one", (class_id,), True, untold=UNTOLD.untold), [id_ not in unknown for id_ in range(6)]
    labels = torch.tensor([[[[0, 1, 2, 3, 4, 5]]]], dtype=torch.uint8)
    assert target.truth(labels)[1].flatten().tolist() == known
    logits = torch.zeros(1, 1, 1, 1, 6, requires_grad=True)
    SegmentationLoss(target, torch.zeros(1), 0.5)(logits, labels).backward()
    assert (logits.grad.flatten() != 0).tolist() == known


def test_how_samples_were_labelled_is_not_told_of_a_network() -> None:
    assert UNTOLD.facts() == SOFTMAX.facts()
