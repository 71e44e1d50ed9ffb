"""Rim and core of objects are two outputs of a network, and one class in all that is said of classes."""

from __future__ import annotations

import pytest
import torch

from pipeline.nn.calibration import shift_logits
from pipeline.nn.model import target_from_json
from pipeline.nn.plan import plan_network
from pipeline.nn.targets import SegmentationLoss, Target, class_prior_logits, prior_logits
from pipeline.nn.unet import UNet

# Two of three classes have objects; their cores are 4 and 5 in samples.
ALL = Target("multilabel", (1, 2, 3), True, ((1, 4), (3, 5)), (0.0, 1.0))
ONE = Target("third", (3,), True, ((1, 4), (3, 5)))


def logits(seed: int = 0) -> torch.Tensor:
    return torch.randn(5, 2, 6, 7, generator=torch.Generator().manual_seed(seed)) * 3


def test_truth_of_classes_takes_cores_in_and_that_of_outputs_parts_them() -> None:
    labels = torch.tensor([[[[0, 1, 2, 3, 4, 5]]]], dtype=torch.uint8)
    classes, labelled = ALL.truth(labels)
    assert classes[0, :, 0, 0].int().tolist() == [[0, 1, 0, 0, 1, 0], [0, 0, 1, 0, 0, 0], [0, 0, 0, 1, 0, 1]]
    assert labelled.flatten().tolist() == [False, *[True] * 5]
    outputs, labelled = ALL.output_truth(labels)
    assert torch.equal(outputs[0, :, 0, 0, 1:].int(), torch.eye(5, dtype=torch.int32))
    assert labelled.flatten().tolist() == [False, *[True] * 5]
    third, labelled = ONE.output_truth(labels)
    assert third.flatten().int().tolist() == [0, 0, 0, 1, 0, 1]
    assert labelled.flatten().tolist() == [False, *[True] * 5]


def test_a_class_is_as_likely_as_its_rim_and_its_core_together() -> None:
    found = ALL.class_logits(logits()).softmax(0)
    outputs = logits().softmax(0)
    expected = torch.stack([outputs[0] + outputs[3], outputs[1], outputs[2] + outputs[4]])
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(ALL.probabilities(ALL.class_logits(logits())), expected)
    assert torch.equal(ALL.decide(logits()), expected.argmax(0).to(torch.uint8) + 1)


def test_cores_lie_in_their_class_where_they_outweigh_the_rim_by_enough() -> None:
    seen = logits()
    decided = ALL.decide(seen)
    cores = ALL.core_classes(seen, decided)
    first, third = (decided == 1) & (seen[3] > seen[0]), (decided == 3) & (seen[4] > seen[2] + 1)
    assert first.any()
    assert third.any()
    assert torch.equal(cores, first.to(torch.uint8) + third.to(torch.uint8) * 3)


def test_the_loss_asks_for_rim_and_core() -> None:
    labels = torch.randint(0, 6, (2, 2, 4, 4), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    outputs, _ = ALL.output_truth(labels)
    loss = SegmentationLoss(ALL, torch.zeros(5), 0.5)
    assert loss(outputs.float() * 20, labels) < 0.05
    classes, _ = ALL.truth(labels)
    confused = torch.cat([classes, torch.zeros(2, 2, 2, 4, 4, dtype=torch.bool)], 1)
    assert loss(confused.float() * 20, labels) > 1


def test_priors_are_of_outputs_and_of_classes() -> None:
    shares = [0.2, 0.5, 0.05, 0.1, 0.15]
    torch.testing.assert_close(prior_logits(shares, ALL).exp(), torch.tensor(shares))
    torch.testing.assert_close(class_prior_logits(shares, ALL).exp(), torch.tensor([0.3, 0.5, 0.2]))
    torch.testing.assert_close(prior_logits(shares, ONE).sigmoid(), torch.tensor([0.2]))


def test_an_offset_of_a_class_leaves_its_cores_where_they_are() -> None:
    torch.manual_seed(0)
    plan = plan_network(voxel_size_nm=(8, 8, 8), extent_zyx=(8, 8, 8), outputs=5, head="softmax", features=(4, 4))
    network, image = UNet(plan).eval(), torch.randn(1, 1, 8, 8, 8)
    with torch.inference_mode():
        before = network(image)[0]
        shift_logits(network, ALL, [0.5, -1.25, 0.0])
        after = network(image)[0]
    shift = torch.tensor([0.5, -1.25, 0.0]).view(3, 1, 1, 1)
    torch.testing.assert_close(ALL.class_logits(after), ALL.class_logits(before) + shift)
    torch.testing.assert_close(after[3] - after[0], before[3] - before[0])


@pytest.mark.parametrize("target", [ALL, ONE, Target("multilabel", (1, 2), False)])
def test_a_target_is_read_as_it_was_written(target: Target) -> None:
    import json
    from dataclasses import asdict

    assert target_from_json(json.loads(json.dumps(asdict(target)))) == target


def test_a_target_of_0_1_0_has_no_cores() -> None:
    told = {"name": "multilabel", "class_ids": [1, 2], "exclusive": True}
    assert target_from_json(told) == Target("multilabel", (1, 2), True)
