"""Tensors and facts in one file, whose damage is noticed when it is read.

The format is safetensors (https://github.com/huggingface/safetensors): reading it runs no code. The facts are JSON in
its metadata, beside a SHA-256 of all tensors, because the format itself does not notice a flipped bit.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from pipeline.errors import CheckpointError


def pack(tensors: dict[str, Tensor], facts: dict[str, Any]) -> bytes:
    """One file's bytes; the same tensors and facts give the same bytes."""
    whole = {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}
    metadata = {"facts": json.dumps(facts, sort_keys=True), "sha256": _digest(whole)}
    return _restored_order(safetensors.torch.save(whole, metadata=metadata))


def unpack(data: bytes, where: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts of ``pack``. Raises CheckpointError, naming ``where``, when a byte has changed."""
    try:
        tensors = safetensors.torch.load(data)
        metadata = _header(data)["__metadata__"]
        facts: dict[str, Any] = json.loads(metadata["facts"])
        intact = metadata["sha256"] == _digest(tensors)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{where}: not a complete checkpoint ({error}); {_CURE}") from error
    if not intact:
        raise CheckpointError(f"{where}: the weights do not match their checksum; {_CURE}")
    return tensors, facts


_CURE = "delete the file and run the step again: it goes on from the last good state, or from the start"


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(dtype=torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _header(data: bytes) -> Any:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length])


def _restored_order(data: bytes) -> bytes:
    """The writer lists metadata in hash order; sorting the header makes equal content equal bytes."""
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(_header(data), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]
