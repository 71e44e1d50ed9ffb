"""Take in a volume that is to be boosted on its own.

The result is a run like that of a study, with one capture, nothing to segment, and all of it to boost.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.config import Boosting, BoostMethod, Classes, ClassSettings, Config, parse_boosting
from pipeline.fanout import PODS_PER_WORKFLOW
from pipeline.steps.boosting.decide import plan_boosting
from pipeline.steps.boosting.layout import create_variants
from pipeline.steps.outputs import write_outputs
from pipeline.steps.run import Run
from pipeline.steps.runplan import RunPlan
from pipeline.steps.unlabelled import claim, only_capture, stated_geometry, take_in, untrained_plan

# A run tells classes apart; this one has nobody to tell them.
_NO_CLASSES = Classes(exclusive=False, members=(ClassSettings(name="anything", color="#808080"),))


def prepare(
    volume: str,
    run_url: str,
    *,
    method: BoostMethod = "zssr",
    settings: str = "",
    voxel_size_nm: tuple[float, float, float] | None = None,
    outputs: Path | None = None,
    pods_per_workflow: int = PODS_PER_WORKFLOW,
) -> RunPlan:
    """Ingest a volume and set up a run that boosts all of it.

    Args:
        volume: location in any readable format; a relative path starts at the working directory.
        run_url: where the boosted volume is kept.
        method: bilinear, bicubic or zssr.
        settings: YAML of the configuration's section ``boosting``, such as ``factor: 2``.
        voxel_size_nm: where the file does not state it.
        outputs: directory for the values that the workflow goes on with.
        pods_per_workflow: how many workers one workflow may hold.

    Raises:
        RunConflictError: the run belongs to something else.
        InputError: the volume or a setting cannot be used.
    """
    base = Path.cwd()
    boosting = parse_boosting(settings, "the settings").model_copy(update={"methods": (method,)})
    geometry = stated_geometry(volume, base, voxel_size_nm)
    plan = plan_boosting(boosting, boosting.methods, base, [geometry], downsampled=False)
    config = _config(volume, base, boosting)
    run = Run.open(run_url, create=True)
    claim(run, config)
    with run.reporter("prepare") as report:
        capture = take_in(run, volume, base, geometry, report)
        decided = untrained_plan(capture).model_copy(update={"boosting": plan})
        run.store.write("plan.json", decided.model_dump_json(indent=1).encode())
        create_variants(Run(run.store))
    if outputs:
        write_outputs(outputs, decided, pods_per_workflow)
    return decided


def _config(volume: str, base: Path, boosting: Boosting) -> Config:
    return Config(name="boost", data=only_capture(volume, base), classes=_NO_CLASSES, boosting=boosting)
