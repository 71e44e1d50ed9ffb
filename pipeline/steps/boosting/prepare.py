"""Take in a volume that is to be boosted on its own.

The result is a run like that of a study, with one capture, nothing to segment, and all of it to boost.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.config import Boosting, BoostMethod, Capture, Classes, ClassSettings, Config, Data, parse_boosting
from pipeline.errors import RunConflictError
from pipeline.fanout import PODS_PER_WORKFLOW
from pipeline.steps.boosting.decide import plan_boosting
from pipeline.steps.boosting.layout import create_variants
from pipeline.steps.outputs import write_outputs
from pipeline.steps.prepare import VOLUME, stated_geometry, take_in
from pipeline.steps.run import Run
from pipeline.steps.runplan import CapturePlan, RunPlan
from pipeline.volume.geometry import Geometry

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
    _claim(run, config)
    with run.reporter("prepare") as report:
        made_from = take_in(run, volume, base, geometry, report)
        decided = _plan(geometry, made_from).model_copy(update={"boosting": plan})
        run.store.write("plan.json", decided.model_dump_json(indent=1).encode())
        create_variants(Run(run.store))
    if outputs:
        write_outputs(outputs, decided, pods_per_workflow)
    return decided


def _config(volume: str, base: Path, boosting: Boosting) -> Config:
    location = volume if "://" in volume else str(base / volume)
    return Config(
        name="boost",
        data=Data(captures=(Capture(name=VOLUME, raw=location),)),
        classes=_NO_CLASSES,
        boosting=boosting,
    )


def _claim(run: Run, config: Config) -> None:
    text = config.to_yaml()
    if run.store.exists("config.yaml") and run.store.read("config.yaml").decode() != text:
        raise RunConflictError(
            f"{run.store.url} holds another study, segmentation or boosting; choose another run URL, or remove what is "
            "there"
        )
    run.store.write("config.yaml", text.encode())


def _plan(geometry: Geometry, made_from: str) -> RunPlan:
    capture = CapturePlan(
        name=VOLUME,
        shape_zyx=geometry.shape_zyx,
        voxel_size_nm=geometry.voxel_size_nm,
        digest=made_from,
        parts={},
        class_voxels={},
    )
    return RunPlan(
        captures=(capture,),
        targets=(),
        networks={},
        intensity_mean=0.0,
        intensity_std=1.0,
        receptive_field_zyx=(1, 1, 1),
        guard_zyx=(0, 0, 0),
        patch_zyx=(1, 1, 1),
        block_zyx=(1, 1, 1),
        augment_workers=0,
        infer_workers=0,
    )
