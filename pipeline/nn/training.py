"""One network's training, step by step; where batches come from and where states go is the caller's business.

AdamW (Loshchilov and Hutter, ICLR 2019) with warm-up and cosine decay. What is validated and kept is a running average
of the weights (Polyak and Juditsky, SIAM J. Control Optim. 30, 1992), which a short training gains most from.

On the CPU a training that is stopped and resumed is bit for bit the one that was not: all that is random is a function
of (seed, step), and the state holds the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pipeline.config import Training
from pipeline.errors import CheckpointError
from pipeline.nn.losses import deep_loss, segmentation_loss
from pipeline.nn.plan import NetworkPlan
from pipeline.nn.targets import Target
from pipeline.nn.training_state import optimizer_tensors, part, prefixed, restore_optimizer
from pipeline.nn.unet import UNet

GRADIENT_NORM_LIMIT = 5.0
# The average forgets its start within so many steps.
AVERAGE_WARMUP_STEPS = 10


@dataclass
class Progress:
    """How far a training is, and what it has seen."""

    step: int = 0
    best_score: float = -1.0
    history: list[dict[str, float]] = field(default_factory=list)
    """A row a validation: step, loss (mean since the last), learning_rate and the scores given by the caller."""
    loss_sum: float = 0.0
    loss_count: int = 0


class Trainer:
    """A network with its optimiser, its averaged weights and its best weights so far."""

    def __init__(
        self, plan: NetworkPlan, target: Target, settings: Training, *, steps: int, seed: int, device: torch.device
    ) -> None:
        torch.manual_seed(seed)
        self.target = target
        self.steps = steps
        self.progress = Progress()
        self._settings = settings
        self._device = device
        self._precision = autocast_dtype(settings.precision, device)
        self._network = UNet(plan).to(device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self._forward = self._compiled()
        self._optimizer = torch.optim.AdamW(
            self._network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self._average = AveragedModel(self._network, avg_fn=self._averaged, use_buffers=True)
        self._best: dict[str, Tensor] = {}

    def step(self, image_BCZYX: Tensor, labels_BZYX: Tensor) -> float:
        """One optimiser step on a batch; returns its loss."""
        self._network.train()
        self._set_learning_rate()
        image = image_BCZYX.to(self._device, memory_format=torch.channels_last_3d, non_blocking=True)
        labels = labels_BZYX.to(self._device, non_blocking=True)
        with torch.autocast(self._device.type, self._precision, enabled=self._precision != torch.float32):
            logits = self._forward(image)
        weight = self._settings.dice_weight
        loss = (
            deep_loss(logits, labels, self.target, weight)
            if isinstance(logits, list)
            else segmentation_loss(logits, labels, self.target, weight)
        )
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._network.parameters(), GRADIENT_NORM_LIMIT)
        self._optimizer.step()
        self.progress.step += 1
        self._average.update_parameters(self._network)
        return self._count(float(loss.detach()))

    @property
    def validation_due(self) -> bool:
        """Whether the step just taken is one after which the model is to be validated."""
        every = -(-self.steps // self._settings.validations)
        return self.progress.step == self.steps or self.progress.step % every == 0

    def validate(self, score: Callable[[UNet], dict[str, float]], *, by: str) -> dict[str, float]:
        """Score a copy of the averaged network, keep it if it is the best so far, and return the history's row."""
        progress = self.progress
        row = {"step": progress.step, "loss": progress.loss_sum / max(1, progress.loss_count)}
        row |= {"learning_rate": self._learning_rate(progress.step - 1)} | score(self.averaged_network())
        progress.history.append(row)
        progress.loss_sum, progress.loss_count = 0.0, 0
        # Of equal scores the later counts: it has learnt longer, and a class that validation lacks scores 0 throughout.
        if row[by] >= progress.best_score:
            progress.best_score = row[by]
            self._best = _copied(self._average.module.state_dict())
        return row

    def averaged_network(self) -> UNet:
        """A copy of the network with the averaged weights."""
        return network_from(self._network.plan, _copied(self._average.module.state_dict()))

    def best_network(self) -> UNet:
        """A copy of the network that validated best."""
        return network_from(self._network.plan, _copied(self._best))

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that a resumed training needs: tensors, and facts that JSON can hold."""
        tensors = prefixed("network", self._network.state_dict())
        tensors |= prefixed("average", self._average.state_dict())
        tensors |= prefixed("best", self._best)
        tensors |= optimizer_tensors(self._optimizer)
        return tensors, {"progress": vars(self.progress)}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any], where: str) -> None:
        """Go on from ``state``. Raises CheckpointError when it belongs to another network."""
        try:
            self._network.load_state_dict(part("network", tensors))
            self._average.load_state_dict(part("average", tensors))
            restore_optimizer(self._optimizer, tensors)
            self.progress = Progress(**facts["progress"])
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            raise CheckpointError(f"{where}: this state belongs to another network ({error}); delete it") from error
        self._best = part("best", tensors)

    def _learning_rate(self, step: int) -> float:
        warmup = max(1, round(self._settings.warmup_fraction * self.steps))
        if step < warmup:
            return self._settings.learning_rate * (step + 1) / warmup
        done = (step - warmup) / max(1, self.steps - warmup)
        return self._settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))

    def _set_learning_rate(self) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate(self.progress.step)

    def _count(self, loss: float) -> float:
        self.progress.loss_sum += loss
        self.progress.loss_count += 1
        return loss

    def _averaged(self, average: Tensor, current: Tensor, _updates: Tensor | int) -> Tensor:
        if not average.is_floating_point():
            return current
        step = self.progress.step
        decay = min(self._settings.average_decay, step / (step + AVERAGE_WARMUP_STEPS))
        return torch.lerp(current, average, decay)

    def _compiled(self) -> Callable[[Tensor], Tensor | list[Tensor]]:
        network = self._network
        forward: Callable[[Tensor], Any] = network.forward_deep if network.plan.deep_supervision else network
        wanted = self._settings.compile
        if wanted == "always" or (wanted == "auto" and self._device.type == "cuda"):
            return torch.compile(forward)
        return forward


def network_from(plan: NetworkPlan, weights: dict[str, Tensor]) -> UNet:
    """A network with these weights."""
    network = UNet(plan)
    network.load_state_dict(weights)
    return network


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The type to compute in; ``auto`` takes bfloat16 only where the hardware has it, since emulation is slow."""
    if precision == "bfloat16" or (precision == "auto" and _computes_bfloat16(device)):
        return torch.bfloat16
    return torch.float32


def _computes_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported()) or bool(torch.cpu._is_amx_tile_supported())


def _copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
