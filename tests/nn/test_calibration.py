"""Calibrated logits serve macro F1 where they were not calibrated, and probabilities are right as often as they say."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from pipeline.nn.calibration import (
    SHARES_OF_PRIOR,
    Confidence,
    JudgedVoxels,
    confidence,
    macro_f1,
    share_of_prior,
    shift_logits,
)
from pipeline.nn.plan import plan_network
from pipeline.nn.targets import Target, prior_logits
from pipeline.nn.unet import UNet

SOFTMAX = Target("multilabel", (1, 2, 3), exclusive=True)
SIGMOID = Target("multilabel", (1, 2, 3), exclusive=False)
BINARY = Target("only", (1,), exclusive=True)
TARGETS = {"softmax": SOFTMAX, "sigmoid": SIGMOID, "one-vs-rest": BINARY}


def sample(target: Target, seed: int, voxels: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that lean towards the truth, and a bias that calibration is to find."""
    generator = torch.Generator().manual_seed(seed)
    rows = len(target.class_ids)
    if target.head == "softmax":
        truth = torch.nn.functional.one_hot(torch.randint(0, rows, (voxels,), generator=generator), rows).T.bool()
    else:
        truth = torch.rand((rows, voxels), generator=generator) < 0.3
    bias = torch.randn((rows, 1), generator=generator)
    return truth * 1.5 + bias + torch.randn((rows, voxels), generator=generator), truth


def sklearn_macro_f1(logits: torch.Tensor, truth: torch.Tensor, target: Target) -> float:
    seen = torch.arange(len(logits))[:, None] == logits.argmax(0) if target.head == "softmax" else logits > 0
    occurring = [row for row in range(len(truth)) if truth[row].any()]
    scores = [f1_score(truth[row].numpy(), seen[row].numpy(), zero_division=0) for row in occurring]
    return sum(scores) / len(scores) if scores else 0.0


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), voxels=st.integers(1, 60))
def test_macro_f1_is_that_of_scikit_learn(target, seed, voxels):
    logits, truth = sample(target, seed, voxels)
    assert macro_f1(logits, truth, target) == pytest.approx(sklearn_macro_f1(logits, truth, target), abs=1e-9)


def judged(logits: torch.Tensor, truth: torch.Tensor, regions: int = 8) -> JudgedVoxels:
    """Voxels in regions of equal size, one after the other."""
    voxels = logits.shape[1]
    return JudgedVoxels(logits, truth, torch.arange(voxels) * regions // voxels)


def balanced(target: Target, seed: int, voxels: int = 4000) -> tuple[JudgedVoxels, torch.Tensor]:
    """Logits as training leaves them: sound, but for the prior, which they know nothing of; and that prior.

    Each voxel shows a noisy value a class, and the logits are the exact likelihood ratios of what is seen.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = len(target.class_ids)
    share = torch.tensor([0.9, 0.08, 0.02][:rows] if target.head == "softmax" else [0.05, 0.2, 0.5][:rows])
    if target.head == "softmax":
        truth = torch.nn.functional.one_hot(torch.multinomial(share, voxels, True, generator=generator), rows).T.bool()
    else:
        truth = torch.rand((rows, voxels), generator=generator) < share[:, None]
    signal = 1.5
    seen = truth * signal + torch.randn((rows, voxels), generator=generator)
    logits = signal * seen - signal**2 / 2
    return judged(logits, truth), prior_logits(share.tolist(), target)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_the_share_of_the_prior_serves_voxels_that_it_was_not_found_on(target):
    for seed in range(3):
        found, prior = balanced(target, seed)
        other, _ = balanced(target, seed + 100)
        share = share_of_prior(found, prior, target)
        assert 0 < share < 1
        without = macro_f1(other.logits, other.truth, target)
        assert macro_f1(other.shifted(share * prior).logits, other.truth, target) > without + 0.01


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_no_share_that_is_clearly_better_is_passed_over(target):
    found, prior = balanced(target, 0, voxels=40_000)
    share = share_of_prior(found, prior, target)
    scores = {each: macro_f1(found.shifted(each * prior).logits, found.truth, target) for each in SHARES_OF_PRIOR}
    assert scores[share] > max(scores.values()) - 0.01
    assert all(score < scores[share] for each, score in scores.items() if each < share)


def test_what_one_region_alone_asks_for_is_not_taken():
    """The prior helps in the first region, where the class is said too often, and costs a little in all others."""
    truth = torch.zeros(1, 800, dtype=torch.bool)
    truth[0, ::10] = True
    logits = torch.where(truth, 4.0, -4.0)
    logits[0, 1:100:3] = torch.where(truth[0, 1:100:3], 4.0, 0.5)
    logits[0, 100::100] = 0.2
    prior = torch.tensor([-2.0])
    assert macro_f1(logits + prior, truth, BINARY) > macro_f1(logits, truth, BINARY) + 0.05
    assert share_of_prior(judged(logits, truth), prior, BINARY) == 0
    spread = torch.randperm(800, generator=torch.Generator().manual_seed(0))
    assert share_of_prior(judged(logits[:, spread], truth[:, spread]), prior, BINARY) > 0


def test_without_evidence_nothing_is_taken():
    found, prior = balanced(SOFTMAX, 0)
    one_region = JudgedVoxels(found.logits, found.truth, torch.zeros_like(found.region))
    assert share_of_prior(one_region, prior, SOFTMAX) == 0
    nothing = JudgedVoxels(found.logits, torch.zeros_like(found.truth), found.region)
    assert share_of_prior(nothing, prior, SOFTMAX) == 0
    assert confidence(nothing, prior, SOFTMAX) == Confidence.as_it_is(3)
    empty = JudgedVoxels(found.logits[:, :0], found.truth[:, :0], found.region[:0])
    assert share_of_prior(empty, prior, SOFTMAX) == 0
    assert macro_f1(empty.logits, empty.truth, SOFTMAX) == 0


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_confidence_finds_the_scale_and_the_prior_that_were_lost(target):
    """Logits of which a known scale was taken: the posterior is known, and so are scale and offsets."""
    found, prior = balanced(target, 1, voxels=200_000)
    overconfident = JudgedVoxels(2.5 * found.logits, found.truth, found.region)
    sure = confidence(overconfident, prior, target)
    assert sure.scale == pytest.approx(1 / 2.5, rel=0.03)
    lost = torch.tensor(sure.offsets) - prior
    assert (lost - lost.mean() if target.head == "softmax" else lost).abs().max() < 0.1
    said = target.probabilities(sure(overconfident.logits[:, None, None]))[:, 0, 0]
    right = found.truth.float().mean(1)
    torch.testing.assert_close(said.mean(1), right, rtol=0, atol=0.005)


def test_confidence_of_a_network_of_which_nothing_is_known_changes_nothing():
    logits = torch.randn(3, 2, 2, 2)
    torch.testing.assert_close(Confidence.as_it_is(3)(logits), logits, rtol=0, atol=0)


def test_perfect_logits_keep_a_finite_confidence():
    truth = torch.zeros(3, 30, dtype=torch.bool)
    truth[0, :10], truth[1, 10:20], truth[2, 20:] = True, True, True
    sure = confidence(judged(truth * 60.0, truth), torch.tensor([-1.0, -1.0, -1.0]), SOFTMAX)
    assert sure.scale > 0
    assert all(abs(offset) < 100 for offset in sure.offsets)


def test_shifting_the_network_adds_to_its_logits():
    torch.manual_seed(0)
    network = UNet(
        plan_network(voxel_size_nm=(8, 8, 8), extent_zyx=(8, 8, 8), outputs=3, head="softmax", features=(4, 4))
    ).eval()
    image, offsets = torch.randn(1, 1, 8, 8, 8), [0.5, -1.25, 0.0]
    with torch.inference_mode():
        before = network(image)
    shift_logits(network, SOFTMAX, offsets)
    with torch.inference_mode():
        torch.testing.assert_close(network(image), before + torch.tensor(offsets).view(1, 3, 1, 1, 1))
