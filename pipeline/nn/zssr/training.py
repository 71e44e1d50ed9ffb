"""Training on a stack's own examples, until it learns nothing more.

Adam (Kingma and Ba, ICLR 2015) on the mean absolute difference, with the learning rate lowered each time the error of
reconstructing fixed examples has stopped falling, and an end once it is lowest (Shocher, Cohen, Irani, CVPR 2018). The
weights that are judged and kept are a running average (Polyak and Juditsky, SIAM J. Control Optim. 30, 1992). With each
new learning rate the training goes on from the best of them: a step too far costs time, and no more.

On the CPU a training that is stopped and resumed is bit for bit the one that was not.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pipeline.errors import CheckpointError
from pipeline.nn.training_state import optimizer_tensors, part, prefixed, restore_optimizer
from pipeline.nn.zssr.examples import Examples
from pipeline.nn.zssr.network import DetailNetwork, DetailPlan

LARGEST_STEPS = 2**31
LEAST_GAIN = 1e-3
"""Share by which the error has to fall to have fallen."""
_JUDGED_BATCHES = 4
_GRADIENT_NORM_LIMIT = 0.5


@dataclass(frozen=True)
class Schedule:
    """How long to train, and how the learning rate falls.

    Args:
        learning_rate: at the start.
        lowest_learning_rate: the training ends when the rate would fall below it.
        reduction: what the rate is multiplied by on a plateau.
        warmup_steps: over which the rate rises, at the start and after each reduction.
        judged_every: steps between two looks at the reconstruction error.
        patience: looks without a better error before the rate falls.
        most_steps: the training ends there at the latest.
        batch_size: crops a step.
        average_decay: of the running average of weights.
    """

    learning_rate: float = 1e-3
    lowest_learning_rate: float = 1e-5
    reduction: float = 0.3
    warmup_steps: int = 50
    judged_every: int = 50
    patience: int = 3
    most_steps: int = 3000
    batch_size: int = 4
    average_decay: float = 0.99


@dataclass
class ZssrProgress:
    """How far a training is, and what it has seen."""

    step: int = 0
    ended: bool = False
    learning_rate: float = 0.0
    since_reduction: int = 0
    """Steps with this learning rate."""
    looks_in_vain: int = 0
    """Without a better error, since the last one that was or the last reduction."""
    lowest_error: float = math.inf
    history: list[dict[str, float]] = field(default_factory=list)
    """A row a look: step, learning_rate, error (mean absolute, in the intensity of the images)."""


class ZssrTrainer:
    """A network with its optimiser and its averaged weights, learning from examples."""

    def __init__(
        self,
        plan: DetailPlan,
        schedule: Schedule,
        examples: Examples,
        *,
        seed: int,
        device: torch.device,
        precision: torch.dtype,
    ) -> None:
        torch.manual_seed(seed)
        self.progress = ZssrProgress(learning_rate=schedule.learning_rate)
        self._schedule, self._examples = schedule, examples
        self._device, self._precision = device, precision
        self._network = DetailNetwork(plan).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._optimizer = torch.optim.Adam(self._network.parameters(), lr=schedule.learning_rate)
        self._average = AveragedModel(
            self._network,
            multi_avg_fn=get_ema_multi_avg_fn(schedule.average_decay),  # type: ignore[no-untyped-call]
        )
        self._best = _copied(self._average.module)
        # Steps that no training reaches: what is judged is not what is learnt at any one step.
        self._judged = [examples.batch(LARGEST_STEPS + k, schedule.batch_size) for k in range(_JUDGED_BATCHES)]

    def step(self) -> float:
        """One optimiser step; returns its loss. Sets ``progress.ended`` after the last one."""
        progress, schedule = self.progress, self._schedule
        loss = self._loss(self._network, *self._examples.batch(progress.step, schedule.batch_size))
        self._set_learning_rate()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._network.parameters(), _GRADIENT_NORM_LIMIT)
        self._optimizer.step()
        self._average.update_parameters(self._network)
        progress.step += 1
        progress.since_reduction += 1
        last = progress.step >= schedule.most_steps
        if last or progress.step % schedule.judged_every == 0:
            self._judge()
        progress.ended = progress.ended or last
        return float(loss.detach())

    def network(self) -> DetailNetwork:
        """A network with the best weights."""
        network = DetailNetwork(self._network.plan)
        network.load_state_dict(self._best)
        return network

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that a resumed training needs: tensors, and facts that JSON can hold."""
        tensors = prefixed("network", self._network.state_dict()) | prefixed("average", self._average.state_dict())
        tensors |= prefixed("best", self._best) | optimizer_tensors(self._optimizer)
        return tensors, {"progress": asdict(self.progress)}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any], where: str) -> None:
        """Go on from ``state``. Raises CheckpointError when it belongs to another network."""
        try:
            self._network.load_state_dict(part("network", tensors))
            self._average.load_state_dict(part("average", tensors))
            restore_optimizer(self._optimizer, tensors)
            self.progress = ZssrProgress(**facts["progress"])
            self._best = part("best", tensors)
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            raise CheckpointError(f"{where}: this state belongs to another network ({error}); delete it") from error

    def _set_learning_rate(self) -> None:
        progress = self.progress
        warm = min(1.0, (progress.since_reduction + 1) / self._schedule.warmup_steps)
        for group in self._optimizer.param_groups:
            group["lr"] = progress.learning_rate * warm

    def _judge(self) -> None:
        """Look at the reconstruction error: keep the best weights, and lower the learning rate on a plateau."""
        progress = self.progress
        with torch.no_grad():
            errors = [self._loss(self._average.module, *batch) for batch in self._judged]
        error = float(torch.stack(errors).mean())
        progress.history.append({"step": progress.step, "learning_rate": progress.learning_rate, "error": error})
        better = error < progress.lowest_error * (1 - LEAST_GAIN)
        progress.looks_in_vain = 0 if better else progress.looks_in_vain + 1
        if error < progress.lowest_error:
            progress.lowest_error = error
            self._best = _copied(self._average.module)
        if progress.looks_in_vain > self._schedule.patience:
            self._lower_learning_rate()

    def _lower_learning_rate(self) -> None:
        """Go on from the best weights, with nothing left of what led away from them; end where the rate is lowest."""
        progress = self.progress
        progress.learning_rate *= self._schedule.reduction
        progress.since_reduction = progress.looks_in_vain = 0
        self._network.load_state_dict(self._best)
        self._average.module.load_state_dict(self._best)
        self._optimizer.state.clear()
        progress.ended = progress.learning_rate < self._schedule.lowest_learning_rate

    def _loss(self, network: nn.Module, interpolated_NCYX: Tensor, fathers_NCYX: Tensor) -> Tensor:
        interpolated = interpolated_NCYX.to(self._device, non_blocking=True)
        fathers = fathers_NCYX.to(self._device, non_blocking=True)
        with torch.autocast(self._device.type, self._precision, enabled=self._precision != torch.float32):
            boosted = network(interpolated)
        difference: Tensor = (boosted - fathers).abs().mean()
        return difference


def _copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
