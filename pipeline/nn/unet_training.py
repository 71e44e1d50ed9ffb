"""The training of a U-Net that segments: AdamW (Loshchilov and Hutter, ICLR 2019), warm-up and cosine decay."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from pipeline.nn.plan import NetworkPlan
from pipeline.nn.ranks import as_one
from pipeline.nn.targets import SegmentationLoss, Target, prior_logits
from pipeline.nn.training import Judge, Schedule, Trainer, autocast_dtype
from pipeline.nn.unet import UNet

GRADIENT_NORM_LIMIT = 5.0
# The average forgets its start within so many steps.
AVERAGE_WARMUP_STEPS = 10


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained.

    Args:
        learning_rate: the highest; it rises to it during the warm-up and falls as a cosine after it.
        weight_decay: decoupled from the gradient.
        warmup_fraction: share of the steps over which the learning rate rises.
        dice_weight: of the Dice loss beside cross-entropy.
        average_decay: of the running average of weights; 0: the raw weights.
        validations: how often, evenly over the training, the network is judged.
        precision: auto takes bfloat16 where the hardware computes it natively.
        compile: whether torch compiles the network; auto: on CUDA.
    """

    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warmup_fraction: float = 0.05
    dice_weight: float = 0.5
    average_decay: float = 0.99
    validations: int = 8
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: Literal["auto", "always", "never"] = "auto"


class Cosine(Schedule):
    """A learning rate that rises, then falls to zero as half a cosine; it depends on the step alone."""

    def __init__(self, steps: int, settings: TrainingSettings) -> None:
        super().__init__(steps)
        self._settings = settings

    def rate(self, step: int) -> float:
        """See `Schedule`."""
        warmup = max(1, round(self._settings.warmup_fraction * self.steps))
        if step < warmup:
            return self._settings.learning_rate * (step + 1) / warmup
        done = (step - warmup) / max(1, self.steps - warmup)
        return self._settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))

    def judged_after(self, steps: int) -> bool:
        """See `Schedule`."""
        return steps % -(-self.steps // self._settings.validations) == 0


def untrained(plan: NetworkPlan, seed: int) -> UNet:
    """A network with random weights, the same for the same seed."""
    torch.manual_seed(seed)
    return UNet(plan)


def unet_trainer(
    network: UNet,
    target: Target,
    settings: TrainingSettings,
    *,
    shares: Sequence[float],
    score: Callable[[UNet], dict[str, float]],
    by: str,
    steps: int,
    device: torch.device,
) -> Trainer[UNet]:
    """The training of a target's network.

    Args:
        network: with its first weights; it is changed.
        shares: of the labelled voxels of the samples, one for each class of the labels.
        score: says how good a network is; it is given a copy.
        by: the score, in what it says, whose highest is kept.
        steps: of the optimiser.
    """
    network = network.to(device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    schedule = Cosine(steps, settings)

    def look(trainer: Trainer[UNet]) -> dict[str, float]:
        progress = trainer.progress
        facts = {"loss": progress.mean_loss, "learning_rate": schedule.rate(progress.step - 1)}
        return facts | score(trainer.averaged_network())

    loss = SegmentationLoss(target, prior_logits(shares, target), settings.dice_weight)

    return Trainer(
        network,
        forward=_forward(network, settings, device),
        loss=loss.deep if network.plan.deep_supervision else loss,
        optimizer=torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        ),
        average=AveragedModel(network, multi_avg_fn=_warm_average(settings.average_decay), use_buffers=True),
        schedule=schedule,
        # Of equal scores the later counts: it has learnt longer, and a class that validation lacks scores 0 throughout.
        judge=Judge(look, by, operator.ge, -math.inf),
        memory_format=torch.channels_last_3d,
        gradient_norm_limit=GRADIENT_NORM_LIMIT,
        device=device,
        precision=autocast_dtype(settings.precision, device),
    )


def _warm_average(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """Averages all tensors of a kind at once: one by one, a GPU is waited for at each."""

    def average(averages: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor | int) -> None:
        found = list(current)
        if averages[0].is_floating_point():
            step = int(updates) + 1
            weight = min(decay, step / (step + AVERAGE_WARMUP_STEPS))
            found = list(torch._foreach_lerp(found, list(averages), weight))
        torch._foreach_copy_(list(averages), found)

    return average


def _forward(network: UNet, settings: TrainingSettings, device: torch.device) -> Callable[[Tensor], Any]:
    forward: Callable[[Tensor], Any] = as_one(network, network.deep() if network.plan.deep_supervision else network)
    if settings.compile == "always" or (settings.compile == "auto" and device.type == "cuda"):
        return torch.compile(forward)
    return forward
