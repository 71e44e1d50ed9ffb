"""One answer out of many networks: the multilabel one and those that tell one class from the rest.

What they say is taken as it is stored: calibrated probabilities in bytes. The merged logit of a class is a weighted sum
of the logarithm of its probability by the multilabel network and of its log-odds by its own network, plus a share of
the prior. The weights are those under which the labels of the validation part are likeliest: first ones that all
classes have in common, then for each class its own, drawn to the common ones, since weights that are free fit the
tissue of the validation part. So the merged logits are those of calibrated probabilities, and what part of the prior
decisions leave out is found as for one network (`pipeline.nn.calibration`).

**Doubt** is the probability, by the merged logits, that what is said of a voxel is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipeline.nn.calibration import Confidence, JudgedVoxels, along, likeliest, share_of_prior
from pipeline.nn.checkpoint import pack, unpack
from pipeline.nn.targets import Target

CERTAIN = 255
# Weights are the same wherever they are found: rounding takes away what differs from one machine to another.
_DECIMALS = 3
# Of the weights of a class to those that all have in common; measured on phantoms and on serial sections of a fly.
_TIE = 0.03
_VOXELS = 1 << 18


def as_bytes(probabilities: Tensor) -> Tensor:
    """Probabilities as they are stored (uint8), `CERTAIN` being 1."""
    return (probabilities * CERTAIN).round().byte()


@dataclass(frozen=True)
class Opinion:
    """What a network says of labelled voxels of the validation part, which are the same ones for all networks."""

    said: Tensor
    """uint8 (outputs, voxels), see `as_bytes`."""
    truth: Tensor
    """bool (outputs, voxels)."""
    region: Tensor
    """int16 (voxels), see `JudgedVoxels`."""
    prior: Tensor
    """float32 (outputs), see `pipeline.nn.targets.prior_logits`."""
    known: Tensor | None = None
    """bool (outputs, voxels) or None, see `JudgedVoxels`."""

    @classmethod
    def of(cls, judged: JudgedVoxels, sure: Confidence, prior_C: Tensor, target: Target) -> Opinion:
        """That of a network whose logits these are, of about `_VOXELS` at most."""
        few = judged.thinned(_VOXELS)
        said = as_bytes(target.probabilities(sure(few.logits)))
        return cls(said, few.truth, few.region.to(torch.int16), prior_C, few.known)

    def file(self) -> bytes:
        """All of it as one file."""
        beside = {} if self.known is None else {"known": self.known}
        return pack({"said": self.said, "truth": self.truth, "region": self.region, "prior": self.prior, **beside}, {})

    @classmethod
    def of_file(cls, data: bytes, where: str) -> Opinion:
        """The inverse of `file`. Raises CheckpointError, naming ``where``, when a byte has changed."""
        tensors, _ = unpack(data, where)
        return cls(**tensors)


@dataclass(frozen=True)
class Merging:
    """How networks are weighed against each other."""

    joint: tuple[float, ...]
    """Weight of the multilabel network, for each class."""
    alone: tuple[float, ...]
    """Weight of the network of each class."""
    offsets: tuple[float, ...]
    """What the prior adds to each class."""
    said_offsets: tuple[float, ...]
    """What of it is taken away again where it is to be said which class it is."""

    def logits(self, joint_CV: Tensor, alone_CV: Tensor, target: Target) -> Tensor:
        """Of calibrated probabilities, classes along the first axis.

        Args:
            joint_CV: what the multilabel network says, uint8.
            alone_CV: what the network of each class says, uint8.
            target: the multilabel one.
        """
        terms_CV = _terms(joint_CV, alone_CV, target)
        weights = (along(each, terms_CV[0]) for each in (self.joint, self.alone))
        weighed = (weight * term_CV for weight, term_CV in zip(weights, terms_CV, strict=True))
        return sum(weighed, along(self.offsets, terms_CV[0]))

    def decide(self, logits_CZYX: Tensor, target: Target) -> tuple[Tensor, Tensor]:
        """Stored ids, and the doubt in them (0 to 1), (z, y, x); of classes that overlap, the doubt in any of them."""
        ids_ZYX = target.decide(logits_CZYX + along(self.said_offsets, logits_CZYX))
        probabilities_CZYX = target.probabilities(logits_CZYX)
        if target.head == "softmax":
            return ids_ZYX, 1 - probabilities_CZYX.gather(0, ids_ZYX.long()[None] - 1)[0]
        said_CZYX = logits_CZYX + along(self.said_offsets, logits_CZYX) > 0
        return ids_ZYX, 1 - torch.where(said_CZYX, probabilities_CZYX, 1 - probabilities_CZYX).prod(dim=0)


def merging(joint: Opinion, alone_CN: Tensor, target: Target) -> Merging:
    """How the networks are best weighed.

    Args:
        joint: what the multilabel network says.
        alone_CN: what the network of each class says of the same voxels, uint8.
        target: the multilabel one.
    """
    prior_C, terms_CN = joint.prior, _terms(joint.said, alone_CN, target)
    prior_CN = prior_C[:, None].expand(joint.said.shape)
    common, share = torch.tensor([1.0, 0.0]), 0.0
    if joint.truth.any():
        start = torch.tensor([1.0, 0.0, 0.0])
        *weights, share = likeliest([*terms_CN, prior_CN], start, joint.truth, target, known=joint.known).tolist()
        common, share = torch.tensor(weights), round(share, _DECIMALS)
    own = common[:, None].repeat(1, len(prior_C))
    if joint.truth.any():
        own = likeliest(terms_CN, own, joint.truth, target, known=joint.known, beside=share * prior_CN, tie=_TIE)
    of_joint, of_alone = (tuple(round(weight, _DECIMALS) for weight in row) for row in own.tolist())
    nothing = (0.0,) * len(prior_C)
    found = Merging(of_joint, of_alone, tuple((share * prior_C).tolist()), nothing)
    merged_CN = found.logits(joint.said, alone_CN, target)
    judged = JudgedVoxels(merged_CN, joint.truth, joint.region.long(), joint.known)
    taken_C = share_of_prior(judged, -prior_C, target) * prior_C
    return replace(found, said_offsets=tuple((-taken_C).tolist()))


def _terms(joint_CV: Tensor, alone_CV: Tensor, target: Target) -> tuple[Tensor, Tensor]:
    """What merged logits are weighed out of: what each network says, as logits."""
    joint, alone = _probability(joint_CV), _probability(alone_CV)
    return joint.log() if target.head == "softmax" else torch.logit(joint), torch.logit(alone)


def _probability(said: Tensor) -> Tensor:
    """Of a byte: what rounds to 0 is taken to be half of the least one that does not, and the like at the other end."""
    return said.float().clamp(0.5, CERTAIN - 0.5) / CERTAIN
