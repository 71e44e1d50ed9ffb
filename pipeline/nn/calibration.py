"""How often a trained network says each class, and how sure of it it is: both found on the validation part.

Cross-entropy sees the logits shifted by how frequent each class is (`pipeline.nn.targets`), so that the logits take all
classes for equally frequent: a rare one is said too often. Shifted by the whole prior they would be a posterior, which
says a rare class too seldom for its F1. **How much of the prior** lies between is found here: a single number, because
an offset a class fits the tissue of the validation part and is often worse than none elsewhere. It is taken only as far
as the regions of the validation part agree on it, and becomes part of the bias of the last convolution: inference knows
nothing of it.

**Probabilities** are a matter of their own: a scale (temperature scaling, Guo et al., ICML 2017) and another share of
the prior bring the logits to those under which what was labelled is likeliest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pipeline.nn.targets import Target, improbability
from pipeline.nn.unet import UNet

SHARES_OF_PRIOR = tuple(share / 8 for share in range(9))
_LEAST_REGIONS = 2
_FITTED_VOXELS = 1 << 18
_MOST_ITERATIONS = 50


@dataclass(frozen=True)
class JudgedVoxels:
    """Labelled voxels of the validation part, as a network sees them."""

    logits: Tensor
    """(classes, voxels)."""
    truth: Tensor
    """bool (classes, voxels): which classes of the target they are."""
    region: Tensor
    """int64 (voxels): which region each lies in, numbered from 0."""
    known: Tensor | None = None
    """bool (classes, voxels): whether labels there name the class, and say surely whether it is this; None: they do
    throughout. Of exclusive classes, `truth` is all that a voxel may be of where they do not."""

    @property
    def regions(self) -> int:
        """How many there are."""
        return int(self.region.max()) + 1 if len(self.region) else 0

    def count(self, of_CN: Tensor) -> Tensor:
        """How many voxels (regions, C) of each region an array of bool marks."""
        regions = self.regions
        return torch.stack([torch.bincount(self.region[of_N], minlength=regions) for of_N in of_CN], dim=1).double()

    def shifted(self, offsets_C: Tensor) -> JudgedVoxels:
        """The same voxels, with the offsets added to their logits."""
        return replace(self, logits=self.logits + offsets_C[:, None])

    def judged(self, marks_CN: Tensor) -> Tensor:
        """What of marks (bool) counts."""
        return marks_CN if self.known is None else marks_CN & self.known

    def thinned(self, most: int) -> JudgedVoxels:
        """Every n-th voxel, so that there are about `most` at most."""
        stride = max(1, self.logits.shape[1] // most)
        known = None if self.known is None else self.known[:, ::stride]
        return JudgedVoxels(self.logits[:, ::stride], self.truth[:, ::stride], self.region[::stride], known)


@dataclass(frozen=True)
class Confidence:
    """What brings logits to those whose probabilities are right as often as they say: ``scale * logits + offsets``."""

    scale: float
    offsets: tuple[float, ...]
    """One a class."""

    @classmethod
    def as_it_is(cls, classes: int) -> Confidence:
        """That of a network of which nothing is known."""
        return cls(1.0, (0.0,) * classes)

    def __call__(self, logits_CV: Tensor) -> Tensor:
        """The logits of the probabilities, classes along the first axis."""
        return self.scale * logits_CV + along(self.offsets, logits_CV)


def along(values: Sequence[float], like: Tensor) -> Tensor:
    """A value a class, along the first axis of what has classes there."""
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(-1, *[1] * (like.ndim - 1))


def share_of_prior(judged: JudgedVoxels, prior_C: Tensor, target: Target) -> float:
    """How much of the prior is to be added to the logits so that decisions serve macro F1; 0 without evidence.

    That whose gain over none, less the standard error of this gain, is greatest. The error is the jackknife's: what the
    gain varies by when one region after the other is left out. So a gain that few regions ask for is not taken, and of
    a broad maximum the lower end.

    Args:
        prior_C: see `pipeline.nn.targets.class_prior_logits`.
    """
    occurs = judged.judged(judged.truth).any(1)
    regions = judged.regions
    if regions < _LEAST_REGIONS or not occurs.any():
        return 0.0
    scores = np.stack([_macro_f1s(judged, share * prior_C, target, occurs) for share in SHARES_OF_PRIOR])
    gains = scores - scores[0]
    errors = np.sqrt((regions - 1) * gains[:, 1:].var(axis=1))
    return SHARES_OF_PRIOR[int(np.argmax(gains[:, 0] - errors))]


def _macro_f1s(judged: JudgedVoxels, offsets_C: Tensor, target: Target, occurs: Tensor) -> NDArray[np.float64]:
    """Macro F1 (1 + regions) of shifted logits: of all voxels, then of those outside each region."""
    seen_CN = judged.judged(_said(judged.logits + offsets_C[:, None], target))
    truth_CN = judged.judged(judged.truth)
    both_RC = judged.count(seen_CN & truth_CN)
    size_RC = judged.count(seen_CN) + judged.count(truth_CN)
    both, size = (torch.cat([of_RC.sum(0, keepdim=True), of_RC.sum(0) - of_RC]) for of_RC in (both_RC, size_RC))
    scores: NDArray[np.float64] = (2 * both / size.clamp(min=1))[:, occurs].mean(1).numpy()
    return scores


def macro_f1(logits_CN: Tensor, truth_CN: Tensor, target: Target, known_CN: Tensor | None = None) -> float:
    """Mean F1 of the classes that occur; see `JudgedVoxels` for `known_CN`."""
    seen_CN = _said(logits_CN, target)
    if known_CN is not None:
        seen_CN, truth_CN = seen_CN & known_CN, truth_CN & known_CN
    both = (seen_CN & truth_CN).sum(1).double()
    size = (seen_CN.sum(1) + truth_CN.sum(1)).double()
    occurs = truth_CN.any(1)
    return float((2 * both / size.clamp(min=1))[occurs].mean()) if occurs.any() else 0.0


def _said(logits_CN: Tensor, target: Target) -> Tensor:
    """Which classes (bool) are said of each voxel."""
    if target.head == "softmax":
        return torch.zeros_like(logits_CN, dtype=torch.bool).scatter_(0, logits_CN.argmax(0, keepdim=True), True)
    return logits_CN > 0


def confidence(judged: JudgedVoxels, prior_C: Tensor, target: Target) -> Confidence:
    """The scale of the logits, and the share of the prior added to them, under which the truth is likeliest.

    That of a network of which nothing is known, where nothing was labelled.
    """
    few = judged.thinned(_FITTED_VOXELS)
    if not few.truth.any():
        return Confidence.as_it_is(len(prior_C))
    terms_CN = (few.logits, prior_C[:, None].expand_as(few.logits))
    scale, share = likeliest(terms_CN, torch.tensor([1.0, 0.0]), few.truth, target, known=few.known).tolist()
    return Confidence(scale, tuple((share * prior_C).tolist()))


def likeliest(
    terms_CN: Sequence[Tensor],
    start: Tensor,
    truth_CN: Tensor,
    target: Target,
    *,
    known: Tensor | None = None,
    beside: Tensor | None = None,
    tie: float = 0.0,
) -> Tensor:
    """The weights of terms whose sum are the logits under which the truth is likeliest; `start`, where none are.

    None are where the truth becomes ever likelier the larger the weights are, or one of the first's is not above 0.

    Args:
        terms_CN: of a row a class each.
        start: a weight a term, or a row of weights, one a class.
        truth_CN: bool, which classes voxels are.
        target: whose classes they are.
        known: see `JudgedVoxels`.
        beside: added to the sum.
        tie: how much a weight is drawn to where it starts: that times its squared distance is added to the mean
            negative logarithm of the probability of the truth.
    """
    weights = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([weights], max_iter=_MOST_ITERATIONS, line_search_fn="strong_wolfe")

    def improbability() -> Tensor:
        optimizer.zero_grad()
        summed_CN = torch.zeros(()) if beside is None else beside
        for weight, term_CN in zip(weights, terms_CN, strict=True):
            summed_CN = summed_CN + weight[..., None] * term_CN
        found = _improbability(summed_CN, truth_CN, target, known) + tie * (weights - start).square().sum()
        found.backward()  # type: ignore[no-untyped-call]
        return found

    optimizer.step(improbability)  # type: ignore[no-untyped-call]
    found = weights.detach()
    return found if found.isfinite().all() and (found[0] > 0).all() else start


def _improbability(logits_CN: Tensor, truth_CN: Tensor, target: Target, known_CN: Tensor | None) -> Tensor:
    """Mean negative logarithm of the probability of the truth."""
    if target.head == "softmax":
        return improbability(logits_CN.T, truth_CN.T, 1, untold=known_CN is not None).mean()
    return F.binary_cross_entropy_with_logits(
        logits_CN, truth_CN.float(), reduction="mean" if known_CN is None else "sum", weight=known_CN
    ) / (1 if known_CN is None else known_CN.sum().clamp(min=1))


def shift_logits(network: UNet, target: Target, offsets: list[float]) -> None:
    """Add the offsets of classes to the network's logits for good; rim and core of objects are shifted alike."""
    of_class = dict(zip(target.class_ids, offsets, strict=True))
    owner = {core: class_id for class_id, core in target.cores}
    offsets = [of_class[owner.get(output, output)] for output in target.output_ids]
    bias = network.heads[0].bias
    assert isinstance(bias, Tensor)
    with torch.no_grad():
        bias += torch.tensor(offsets, dtype=bias.dtype, device=bias.device)
