"""A training, step by step, whatever is learnt; where batches come from and where states go is the caller's business.

What differs between trainings is passed in: the network and its optimiser, the loss, the schedule, and the judge that
says how good the network is. What is judged and kept is a running average of the weights (Polyak and Juditsky, SIAM J.
Control Optim. 30, 1992), which a short training gains most from.

On the CPU a training that is stopped and resumed is bit for bit the one that was not: all that is random is a function
of (seed, step), and the state holds the rest. Sums are rounded by how many threads share them: the number of threads,
which the caller keeps with the state, belongs to that promise.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pipeline.errors import CheckpointError

Network = TypeVar("Network", bound=nn.Module)


class Schedule(ABC):
    """How fast a training learns, when it is judged, and when it ends.

    Args:
        steps: after which it ends at the latest.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps

    @abstractmethod
    def rate(self, step: int) -> float:
        """The learning rate of a step."""

    @abstractmethod
    def judged_after(self, steps: int) -> bool:
        """Whether the network is to be judged once so many steps are done."""

    def plateau(self, step: int, score: float, best: float) -> bool:
        """Heed a score beside the best one before it: whether to go back to the best weights."""
        return False

    @property
    def ended(self) -> bool:
        """Whether nothing more is to be gained, however many steps are left."""
        return False

    def state(self) -> dict[str, float]:
        """What a resumed training has to know of it, beside the number of steps."""
        return {}

    def restore(self, state: dict[str, float]) -> None:  # noqa: B027 - most have nothing to go on from
        """Go on from ``state``."""


@dataclass(frozen=True)
class Judge(Generic[Network]):
    """Says how good the averaged network is.

    Args:
        look: the row of the training's history that a look at it gives.
        by: the number in the row that counts.
        better: whether one such number is better than another, and its network is to be kept.
        worst: any number is better.
    """

    look: Callable[[Trainer[Network]], dict[str, float]]
    by: str
    better: Callable[[float, float], bool]
    worst: float


@dataclass
class Progress:
    """How far a training is, and what it has seen."""

    best_score: float
    step: int = 0
    history: list[dict[str, float | None]] = field(default_factory=list)
    """A row a look of the judge: the step, and what the judge says; None where that is no finite number, as JSON."""
    loss_sum: float = 0.0
    loss_count: int = 0
    """Since the last look."""

    @property
    def mean_loss(self) -> float:
        """Of the steps since the last look."""
        return self.loss_sum / max(1, self.loss_count)


class Trainer(Generic[Network]):
    """A network with its optimiser, its averaged weights and its best weights so far.

    Args:
        network: on the device, with its first weights.
        forward: of the network in training; the network itself, or what was compiled of it.
        loss: a scalar, of what ``forward`` gives and the truth of a batch.
        optimizer: of the network's parameters.
        average: of the network's weights.
        memory_format: of the images.
        gradient_norm_limit: longer gradients are shortened to this norm.
        precision: that ``forward`` computes in.
    """

    def __init__(
        self,
        network: Network,
        *,
        forward: Callable[[Tensor], Any],
        loss: Callable[[Any, Tensor], Tensor],
        optimizer: torch.optim.Optimizer,
        average: AveragedModel,
        schedule: Schedule,
        judge: Judge[Network],
        memory_format: torch.memory_format,
        gradient_norm_limit: float,
        device: torch.device,
        precision: torch.dtype,
    ) -> None:
        self.progress = Progress(judge.worst)
        self.schedule = schedule
        self._network, self._forward, self._loss = network, forward, loss
        self._optimizer, self._average, self._judge = optimizer, average, judge
        self._memory_format, self._gradient_norm_limit = memory_format, gradient_norm_limit
        self._device, self._precision = device, precision
        self._best = _copied(average.module)

    @property
    def averaged(self) -> nn.Module:
        """The network with the averaged weights, as it is trained on."""
        return self._average.module

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to do."""
        return self.progress.step >= self.schedule.steps or self.schedule.ended

    @property
    def judgement_due(self) -> bool:
        """Whether the step just taken is one after which the network is to be judged."""
        return self.progress.step == self.schedule.steps or self.schedule.judged_after(self.progress.step)

    def step(self, images: Tensor, truth: Tensor) -> float:
        """One optimiser step on a batch; returns its loss."""
        self._network.train()
        for group in self._optimizer.param_groups:
            group["lr"] = self.schedule.rate(self.progress.step)
        loss = self.loss_of(self._forward, images, truth)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._network.parameters(), self._gradient_norm_limit)
        self._optimizer.step()
        self._average.update_parameters(self._network)
        self.progress.step += 1
        value = float(loss.detach())
        self.progress.loss_sum += value
        self.progress.loss_count += 1
        return value

    def train(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Step by step to the end of the batches, or of the schedule; the network is judged whenever that is due."""
        for images, truth in batches:
            self.step(images, truth)
            if self.judgement_due:
                self.judge()
            if self.ended:
                return

    def loss_of(self, forward: Callable[[Tensor], Any], images: Tensor, truth: Tensor) -> Tensor:
        """The loss of a batch as ``forward`` sees it."""
        images = images.to(self._device, memory_format=self._memory_format, non_blocking=True)
        truth = truth.to(self._device, non_blocking=True)
        with torch.autocast(self._device.type, self._precision, enabled=self._precision != torch.float32):
            found = forward(images)
        return self._loss(found, truth)

    def judge(self) -> dict[str, float]:
        """Let the averaged network be judged, keep it if it is the best so far, and return the history's row."""
        progress, judge = self.progress, self._judge
        row = {"step": progress.step, **judge.look(self)}
        score, best = row[judge.by], progress.best_score
        progress.history.append({name: value if math.isfinite(value) else None for name, value in row.items()})
        progress.loss_sum, progress.loss_count = 0.0, 0
        if judge.better(score, best):
            progress.best_score = score
            self._best = _copied(self._average.module)
        if self.schedule.plateau(progress.step, score, best):
            # Nothing is left of what led away from the best weights.
            self._network.load_state_dict(self._best)
            self._average.module.load_state_dict(self._best)
            self._optimizer.state.clear()
        return row

    def averaged_network(self) -> Network:
        """A copy of the network with the averaged weights."""
        return with_weights(type(self._network)(self._network.plan), _copied(self._average.module))

    def best_network(self) -> Network:
        """A copy of the network that was judged best."""
        return with_weights(type(self._network)(self._network.plan), self._best)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that a resumed training needs: tensors, and facts that JSON can hold."""
        tensors = _prefixed("network", self._network.state_dict())
        tensors |= _prefixed("average", self._average.state_dict())
        tensors |= _prefixed("best", self._best)
        for index, moments in self._optimizer.state_dict()["state"].items():
            tensors |= _prefixed(f"optimizer.{index}", moments)
        return tensors, {"progress": asdict(self.progress), "schedule": self.schedule.state()}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any], where: str) -> None:
        """Go on from ``state``. Raises CheckpointError when it belongs to another network."""
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _part("optimizer", tensors).items():
            index, key = name.split(".", 1)
            moments.setdefault(int(index), {})[key] = tensor
        try:
            self._network.load_state_dict(_part("network", tensors))
            self._average.load_state_dict(_part("average", tensors))
            self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": moments})
            self.progress = Progress(**facts["progress"])
            self.schedule.restore(facts["schedule"])
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            raise CheckpointError(f"{where}: this state belongs to another network ({error}); delete it") from error
        self._best = _part("best", tensors)


def with_weights(network: Network, weights: dict[str, Tensor]) -> Network:
    """The network, with these weights."""
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


def _copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _part(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `_prefixed`: those tensors whose names start with the prefix."""
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
