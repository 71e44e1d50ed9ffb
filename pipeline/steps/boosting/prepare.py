"""Take in a volume that is to be boosted on its own.

The result is a run like that of a study, with one capture, nothing to segment, and all of it to boost.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.config.model import Boosting, Classes, ClassSettings, Config, parse_boosting
from pipeline.run.create import write_plan
from pipeline.run.decide import plan_boosting, untrained_plan
from pipeline.run.fanout import PODS_PER_WORKFLOW
from pipeline.run.intake import claim, only_capture, read_kernels, stated_geometry, take_in_volume
from pipeline.run.layout import Run
from pipeline.run.plan import RunPlan
from pipeline.volume.fetched import remembering
from pipeline.volume.geometry import ZyxNm
from pipeline.volume.sources import TRUSTED, Policy

# A run tells classes apart; this one has nobody to tell them.
_NO_CLASSES = Classes(exclusive=False, members=(ClassSettings(name="anything", color="#808080"),))


@remembering()
def prepare(
    volume: str,
    run_url: str,
    *,
    method: str = "zssr",
    settings: str = "",
    voxel_size_nm: ZyxNm | None = None,
    outputs: Path | None = None,
    pods_per_workflow: int = PODS_PER_WORKFLOW,
    policy: Policy = TRUSTED,
) -> RunPlan:
    """Ingest a volume and set up a run that boosts all of it.

    Args:
        volume: location in any readable format; a relative path starts at the working directory.
        run_url: where the boosted volume is kept.
        method: of `pipeline.nn.zssr.methods`.
        settings: YAML of the configuration's section ``boosting``, such as ``factor: 2``.
        voxel_size_nm: where the file does not state it.
        outputs: directory for the values that the workflow goes on with.
        pods_per_workflow: how many workers one workflow may hold.
        policy: whether the volume's files may name others, and how much they may hold.

    Raises:
        RunConflictError: the run belongs to something else.
        InputError: the volume or a setting cannot be used.
    """
    base = Path.cwd()
    boosting = parse_boosting(settings, "the settings").model_copy(update={"methods": (method,)})
    geometry = stated_geometry(volume, base, voxel_size_nm, policy)
    plan = plan_boosting(boosting, boosting.methods, read_kernels(boosting, base), [geometry], downsampled=False)
    config = _config(volume, base, boosting)
    run = Run.open(run_url, create=True)
    text = claim(run, config)
    with run.reporter("prepare") as report:
        capture = take_in_volume(run, volume, base, geometry, report, policy)
        decided = untrained_plan(capture).model_copy(update={"boosting": plan})
        write_plan(run, text, decided, outputs, pods_per_workflow)
    return decided


def _config(volume: str, base: Path, boosting: Boosting) -> Config:
    return Config(name="boost", data=only_capture(volume, base), classes=_NO_CLASSES, boosting=boosting)
