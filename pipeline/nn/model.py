"""A trained model as files: ``model.safetensors`` and ``model.json``.

The JSON says everything that using the weights needs, and everything that a reader wants to compare: the plan of the
network, the classes, the normalisation, the voxel size and receptive field, and the digests.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.errors import CheckpointError
from pipeline.nn.blockwise import Normalisation
from pipeline.nn.calibration import Confidence
from pipeline.nn.checkpoint import pack, unpack
from pipeline.nn.description import SEAL, WEIGHTS, refuse_changed, refuse_exchanged
from pipeline.nn.plan import NetworkPlan
from pipeline.nn.targets import Target
from pipeline.nn.training import with_weights
from pipeline.nn.unet import UNet

FORMAT = 1


@dataclass(frozen=True)
class Model:
    """A trained network with what it needs to be used."""

    network: UNet
    target: Target
    normalisation: Normalisation
    confidence: Confidence
    """What its probabilities are made with."""
    facts: dict[str, Any]
    """What else is worth knowing: classes, voxel_size_nm, receptive_field_zyx, scores, digests."""

    def weights_file(self) -> bytes:
        """The content of ``model.safetensors``."""
        return pack(dict(self.network.state_dict()), {"target": self.target.name})

    def json_file(self, weights_file: bytes) -> dict[str, Any]:
        """The content of ``model.json`` beside these weights."""
        return {
            "format": FORMAT,
            "target": self.target.facts(),
            "plan": self.network.plan.to_json(),
            "normalisation": asdict(self.normalisation),
            "confidence": asdict(self.confidence),
            **self.facts,
            "weights_sha256": hashlib.sha256(weights_file).hexdigest(),
        }


def target_from_json(told: dict[str, Any]) -> Target:
    """The task of a network, as ``model.json`` describes it."""
    lists = {key: tuple(value) for key, value in told.items() if isinstance(value, list)}
    cores = tuple((int(class_id), int(core)) for class_id, core in told.get("cores", ()))
    return Target(**{**told, **lists, "cores": cores})


def load_model(weights_file: bytes, description: dict[str, Any], where: str) -> Model:
    """A model from its two files. Raises CheckpointError when they are damaged or do not belong together."""
    try:
        refuse_exchanged(weights_file, refuse_changed(description, where), where)
        plan = NetworkPlan.from_json(description["plan"])
        target = target_from_json(description["target"])
        normalisation = Normalisation(**description["normalisation"])
        sure = _confidence(description, len(target.class_ids))
        tensors, _ = unpack(weights_file, f"{where}/model.safetensors")
        network = with_weights(UNet(plan), tensors)
    except (KeyError, TypeError, RuntimeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{where}/model.json does not describe these weights ({error}); train again") from error
    known = {"format", "target", "plan", "normalisation", "confidence", WEIGHTS, SEAL}
    facts = {key: value for key, value in description.items() if key not in known}
    return Model(network, target, normalisation, sure, facts)


def _confidence(description: dict[str, Any], classes: int) -> Confidence:
    """As it is described; a model of 0.1.0 has none."""
    if "confidence" not in description:
        return Confidence.as_it_is(classes)
    told = description["confidence"]
    return Confidence(float(told["scale"]), tuple(float(offset) for offset in told["offsets"]))
