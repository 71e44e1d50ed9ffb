"""The small files through which a step tells the workflow how to go on."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.steps.runplan import RunPlan


def write_outputs(directory: Path, plan: RunPlan) -> None:
    """Write one file an output parameter: targets (a JSON list), the first target, augment- and infer-workers."""
    directory.mkdir(parents=True, exist_ok=True)
    values = {
        "targets": json.dumps(list(plan.targets)),
        "target": plan.targets[0],
        "augment-workers": str(plan.augment_workers),
        "infer-workers": str(plan.infer_workers),
    }
    for name, value in values.items():
        (directory / name).write_text(value, encoding="utf-8")
