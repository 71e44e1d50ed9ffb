"""What a network is asked to tell apart, and how stored class ids become its truth.

Stored ids: 0 nobody labelled; with exclusive classes k is the k-th class; with overlapping ones bit 0 says that the
voxel is labelled and bit k that it belongs to the k-th class.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.nn.plan import Head


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
            return (logits_CZYX.argmax(dim=0) + 1).to(torch.uint8)
        if self.one_vs_rest:
            return torch.where(logits_CZYX[0] > 0, 1, 2).to(torch.uint8)
        bits = torch.ones(logits_CZYX.shape[1:], dtype=torch.int64, device=logits_CZYX.device)
        for channel, class_id in enumerate(self.class_ids):
            bits |= (logits_CZYX[channel] > 0).to(torch.int64) << class_id
        return bits.to(torch.uint32)

    def probabilities(self, logits_CZYX: Tensor) -> Tensor:
        """Class probabilities, a channel a class."""
        return logits_CZYX.softmax(dim=0) if self.head == "softmax" else logits_CZYX.sigmoid()
