"""Training on a stack's own examples, until it learns nothing more.

Adam (Kingma and Ba, ICLR 2015) on the mean absolute difference, with the learning rate lowered each time the error of
reconstructing fixed examples has stopped falling, and an end once it is lowest (Shocher, Cohen, Irani, CVPR 2018). The
weights that are judged and kept are a running average (Polyak and Juditsky, SIAM J. Control Optim. 30, 1992).

On the CPU a training that is stopped and resumed is bit for bit the one that was not.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pipeline.errors import CheckpointError
from pipeline.nn.training_state import optimizer_tensors, part, prefixed, restore_optimizer
from pipeline.nn.zssr.examples import Examples
from pipeline.nn.zssr.network import DetailNetwork, DetailPlan

LARGEST_STEPS = 2**31
_JUDGED_BATCHES = 4
_GRADIENT_NORM_LIMIT = 0.5


@dataclass(frozen=True)
class Schedule:
    """How long to train, and how the learning rate falls.

    Args:
        learning_rate: at the start.
        lowest_learning_rate: the training ends when the rate would fall below it.
        reduction: what the rate is multiplied by on a plateau.
        judged_every: steps between two looks at the reconstruction error.
        patience: looks without a better error before the rate falls.
        most_steps: the training ends there at the latest.
        batch_size: crops a step.
        average_decay: of the running average of weights.
    """

    learning_rate: float = 1e-3
    lowest_learning_rate: float = 1e-5
    reduction: float = 0.3
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
        self.progress = ZssrProgress()
        self._schedule, self._examples = schedule, examples
        self._device, self._precision = device, precision
        self._network = DetailNetwork(plan).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._optimizer = torch.optim.Adam(self._network.parameters(), lr=schedule.learning_rate)
        self._plateau = ReduceLROnPlateau(
            self._optimizer, factor=schedule.reduction, patience=schedule.patience, threshold=1e-3
        )
        self._average = AveragedModel(
            self._network,
            multi_avg_fn=get_ema_multi_avg_fn(schedule.average_decay),  # type: ignore[no-untyped-call]
        )
        # Steps that no training reaches: what is judged is not what is learnt at any one step.
        self._judged = [examples.batch(LARGEST_STEPS + k, schedule.batch_size) for k in range(_JUDGED_BATCHES)]

    def step(self) -> float:
        """One optimiser step; returns its loss. Sets ``progress.ended`` after the last one."""
        progress, schedule = self.progress, self._schedule
        loss = self._loss(self._network, *self._examples.batch(progress.step, schedule.batch_size))
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._network.parameters(), _GRADIENT_NORM_LIMIT)
        self._optimizer.step()
        self._average.update_parameters(self._network)
        progress.step += 1
        if progress.step % schedule.judged_every == 0:
            self._judge()
        if progress.step >= schedule.most_steps:
            progress.ended = True
        return float(loss.detach())

    def network(self) -> DetailNetwork:
        """A copy of the network with the averaged weights."""
        network = DetailNetwork(self._network.plan)
        weights = self._average.module.state_dict()
        network.load_state_dict({name: value.detach().cpu().clone() for name, value in weights.items()})
        return network

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that a resumed training needs: tensors, and facts that JSON can hold."""
        tensors = prefixed("network", self._network.state_dict()) | prefixed("average", self._average.state_dict())
        tensors |= optimizer_tensors(self._optimizer)
        plateau = {"best": self._plateau.best, "num_bad_epochs": self._plateau.num_bad_epochs}
        return tensors, {
            "progress": asdict(self.progress),
            "learning_rate": self._learning_rate,
            "plateau": plateau if self.progress.history else {},
        }

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any], where: str) -> None:
        """Go on from ``state``. Raises CheckpointError when it belongs to another network."""
        try:
            self._network.load_state_dict(part("network", tensors))
            self._average.load_state_dict(part("average", tensors))
            restore_optimizer(self._optimizer, tensors)
            self._optimizer.param_groups[0]["lr"] = facts["learning_rate"]
            self._plateau.load_state_dict({**self._plateau.state_dict(), **facts["plateau"]})
            self.progress = ZssrProgress(**facts["progress"])
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            raise CheckpointError(f"{where}: this state belongs to another network ({error}); delete it") from error

    @property
    def _learning_rate(self) -> float:
        return float(self._optimizer.param_groups[0]["lr"])

    def _judge(self) -> None:
        """Lower the learning rate on a plateau of the reconstruction error; end where it is lowest."""
        with torch.no_grad():
            errors = [self._loss(self._average.module, *batch) for batch in self._judged]
        error = float(torch.stack(errors).mean())
        self.progress.history.append({"step": self.progress.step, "learning_rate": self._learning_rate, "error": error})
        self._plateau.step(error)
        self.progress.ended = self._learning_rate < self._schedule.lowest_learning_rate

    def _loss(self, network: nn.Module, interpolated_NCYX: Tensor, fathers_NCYX: Tensor) -> Tensor:
        interpolated = interpolated_NCYX.to(self._device, non_blocking=True)
        fathers = fathers_NCYX.to(self._device, non_blocking=True)
        with torch.autocast(self._device.type, self._precision, enabled=self._precision != torch.float32):
            boosted = network(interpolated)
        difference: Tensor = (boosted - fathers).abs().mean()
        return difference
