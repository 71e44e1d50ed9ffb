"""Merged networks are weighed as their independence deserves, and doubt is as large as the errors are frequent."""

from __future__ import annotations

import pytest
import torch

from pipeline.nn.calibration import Confidence, JudgedVoxels, macro_f1
from pipeline.nn.merging import CERTAIN, Merging, Opinion, as_bytes, merging
from pipeline.nn.targets import Target, prior_logits

SHARES = [0.7, 0.2, 0.1]
EXCLUSIVE = Target("multilabel", (1, 2, 3), exclusive=True)
OVERLAPPING = Target("multilabel", (1, 2, 3), exclusive=False)
TARGETS = {"exclusive": EXCLUSIVE, "overlapping": OVERLAPPING}
VOXELS = 100_000


def seen_twice(target: Target, seed: int = 0) -> tuple[Opinion, torch.Tensor, torch.Tensor]:
    """What two sound witnesses say who each saw a noisy signal of every class of their own, and what both know.

    Returns what the first says, the probabilities of the second class by class (bytes), and the posterior (classes,
    voxels) of who has seen both signals.
    """
    generator = torch.Generator().manual_seed(seed)
    prior_C = prior_logits(SHARES, target)
    if target.head == "softmax":
        drawn = torch.multinomial(torch.tensor(SHARES), VOXELS, True, generator=generator)
        truth = torch.nn.functional.one_hot(drawn, 3).T.bool()
    else:
        truth = torch.rand((3, VOXELS), generator=generator) < torch.tensor(SHARES)[:, None]
    evidence = [truth.float() + torch.randn((3, VOXELS), generator=generator) - 0.5 for _ in range(2)]
    one, both = (target.probabilities(each + prior_C[:, None]) for each in (evidence[0], evidence[0] + evidence[1]))
    # A network of one class knows nothing of the others: of exclusive classes its odds are those against the rest.
    posterior = target.probabilities(evidence[1] + prior_C[:, None])
    region = (torch.arange(VOXELS) * 10 // VOXELS).to(torch.int16)
    return Opinion(as_bytes(one), truth, region, prior_C), as_bytes(posterior), both


def test_independent_witnesses_count_alike_and_the_prior_once():
    """Bayes: the log-odds of both add up, and the prior that is in each is taken away once."""
    joint, alone, both = seen_twice(OVERLAPPING)
    found = merging(joint, alone, OVERLAPPING)
    assert (*found.joint, *found.alone) == pytest.approx((1,) * 6, abs=0.1)
    assert torch.tensor(found.offsets) == pytest.approx((-joint.prior).numpy(), abs=0.05)
    merged = OVERLAPPING.probabilities(found.logits(joint.said, alone, OVERLAPPING))
    assert (merged - both).abs().mean() < 0.01


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_merged_is_better_than_either_on_other_voxels(target):
    found = merging(*seen_twice(target, 0)[:2], target)
    joint, alone, _ = seen_twice(target, 1)
    logits = found.logits(joint.said, alone, target)
    offsets = torch.tensor(found.said_offsets)[:, None]

    def score(said: torch.Tensor) -> float:
        own = torch.logit(said.float().clamp(0.5, CERTAIN - 0.5) / CERTAIN)
        return macro_f1(own, joint.truth, target)

    assert macro_f1(logits + offsets, joint.truth, target) > max(score(joint.said), score(alone)) + 0.02


def test_a_network_that_guesses_is_not_listened_to():
    joint, alone, _ = seen_twice(EXCLUSIVE)
    shuffled = alone[:, torch.randperm(VOXELS, generator=torch.Generator().manual_seed(1))]
    found = merging(joint, shuffled, EXCLUSIVE)
    assert found.alone == pytest.approx((0,) * 3, abs=0.03)
    assert found.joint == pytest.approx((1,) * 3, abs=0.05)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_doubt_is_how_often_what_is_said_is_wrong(target):
    found = merging(*seen_twice(target, 0)[:2], target)
    joint, alone, _ = seen_twice(target, 1)
    ids, doubt = (
        volume.flatten() for volume in found.decide(found.logits(joint.said, alone, target)[:, None, None], target)
    )
    if target.head == "softmax":
        wrong = ids.long() - 1 != joint.truth.byte().argmax(0)
    else:
        bits = 1 + sum(joint.truth[row].long() << (row + 1) for row in range(3))
        wrong = ids.long() != bits
    assert 0.05 < wrong.float().mean() < 0.6
    for low in (0.0, 0.2, 0.4):
        near = (doubt >= low) & (doubt < low + 0.2)
        assert near.sum() > 1000
        assert wrong[near].float().mean() == pytest.approx(float(doubt[near].mean()), abs=0.03)


def test_nothing_labelled_leaves_the_word_to_the_multilabel_network():
    joint, alone, _ = seen_twice(EXCLUSIVE)
    nothing = Opinion(joint.said, torch.zeros_like(joint.truth), joint.region, joint.prior)
    found = merging(nothing, alone, EXCLUSIVE)
    assert found == Merging((1.0,) * 3, (0.0,) * 3, (0.0,) * 3, (0.0,) * 3)
    ids, _ = found.decide(found.logits(joint.said, alone, EXCLUSIVE)[:, None, None], EXCLUSIVE)
    assert torch.equal(ids.flatten().long() - 1, joint.said.max(dim=0).indices)


def test_an_opinion_comes_back_from_its_file():
    logits, truth = torch.randn(3, 50), torch.rand(3, 50) < 0.5
    judged = JudgedVoxels(logits, truth, torch.arange(50) // 10)
    opinion = Opinion.of(judged, Confidence(0.5, (0.1, 0.2, 0.3)), torch.tensor([-1.0, -2.0, -3.0]), EXCLUSIVE)
    back = Opinion.of_file(opinion.file(), "validation")
    for name in ("said", "truth", "region", "prior"):
        assert torch.equal(getattr(back, name), getattr(opinion, name))
    expected = (0.5 * logits + torch.tensor([0.1, 0.2, 0.3])[:, None]).softmax(0)
    assert (opinion.said.float() / CERTAIN - expected).abs().max() <= 0.5 / CERTAIN + 1e-6
