"""A volume without labels as the only capture of a run: to be segmented, or boosted, by steps that know studies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config import Capture, Config, Data
from pipeline.errors import ConfigError, RunConflictError
from pipeline.steps.digest import digest
from pipeline.steps.run import Run
from pipeline.steps.runplan import CapturePlan, RunPlan
from pipeline.volume.fingerprint import fingerprint
from pipeline.volume.geometry import Geometry
from pipeline.volume.ingest import ingest_capture
from pipeline.volume.sources import open_source

if TYPE_CHECKING:
    from pipeline.telemetry import Reporter

VOLUME = "volume"


def stated_geometry(volume: str, base: Path, voxel_size_nm: tuple[float, float, float] | None) -> Geometry:
    """Shape and voxel size of a volume. Raises ConfigError when neither its file nor the caller states the latter."""
    with open_source(volume, base) as source:
        size = voxel_size_nm or source.voxel_size_nm
        shape = source.shape_zyx
    if size is None:
        raise ConfigError(
            f"{volume} does not state its voxel size; give --voxel-size-nm z,y,x (with a workflow: -p "
            "voxel-size-nm=z,y,x)"
        )
    return Geometry(shape, size)


def only_capture(volume: str, base: Path) -> Data:
    """The configuration's section ``data`` for a volume; a relative path starts at ``base``."""
    location = volume if "://" in volume else str(base / volume)
    return Data(captures=(Capture(name=VOLUME, raw=location),))


def claim(run: Run, config: Config, remark: str = "") -> None:
    """Make a run that of a configuration. Raises RunConflictError when it is that of another one.

    Args:
        remark: what the results depend on beside the configuration, on a line of its own.
    """
    text = config.to_yaml() + (f"# {remark}\n" if remark else "")
    if run.store.exists("config.yaml") and run.store.read("config.yaml").decode() != text:
        raise RunConflictError(
            f"{run.store.url} holds another study, segmentation or boosting; choose another run URL, or remove what is "
            "there"
        )
    run.store.write("config.yaml", text.encode())


def take_in(run: Run, volume: str, base: Path, geometry: Geometry, report: Reporter) -> CapturePlan:
    """Ingest a volume, unless it is there, and say what it was made from."""
    made_from = digest(fingerprint(volume, base), geometry.voxel_size_nm)
    marker = run.marker("plan", f"{VOLUME}/ingest", made_from)
    if not marker.done:
        # Until this plan is made, no step may take the new voxels for those of the old plan.
        run.store.delete("plan.json")
        marker.clear()
        report.say(f"taking in {volume}: {' x '.join(map(str, geometry.shape_zyx))} voxels")
        ingest_capture(
            run.capture_store(VOLUME),
            name=VOLUME,
            raw=volume,
            base=base,
            voxel_size_nm=geometry.voxel_size_nm,
            count_voxels=report.metrics.voxels,
        )
        marker.write()
    return CapturePlan(
        name=VOLUME,
        shape_zyx=geometry.shape_zyx,
        voxel_size_nm=geometry.voxel_size_nm,
        digest=made_from,
        parts={},
        class_voxels={},
    )


def untrained_plan(capture: CapturePlan) -> RunPlan:
    """A plan in which nothing is learnt, predicted or boosted: each use adds what it does."""
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
