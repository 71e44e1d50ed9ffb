"""What a network is asked to tell apart, how stored class ids become its truth, and how far it is from it.

Stored ids: 0 nobody labelled; with exclusive classes k is the k-th class; with overlapping ones bit 0 says that the
voxel is labelled and bit k that it belongs to the k-th class. Where labels do not name all classes, what is none of
those that they name has an id of its own, and may be of any of the others; of overlapping classes, a bit says so.

The loss is Dice and cross-entropy over the labelled voxels, the sum that nnU-Net takes (Isensee et al., Nature Methods
18, 2021): cross-entropy gives every voxel a gradient, Dice (Milletari et al., 3DV 2016) weighs a class of few voxels as
much as one of many.

Cross-entropy sees the logits shifted by how frequent each class is in the samples (logit adjustment, Menon et al., ICLR
2021): that a class is rare need not be learnt, and the first steps, which would go into never saying it, go into
recognising it. Dice sees the logits themselves, where no class is rare; how often each is said is left to calibration.

Of a voxel that may be of any of several classes, cross-entropy sees these as one outcome, whose probability is the sum
of theirs (marginal loss, Shi et al., Medical Image Analysis 70, 2021), and Dice sees those of which it surely is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.nn.plan import Head
from pipeline.nn.ranks import summed

# Keeps the Dice of a class that a batch does not hold near 1, and its gradient small.
DICE_SMOOTHING_VOXELS = 16.0
RAREST_SHARE = 1e-3
"""A class that is rarer yet counts as this rare: so few voxels say little of how rare it is."""


@dataclass(frozen=True)
class Target:
    """A network's task: all classes at once, or one class against the rest."""

    name: str
    class_ids: tuple[int, ...]
    """Ids (from 1) of the classes it has an output for; a single one means one-vs-rest."""
    exclusive: bool
    """Whether the labels are ids of exclusive classes, or bit masks of overlapping ones."""
    cores: tuple[tuple[int, int], ...] = ()
    """Of exclusive classes whose objects are told apart: the id of the class, and that of the cores of its objects in
    samples. Over all classes at once, each has an output after those of the classes, whose own is the rim then."""
    core_logits: tuple[float, ...] = ()
    """For each of these, by how much the logit of the core must exceed that of the rim for a voxel to be of a core."""
    untold: tuple[tuple[int, tuple[int, ...]], ...] = ()
    """Of samples, no matter once it is trained: the id of what may be of any of several classes, and these; where
    classes overlap, the bit that says so."""

    @property
    def untold_ids(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """Of each kind of what may be any of several classes: its id, and those of the classes and of their cores."""
        cores = dict(self.cores)
        return tuple((kind, (*of, *(cores[each] for each in of if each in cores))) for kind, of in self.untold)

    def facts(self) -> dict[str, Any]:
        """What a trained network is described by."""
        return {key: value for key, value in asdict(self).items() if key != "untold"}

    @property
    def one_vs_rest(self) -> bool:
        """Whether it tells one class from everything else."""
        return len(self.class_ids) == 1

    @property
    def head(self) -> Head:
        """softmax for exclusive classes, else sigmoid."""
        return "softmax" if self.exclusive and not self.one_vs_rest else "sigmoid"

    @property
    def output_ids(self) -> tuple[int, ...]:
        """What each output stands for, as ids of samples."""
        return self.class_ids if self.one_vs_rest else (*self.class_ids, *(core for _, core in self.cores))

    @property
    def of_classes(self) -> Target:
        """The same task with an output a class, as stored probabilities have."""
        return replace(self, cores=(), core_logits=(), untold=())

    def truth(self, labels_BZYX: Tensor) -> tuple[Tensor, Tensor]:
        """What class each voxel is of, and where that is known.

        Args:
            labels_BZYX: stored ids, any integer type; cores of objects may have ids of their own.

        Returns:
            truth_BCZYX (bool, one channel a class of this target; of exclusive ones, all that a voxel may be of) and
            known_BCZYX (bool, whether that is sure; one channel where it is the same for all).
        """
        labels = labels_BZYX.to(torch.int64)
        ids = torch.tensor(self.class_ids, device=labels.device).view(1, -1, 1, 1, 1)
        known_BCZYX = self.is_labelled(labels).unsqueeze(1)
        if self.exclusive:
            truth = labels.unsqueeze(1) == ids
            for class_id, core in self.cores:
                if class_id in self.class_ids:
                    truth[:, self.class_ids.index(class_id)] |= labels == core
            return self._with_untold(truth, known_BCZYX, labels, self.class_ids)
        truth = (labels.unsqueeze(1) >> ids & 1).bool()
        for bit, classes in self.untold:
            is_one_C = torch.isin(ids, torch.tensor(classes, device=ids.device))
            known_BCZYX = known_BCZYX & ~(is_one_C & (labels.unsqueeze(1) >> bit & 1).bool())
        return truth, known_BCZYX

    def is_labelled(self, labels_BZYX: Tensor) -> Tensor:
        """Whether somebody labelled a voxel (bool)."""
        return labels_BZYX > 0 if self.exclusive else (labels_BZYX & 1).bool()

    def _with_untold(
        self, truth_BCZYX: Tensor, known_BCZYX: Tensor, labels_BZYX: Tensor, outputs: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """Add what voxels may be of, with outputs of these ids."""
        for untold, possible in self.untold_ids:
            is_one_C = torch.tensor([output in possible for output in outputs], device=labels_BZYX.device)
            unknown_BCZYX = (labels_BZYX == untold).unsqueeze(1) & is_one_C.view(1, -1, 1, 1, 1)
            truth_BCZYX, known_BCZYX = truth_BCZYX | unknown_BCZYX, known_BCZYX & ~unknown_BCZYX
        return truth_BCZYX, known_BCZYX

    def output_truth(self, labels_BZYX: Tensor) -> tuple[Tensor, Tensor]:
        """The same for each output: rim and core of objects are two."""
        if not self.cores or self.one_vs_rest:
            return self.truth(labels_BZYX)
        labels = labels_BZYX.to(torch.int64)
        ids = torch.tensor(self.output_ids, device=labels.device).view(1, -1, 1, 1, 1)
        known_BCZYX = self.is_labelled(labels).unsqueeze(1)
        return self._with_untold(labels.unsqueeze(1) == ids, known_BCZYX, labels, self.output_ids)

    def class_logits(self, logits_CZYX: Tensor) -> Tensor:
        """Logits of the classes, from those of the outputs: rim and core of objects together are their class."""
        if not self.cores or self.one_vs_rest:
            return logits_CZYX
        classes = logits_CZYX[: len(self.class_ids)].clone()
        for (class_id, _), core_ZYX in zip(self.cores, logits_CZYX[len(self.class_ids) :], strict=True):
            row = self.class_ids.index(class_id)
            classes[row] = torch.logaddexp(classes[row], core_ZYX)
        return classes

    def core_classes(self, logits_CZYX: Tensor, decided_ZYX: Tensor) -> Tensor:
        """The id of the class (uint8) where a voxel is of a core of an object, else 0.

        Args:
            logits_CZYX: of the outputs.
            decided_ZYX: what `decide` made of them.
        """
        found = torch.zeros_like(decided_ZYX)
        cores_CZYX = logits_CZYX[len(self.class_ids) :]
        for (class_id, _), core_ZYX, least in zip(self.cores, cores_CZYX, self.core_logits, strict=True):
            is_core = core_ZYX - logits_CZYX[self.class_ids.index(class_id)] > least
            found[is_core & (decided_ZYX == class_id)] = class_id
        return found

    def decide(self, logits_CZYX: Tensor) -> Tensor:
        """Stored ids from logits: exclusive ids (uint8), one-vs-rest (uint8: 1 the class, 2 the rest), or bit masks.

        Ties go to the class that comes first.
        """
        logits_CZYX = self.class_logits(logits_CZYX)
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
        """Class probabilities, a channel a class, from `class_logits`."""
        return logits_CZYX.softmax(dim=0) if self.head == "softmax" else logits_CZYX.sigmoid()


class SegmentationLoss:
    """Mean cross-entropy of the labelled voxels plus ``dice_weight`` times (1 - mean Dice).

    Args:
        target: the task.
        prior_C: added to the logits that cross-entropy sees, one number an output of the target (see `prior_logits`).
        dice_weight: 0: cross-entropy alone.
    """

    def __init__(self, target: Target, prior_C: Tensor, dice_weight: float) -> None:
        self._target, self._prior_C, self._dice_weight = target, prior_C, dice_weight

    def __call__(self, logits_BCZYX: Tensor, labels_BZYX: Tensor) -> Tensor:
        """The loss of logits before stored ids; a scalar."""
        truth_BCZYX, known_BCZYX = self._target.output_truth(labels_BZYX)
        logits_BCZYX = logits_BCZYX.float()
        prior_BCZYX = self._prior_C.to(logits_BCZYX.device).view(1, -1, 1, 1, 1)
        loss = _cross_entropy(logits_BCZYX + prior_BCZYX, truth_BCZYX, known_BCZYX, self._target)
        if self._dice_weight:
            loss = loss + self._dice_weight * (1 - _dice(logits_BCZYX, truth_BCZYX, known_BCZYX, self._target).mean())
        return loss

    def deep(self, logits: list[Tensor], labels_BZYX: Tensor) -> Tensor:
        """That of every decoder level, each half the weight of the next finer one; the weights add up to 1."""
        weights = [0.5**index for index in range(len(logits))]
        total = sum(weights)
        losses = [
            weight / total * self(level, _shrink(labels_BZYX, level))
            for weight, level in zip(weights, logits, strict=True)
        ]
        return torch.stack(losses).sum()


def prior_logits(shares: Sequence[float], target: Target) -> Tensor:
    """The logits (C,) of a network that knows nothing of a voxel but how frequent each output of the target is.

    0 for one that does not occur: it has to be learnt that it is never right.

    Args:
        shares: of the labelled voxels of the samples, one for each id in them.
    """
    if target.one_vs_rest:
        return class_prior_logits(shares, target)
    return _prior_logits(shares, [{output} for output in target.output_ids], target)


def class_prior_logits(shares: Sequence[float], target: Target) -> Tensor:
    """The same for each class of the target: rim and core of objects are one."""
    cores = dict(target.cores)
    return _prior_logits(shares, [{class_id, cores.get(class_id, class_id)} for class_id in target.class_ids], target)


def _prior_logits(shares: Sequence[float], ids: Sequence[set[int]], target: Target) -> Tensor:
    share_C = torch.tensor([sum(shares[id_ - 1] for id_ in own) for own in ids], dtype=torch.float32)
    bounded_C = share_C.clamp(RAREST_SHARE, 1 - RAREST_SHARE)
    prior_C = bounded_C.log() if target.head == "softmax" else bounded_C.logit()
    return torch.where(share_C > 0, prior_C, 0.0)


def _cross_entropy(logits_BCZYX: Tensor, truth_BCZYX: Tensor, known_BCZYX: Tensor, target: Target) -> Tensor:
    if target.head == "softmax":
        voxels_BZYX = improbability(logits_BCZYX, truth_BCZYX, 1, untold=bool(target.untold))
        return _mean(voxels_BZYX, truth_BCZYX.any(dim=1))
    found_BCZYX = F.binary_cross_entropy_with_logits(logits_BCZYX, truth_BCZYX.float(), reduction="none")
    if known_BCZYX.shape[1] == 1:
        found_BCZYX = found_BCZYX.mean(dim=1, keepdim=True)
    return _mean(found_BCZYX, known_BCZYX)


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """Of the values in these places (bool), over the batches of all ranks."""
    return summed((values * where).sum()) / summed(where.sum()).clamp(min=1)


def improbability(logits: Tensor, truth: Tensor, dim: int, *, untold: bool) -> Tensor:
    """Of exclusive classes along a dimension: the negative logarithm of the probability of the truth.

    Args:
        logits: of classes.
        truth: bool, which class it is; with `untold`, all that it may be, whose probabilities are summed.
    """
    if not untold:
        return F.cross_entropy(logits, _index(truth, dim), reduction="none")
    # Where nobody labelled anything it may be all of them.
    possible = truth | ~truth.any(dim, keepdim=True)
    return logits.logsumexp(dim) - logits.masked_fill(~possible, -torch.inf).logsumexp(dim)


def _index(truth: Tensor, dim: int) -> Tensor:
    """Which one along a dimension is true, 0 where none is; argmax would take as long as all else of the loss."""
    index = torch.zeros_like(truth.select(dim, 0), dtype=torch.uint8)  # no more classes than stored ids
    for number, each in enumerate(truth.unbind(dim)):
        index += each.byte() * number
    return index.long()


def _dice(logits_BCZYX: Tensor, truth_BCZYX: Tensor, known_BCZYX: Tensor, target: Target) -> Tensor:
    """Dice of each class over the whole batch, so that one sample without the class does not swing it."""
    probabilities = logits_BCZYX.softmax(dim=1) if target.head == "softmax" else logits_BCZYX.sigmoid()
    probabilities = probabilities * known_BCZYX
    truth = truth_BCZYX * known_BCZYX
    over = (0, 2, 3, 4)
    overlap = summed((probabilities * truth).sum(over))
    size = summed(probabilities.sum(over) + truth.sum(over))
    return (2 * overlap + DICE_SMOOTHING_VOXELS) / (size + DICE_SMOOTHING_VOXELS)


def _shrink(labels_BZYX: Tensor, like: Tensor) -> Tensor:
    """Labels at the size of a coarser level: every n-th voxel, so that no id is invented."""
    steps = [whole // part for whole, part in zip(labels_BZYX.shape[1:], like.shape[2:], strict=True)]
    return labels_BZYX[:, :: steps[0], :: steps[1], :: steps[2]]
