"""Tensors of several modules and an optimiser in one flat dictionary, as a checkpoint holds them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under names that start with the prefix."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def part(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `prefixed`: those tensors whose names start with the prefix."""
    return {
        name.removeprefix(f"{prefix}."): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")
    }


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The moments that an optimiser keeps of each parameter."""
    flat: dict[str, Tensor] = {}
    for index, moments in optimizer.state_dict()["state"].items():
        flat |= prefixed(f"optimizer.{index}", moments)
    return flat


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Give an optimiser the moments of `optimizer_tensors` back; its settings stay what they are."""
    moments: dict[int, dict[str, Any]] = {}
    for name, tensor in part("optimizer", tensors).items():
        index, key = name.split(".", 1)
        moments.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
