"""Calibrated logits serve macro F1 at least as well as they were, and the network then gives them by itself."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from pipeline.nn.calibration import best_offsets, macro_f1, shift_logits
from pipeline.nn.plan import plan_network
from pipeline.nn.targets import Target
from pipeline.nn.unet import UNet

SOFTMAX = Target("multilabel", (1, 2, 3), exclusive=True)
SIGMOID = Target("multilabel", (1, 2, 3), exclusive=False)
BINARY = Target("only", (1,), exclusive=True)
TARGETS = {"softmax": SOFTMAX, "sigmoid": SIGMOID, "one-vs-rest": BINARY}
STEPS = [float(step) for step in range(-4, 5)]


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


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_calibration_never_lowers_macro_f1_on_its_own_data(target, seed):
    logits, truth = sample(target, seed)
    shifted = logits + torch.tensor(best_offsets(logits, truth, target))[:, None]
    assert macro_f1(shifted, truth, target) >= macro_f1(logits, truth, target)


def test_one_output_gets_an_offset_at_least_as_good_as_any_whole_one():
    for seed in range(10):
        logits, truth = sample(BINARY, seed)
        best = max(macro_f1(logits + step, truth, BINARY) for step in STEPS)
        assert macro_f1(logits + best_offsets(logits, truth, BINARY)[0], truth, BINARY) >= best - 2e-4


def test_overlapping_outputs_get_offsets_at_least_as_good_as_any_combination_of_whole_ones():
    two = Target("multilabel", (1, 2), exclusive=False)
    for seed in range(3):
        logits, truth = sample(two, seed)
        trials = (torch.tensor(steps)[:, None] for steps in product(STEPS, repeat=2))
        best = max(macro_f1(logits + trial, truth, two) for trial in trials)
        found = torch.tensor(best_offsets(logits, truth, two))[:, None]
        assert macro_f1(logits + found, truth, two) >= best - 4e-4


def test_a_class_that_is_over_predicted_is_held_back():
    truth = torch.zeros(2, 100, dtype=torch.bool)
    truth[0, :95], truth[1, 95:] = True, True
    two = Target("multilabel", (1, 2), exclusive=True)
    logits = torch.stack([torch.zeros(100), torch.linspace(-1, 1.5, 100)])
    offsets = best_offsets(logits, truth, two)
    assert offsets[1] < offsets[0]
    assert macro_f1(logits + torch.tensor(offsets)[:, None], truth, two) > macro_f1(logits, truth, two) + 0.3


def test_a_good_network_and_a_class_that_does_not_occur_are_left_alone():
    truth = torch.zeros(3, 10, dtype=torch.bool)
    truth[0, :5], truth[1, 5:] = True, True
    logits = truth * 4.0
    assert best_offsets(logits, truth, SOFTMAX) == [0.0, 0.0, 0.0]
    assert macro_f1(logits, torch.zeros_like(truth), SOFTMAX) == 0.0


def test_a_class_that_does_not_occur_is_not_silenced():
    logits, truth = sample(SOFTMAX, seed=0)
    absent = torch.zeros_like(truth[:1])
    over_predicted = torch.cat([logits, torch.full_like(logits[:1], 2.0)])
    four = Target("multilabel", (1, 2, 3, 4), exclusive=True)
    offsets = best_offsets(over_predicted, torch.cat([truth, absent]), four)
    assert offsets == [*best_offsets(logits, truth, SOFTMAX), 0.0]


def test_shifting_the_network_adds_to_its_logits():
    torch.manual_seed(0)
    network = UNet(
        plan_network(voxel_size_nm=(8, 8, 8), extent_zyx=(8, 8, 8), outputs=3, head="softmax", features=(4, 4))
    ).eval()
    image, offsets = torch.randn(1, 1, 8, 8, 8), [0.5, -1.25, 0.0]
    with torch.inference_mode():
        before = network(image)
    shift_logits(network, offsets)
    with torch.inference_mode():
        torch.testing.assert_close(network(image), before + torch.tensor(offsets).view(1, 3, 1, 1, 1))
