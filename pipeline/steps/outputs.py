"""The small files through which a step tells the workflow how to go on."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.fanout import fan_out
from pipeline.steps.runplan import RunPlan


def write_outputs(directory: Path, plan: RunPlan, pods_per_workflow: int) -> None:
    """Write one file an output parameter.

    targets         a JSON list of names; `target` is the first of them
    augment-workers how many pods fill the pool
    infer-workers   how many pods predict each target; a worker is told its number and this one
    infer-here      how many of them are pods of this workflow: all, or none
    infer-groups    where none are: the workers of each nested workflow, a JSON list of {"first": n, "count": n}
    boosting        true where the run boosts anything
    boost-methods   a JSON list of names
    boost-workers   how many pods boost by each method
    """
    boosting = plan.boosting
    spread = fan_out(
        augment_workers=plan.augment_workers,
        infer_workers=plan.infer_workers,
        targets=len(plan.targets),
        boost_workers=boosting.workers if boosting else 0,
        boost_methods=len(boosting.methods) if boosting else 0,
        pods_per_workflow=pods_per_workflow,
    )
    values = {
        "targets": json.dumps(list(plan.targets)),
        "target": plan.targets[0] if plan.targets else "",
        "augment-workers": str(spread.augment_workers),
        "infer-workers": str(plan.infer_workers),
        "infer-here": str(0 if spread.groups else plan.infer_workers),
        "infer-groups": json.dumps([{"first": first, "count": count} for first, count in spread.groups]),
        "boosting": str(boosting is not None).lower(),
        "boost-methods": json.dumps(boosting.methods if boosting else []),
        "boost-workers": str(spread.boost_workers),
    }
    directory.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        (directory / name).write_text(value, encoding="utf-8")
