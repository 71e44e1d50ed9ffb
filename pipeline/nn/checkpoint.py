"""Tensors and facts in one file, whose damage is noticed when it is read.

The format is safetensors (https://github.com/huggingface/safetensors): reading it runs no code. The facts are JSON in
its metadata, beside a SHA-256 of them and of all tensors, because the format itself does not notice a flipped bit.
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
    text = json.dumps(facts, sort_keys=True)
    return _canonical(safetensors.torch.save(whole, metadata={"facts": text, "sha256": _digest(whole, text)}))


def unpack(data: bytes, where: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts of ``pack``. Raises CheckpointError, naming ``where``, when a byte has changed."""
    try:
        tensors = safetensors.torch.load(data)
        metadata = _header(data)["__metadata__"]
        intact = metadata["sha256"] == _digest(tensors, metadata["facts"]) and data == _canonical(data)
        facts: dict[str, Any] = json.loads(metadata["facts"])
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{where}: not a complete checkpoint ({error}); {_CURE}") from error
    if not intact:
        raise CheckpointError(f"{where}: the content does not match its checksum; {_CURE}")
    return tensors, facts


_CURE = "delete the file and run the step again: it goes on from the last good state, or from the start"


def _digest(tensors: dict[str, Tensor], facts: str) -> str:
    digest = hashlib.sha256(facts.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(dtype=torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _header(data: bytes) -> Any:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length])


def _canonical(data: bytes) -> bytes:
    """The writer lists metadata in hash order; sorting the header makes equal content equal bytes."""
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(_header(data), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]
