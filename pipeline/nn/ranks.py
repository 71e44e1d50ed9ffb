"""A training that several processes share, its ranks: each takes its share of every batch, and all take the same step.

What depends on the whole batch is summed over the ranks: gradients by torch's DistributedDataParallel, the statistics
of normalisation, and the sums that the loss is made of. So the training follows the curve of one process with the same
batches, up to rounding. Without a group of ranks nothing here changes anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.parallel import DistributedDataParallel

# The others wait while the first rank validates; whoever starts them notices that one has died.
_PATIENCE = timedelta(hours=6)


@contextmanager
def joined(rank: int, ranks: int, store: Any) -> Iterator[None]:
    """Be one of the ranks while this is open, on a device of one's own where there are any.

    The threads that this process has are those of all ranks together, and are shared out.

    Args:
        rank: this one's number, from 0.
        ranks: how many there are.
        store: the `torch.distributed.Store` by which they meet.
    """
    torch.set_num_threads(max(1, torch.get_num_threads() // ranks))
    if torch.cuda.is_available():
        torch.cuda.set_device(rank)
    dist.init_process_group(store=store, rank=rank, world_size=ranks, timeout=_PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """Which rank this process is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def ranks() -> int:
    """How many there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def share() -> slice:
    """Which samples of a batch are those of this rank."""
    return slice(rank(), None, ranks())


def summed(of_share: Tensor) -> Tensor:
    """The sum over all ranks; gradients flow through it."""
    if ranks() == 1:
        return of_share
    whole: Tensor = all_reduce(of_share)  # type: ignore[no-untyped-call]
    return whole


def any_rank(says: bool) -> bool:
    """Whether any of the ranks says so; all of them must ask."""
    if ranks() == 1:
        return says
    said = torch.tensor(float(says), device="cuda" if torch.cuda.is_available() else "cpu")
    dist.all_reduce(said)
    return bool(said > 0)


def as_one(network: nn.Module, forward: nn.Module) -> nn.Module:
    """What is to be called in place of ``forward``, so that all ranks train one network.

    Args:
        network: whose normalisation is changed to see the whole batch.
        forward: a module around it, or the network itself.
    """
    if ranks() == 1:
        return forward
    if torch.cuda.is_available():
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return DistributedDataParallel(forward, [torch.cuda.current_device()], broadcast_buffers=False)
    for module in list(network.modules()):
        for name, norm in module.named_children():
            if isinstance(norm, nn.BatchNorm3d):
                setattr(module, name, SharedBatchNorm.of(norm))
    return DistributedDataParallel(forward, broadcast_buffers=False)


class SharedBatchNorm(nn.BatchNorm3d):
    """Batch normalisation over the batch of all ranks; torch's own, SyncBatchNorm, works on GPUs alone."""

    @classmethod
    def of(cls, norm: nn.BatchNorm3d) -> SharedBatchNorm:
        """The same normalisation, parameters included."""
        shared = cls(norm.num_features, norm.eps, norm.momentum)
        shared.load_state_dict(norm.state_dict())
        return shared

    def forward(self, input: Tensor) -> Tensor:
        """Features (B, C, Z, Y, X), normalised with the statistics of all ranks' features while training."""
        if not self.training:
            return super().forward(input)
        over, dims = (0, 2, 3, 4), (1, -1, 1, 1, 1)
        values = input.float()
        count = values[:, 0].numel() * ranks()
        mean_C = summed(values.sum(over)) / count
        centred = values - mean_C.view(dims)
        variance_C = summed(centred.square().sum(over)) / count
        self._note(mean_C.detach(), variance_C.detach() * count / (count - 1))
        scale_C = self.weight * (variance_C + self.eps).rsqrt()
        return (centred * scale_C.view(dims) + self.bias.view(dims)).to(input.dtype)

    def _note(self, mean_C: Tensor, variance_C: Tensor) -> None:
        running: Any = (self.running_mean, self.running_var)
        for known, now in zip(running, (mean_C, variance_C), strict=True):
            known.lerp_(now, self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1
