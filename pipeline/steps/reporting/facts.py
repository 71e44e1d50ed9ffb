"""What was planned, in words, and the digests by which a result can be told from another."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from pipeline.config import Config
from pipeline.scoring.report.contents import CaptureFacts
from pipeline.scoring.report.numbers import size, whole
from pipeline.steps.run import Run
from pipeline.steps.runplan import CapturePlan, RunPlan


def captures(plan: RunPlan) -> tuple[CaptureFacts, ...]:
    """The captures and how many voxels each part of them has."""
    return tuple(_capture(capture) for capture in plan.captures)


def planned(config: Config, plan: RunPlan) -> Mapping[str, str]:
    """Title and value of what a reader of the scores asks for first."""
    levels = " → ".join(str(features) for features in config.network.features)
    training = config.training
    found = {
        "Features by level": levels,
        "Receptive field, z, y, x": f"{size(plan.receptive_field_zyx)} voxels",
        "Guard between the parts": f"{size(plan.guard_zyx)} voxels",
        "Training patch": f"{size(plan.patch_zyx)} voxels, {training.batch_size} a batch",
        "Training steps": f"{training.steps} multilabel, {training.binary_steps or training.steps} binary",
        "Learning rate": f"{training.learning_rate:g}",
        "Grey values": f"mean {plan.intensity_mean:.1f}, standard deviation {plan.intensity_std:.1f}",
        "Inference block": f"{size(plan.block_zyx)} voxels",
        "Seed": str(config.seed),
    }
    parts = {
        part: sum(capture.part_voxels.get(part, 0) for capture in captures(plan))
        for part in ("train", "validation", "test")
    }
    if any(parts.values()):
        found["Voxels to train, validate, test"] = ", ".join(whole(voxels) for voxels in parts.values())
    if plan.boosting is not None:
        found["Boosted"] = f"by {plan.boosting.factor:g}: {', '.join(plan.boosting.methods)}"
    return found


def digests(run: Run) -> Mapping[str, str]:
    """Of the configuration, the plan and each capture's source files."""
    found = {f"{key}, SHA-256": hashlib.sha256(run.store.read(key)).hexdigest() for key in ("config.yaml", "plan.json")}
    return found | {f"source of {capture.name}": capture.digest for capture in run.plan.captures}


def _capture(capture: CapturePlan) -> CaptureFacts:
    voxels = {
        part: sum(block.voxels for block in capture.split().of(part))
        for part in ("train", "validation", "test")
        if capture.parts
    }
    return CaptureFacts(capture.name, capture.shape_zyx, capture.voxel_size_nm, capture.digest, voxels)
