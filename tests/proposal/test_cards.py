"""GPUs that are not here: known by name or by a cluster's label, and as fast as their share of the stated peak."""

from __future__ import annotations

import pytest

from pipeline.errors import InputError
from pipeline.nn.plan import plan_network
from pipeline.proposal.cards import CARDS, card
from pipeline.proposal.speed import Load, Rate


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("a100", "A100"),
        ("A100", "A100"),
        ("NVIDIA-A100-SXM4-80GB", "A100"),
        ("NVIDIA-A10", "A10"),
        ("NVIDIA-L40S", "L40S"),
        ("NVIDIA-GeForce-RTX-3090", "RTX 3090"),
        ("rtx3090", "RTX 3090"),
        ("NVIDIA-RTX-6000-Ada-Generation", "RTX 6000 Ada"),
        ("Tesla-V100-SXM2-32GB", "V100"),
        ("NVIDIA-H100-80GB-HBM3", "H100"),
    ],
)
def test_a_card_is_known_by_its_name_and_by_a_clusters_label(kind: str, name: str) -> None:
    assert card(kind).name == name


@pytest.mark.parametrize("kind", ["", "a1000", "gpu", "mi300"])
def test_an_unknown_card_is_refused_and_the_others_are_named(kind: str) -> None:
    with pytest.raises(InputError, match="a100"):
        card(kind)


def test_a_speed_is_what_the_rate_makes_of_the_work() -> None:
    network = plan_network(
        voxel_size_nm=(8.0, 8.0, 8.0), extent_zyx=(16, 64, 64), outputs=2, head="softmax", features=(8, 16)
    )
    load = Load(network, (16, 64, 64), 2, (8.0, 8.0, 8.0), (16, 64, 64), (64, 256, 256), 1)
    speeds = {name: each.rate.speed(load) for name, each in CARDS.items()}
    assert speeds["a100"].step_s == pytest.approx(speeds["h100"].step_s * 989 / 312)
    again = Rate.of(speeds["a100"], load)
    assert (again.training, again.predicting) == pytest.approx((31.2e12, 15.6e12))
    # A block in the middle of a volume reads a halo, which one that is the volume does not.
    alone = Load(network, (16, 64, 64), 2, (8.0, 8.0, 8.0), (16, 64, 64), (16, 64, 64), 1)
    assert load.operations_a_predicted_voxel > 1.5 * alone.operations_a_predicted_voxel
