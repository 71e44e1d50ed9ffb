"""Constants added to the logits of a trained network so that its decisions serve macro F1 best.

Class-balanced sampling shows a rare class far more often than it occurs, so the network over-predicts it. A constant a
class undoes that (logit adjustment, Menon et al., ICLR 2021); it is searched for on the validation part, one class at a
time, and becomes part of the bias of the last convolution: inference knows nothing of it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipeline.nn.targets import Target
from pipeline.nn.unet import UNet

# First over the range in which a short training may be off, then around what was found.
_GRIDS = (np.arange(-4.0, 4.1, 1.0), np.arange(-0.75, 0.76, 0.25))
# A gain below this is noise of the validation part.
_LEAST_GAIN = 1e-4


def best_offsets(logits_CN: Tensor, truth_CN: Tensor, target: Target) -> list[float]:
    """The offset of each output that maximises macro F1; 0 for a class that does not occur.

    Such a class takes no part in the search: each voxel won from it would count as a gain, until it is silenced where
    it does occur.

    Args:
        logits_CN: logits of labelled validation voxels, a row a class.
        truth_CN: bool, which classes they are.
    """
    offsets = torch.zeros(len(logits_CN))
    occurs = truth_CN.any(1)
    if occurs.any():
        offsets[occurs] = _search(logits_CN[occurs], truth_CN[occurs], target)
    return [float(value) for value in offsets]


def _search(logits_CN: Tensor, truth_CN: Tensor, target: Target) -> Tensor:
    offsets = torch.zeros(len(logits_CN))
    best = macro_f1(logits_CN, truth_CN, target)
    for grid in _GRIDS:
        for row in range(len(logits_CN)):
            start = float(offsets[row])
            for shift in grid:
                trial = offsets.clone()
                trial[row] = start + float(shift)
                score = macro_f1(logits_CN + trial[:, None], truth_CN, target)
                if score > best + _LEAST_GAIN:
                    best, offsets = score, trial
    return offsets


def macro_f1(logits_CN: Tensor, truth_CN: Tensor, target: Target) -> float:
    """Mean F1 of the classes that occur."""
    if target.head == "softmax":
        seen_CN = torch.zeros_like(truth_CN).scatter_(0, logits_CN.argmax(0, keepdim=True), True)
    else:
        seen_CN = logits_CN > 0
    both = (seen_CN & truth_CN).sum(1).double()
    size = (seen_CN.sum(1) + truth_CN.sum(1)).double()
    occurs = truth_CN.any(1)
    return float((2 * both / size.clamp(min=1))[occurs].mean()) if occurs.any() else 0.0


def shift_logits(network: UNet, offsets: list[float]) -> None:
    """Add the offsets to the network's logits for good."""
    bias = network.heads[0].bias
    assert isinstance(bias, Tensor)
    with torch.no_grad():
        bias += torch.tensor(offsets, dtype=bias.dtype, device=bias.device)
