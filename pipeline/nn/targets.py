"""What a network is asked to tell apart, how stored class ids become its truth, and how far it is from it.

Stored ids: 0 nobody labelled; with exclusive classes k is the k-th class; with overlapping ones bit 0 says that the
voxel is labelled and bit k that it belongs to the k-th class.

The loss is Dice and cross-entropy over the labelled voxels, the sum that nnU-Net takes (Isensee et al., Nature Methods
18, 2021): cross-entropy gives every voxel a gradient, Dice (Milletari et al., 3DV 2016) weighs a class of few voxels as
much as one of many.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.nn.plan import Head

# Keeps the Dice of a class that a batch does not hold near 1, and its gradient small.
DICE_SMOOTHING_VOXELS = 16.0


@dataclass(frozen=True)
class Target:
    """A network's task: all classes at once, or one class against the rest."""

    name: str
    class_ids: tuple[int, ...]
    """Ids (from 1) of the classes it has an output for; a single one means one-vs-rest."""
    exclusive: bool
    """Whether the labels are ids of exclusive classes, or bit masks of overlapping ones."""

    @property
    def one_vs_rest(self) -> bool:
        """Whether it tells one class from everything else."""
        return len(self.class_ids) == 1

    @property
    def head(self) -> Head:
        """softmax for exclusive classes, else sigmoid."""
        return "softmax" if self.exclusive and not self.one_vs_rest else "sigmoid"

    def truth(self, labels_BZYX: Tensor) -> tuple[Tensor, Tensor]:
        """What each voxel is, and where that is known.

        Args:
            labels_BZYX: stored ids, any integer type.

        Returns:
            truth_BCZYX (bool, one channel a class of this target) and labelled_BZYX (bool).
        """
        labels = labels_BZYX.to(torch.int64)
        ids = torch.tensor(self.class_ids, device=labels.device).view(1, -1, 1, 1, 1)
        if self.exclusive:
            return labels.unsqueeze(1) == ids, labels > 0
        return (labels.unsqueeze(1) >> ids & 1).bool(), (labels & 1).bool()

    def decide(self, logits_CZYX: Tensor) -> Tensor:
        """Stored ids from logits: exclusive ids (uint8), one-vs-rest (uint8: 1 the class, 2 the rest), or bit masks.

        Ties go to the class that comes first.
        """
        if self.head == "softmax":
            # Four times faster than argmax, whose answer it is.
            return (logits_CZYX.max(dim=0).indices + 1).to(torch.uint8)
        if self.one_vs_rest:
            return torch.where(logits_CZYX[0] > 0, 1, 2).to(torch.uint8)
        bits = torch.ones(logits_CZYX.shape[1:], dtype=torch.int64, device=logits_CZYX.device)
        for channel, class_id in enumerate(self.class_ids):
            bits |= (logits_CZYX[channel] > 0).to(torch.int64) << class_id
        return bits.to(torch.uint32)

    def probabilities(self, logits_CZYX: Tensor) -> Tensor:
        """Class probabilities, a channel a class."""
        return logits_CZYX.softmax(dim=0) if self.head == "softmax" else logits_CZYX.sigmoid()


def segmentation_loss(logits_BCZYX: Tensor, labels_BZYX: Tensor, target: Target, dice_weight: float) -> Tensor:
    """Mean cross-entropy of the labelled voxels plus ``dice_weight`` times (1 - mean Dice); a scalar."""
    truth_BCZYX, labelled_BZYX = target.truth(labels_BZYX)
    logits_BCZYX = logits_BCZYX.float()
    loss = _cross_entropy(logits_BCZYX, truth_BCZYX, labelled_BZYX, target)
    if dice_weight:
        loss = loss + dice_weight * (1 - _dice(logits_BCZYX, truth_BCZYX, labelled_BZYX, target).mean())
    return loss


def deep_loss(logits: list[Tensor], labels_BZYX: Tensor, target: Target, dice_weight: float) -> Tensor:
    """The loss of every decoder level, each half the weight of the next finer one; the weights add up to 1."""
    weights = [0.5**index for index in range(len(logits))]
    total = sum(weights)
    losses = [
        weight / total * segmentation_loss(level, _shrink(labels_BZYX, level), target, dice_weight)
        for weight, level in zip(weights, logits, strict=True)
    ]
    loss = losses[0]
    for other in losses[1:]:
        loss = loss + other
    return loss


def _cross_entropy(logits_BCZYX: Tensor, truth_BCZYX: Tensor, labelled_BZYX: Tensor, target: Target) -> Tensor:
    if target.head == "softmax":
        index_BZYX = truth_BCZYX.byte().argmax(dim=1)
        voxels_BZYX = F.cross_entropy(logits_BCZYX, index_BZYX, reduction="none")
    else:
        per_class = F.binary_cross_entropy_with_logits(logits_BCZYX, truth_BCZYX.float(), reduction="none")
        voxels_BZYX = per_class.mean(dim=1)
    return (voxels_BZYX * labelled_BZYX).sum() / labelled_BZYX.sum().clamp(min=1)


def _dice(logits_BCZYX: Tensor, truth_BCZYX: Tensor, labelled_BZYX: Tensor, target: Target) -> Tensor:
    """Dice of each class over the whole batch, so that one sample without the class does not swing it."""
    probabilities = logits_BCZYX.softmax(dim=1) if target.head == "softmax" else logits_BCZYX.sigmoid()
    probabilities = probabilities * labelled_BZYX.unsqueeze(1)
    truth = truth_BCZYX * labelled_BZYX.unsqueeze(1)
    over = (0, 2, 3, 4)
    overlap = (probabilities * truth).sum(over)
    size = probabilities.sum(over) + truth.sum(over)
    return (2 * overlap + DICE_SMOOTHING_VOXELS) / (size + DICE_SMOOTHING_VOXELS)


def _shrink(labels_BZYX: Tensor, like: Tensor) -> Tensor:
    """Labels at the size of a coarser level: every n-th voxel, so that no id is invented."""
    steps = [whole // part for whole, part in zip(labels_BZYX.shape[1:], like.shape[2:], strict=True)]
    return labels_BZYX[:, :: steps[0], :: steps[1], :: steps[2]]
