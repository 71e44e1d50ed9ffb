"""Weights and what ``model.json`` says of them are one thing: a digest binds both, a change of either is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pipeline.errors import CheckpointError
from pipeline.volume.geometry import ZyxNm

WEIGHTS, SEAL = "weights_sha256", "sha256"
VOXEL_SIZE_TOLERANCE = 1.25
"""Beyond this ratio, things have another size in voxels than the network has learnt."""


def sealed(description: Mapping[str, Any]) -> dict[str, Any]:
    """The description, which names the digest of the weights, with a digest of all that it says."""
    return {**description, SEAL: _digest(description)}


def refuse_changed(description: Any, where: str) -> dict[str, Any]:
    """The description as it was sealed; one of an earlier version has no seal, and is taken as it is.

    Raises CheckpointError, naming `where` it lies, when it says something else than when it was written.
    """
    if not isinstance(description, dict) or WEIGHTS not in description:
        raise CheckpointError(f"{where}/model.json does not describe a model; train again")
    seal = description.get(SEAL)
    if seal is not None and seal != _digest(description):
        raise CheckpointError(
            f"{where}/model.json was changed since the model was trained: its content does not match its digest; take "
            "the model from where it came from again, or train again"
        )
    return description


def refuse_exchanged(weights_file: bytes, description: Mapping[str, Any], where: str) -> None:
    """Raise CheckpointError when the weights are not those of the description."""
    if hashlib.sha256(weights_file).hexdigest() != description[WEIGHTS]:
        raise CheckpointError(
            f"{where}/model.safetensors is not the file that model.json describes: it is damaged, or of another "
            "model; take both files from where they came from again, or train again"
        )


def model_size(voxel_size_nm: ZyxNm, description: Mapping[str, Any]) -> ZyxNm | None:
    """The voxel size that a volume must be brought to for a model; None where it has it."""
    z, y, x = description["voxel_size_nm"]
    ratios = [max(a / b, b / a) for a, b in zip(voxel_size_nm, (z, y, x), strict=True)]
    return (z, y, x) if max(ratios) > VOXEL_SIZE_TOLERANCE else None


def _digest(description: Mapping[str, Any]) -> str:
    said = {key: value for key, value in description.items() if key != SEAL}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
