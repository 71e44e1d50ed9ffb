"""Take in a volume without labels, to segment it with a trained model.

The result is a run like that of a study, with one target, no parts and everything to predict: the same infer step
works on it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.config import Classes, Config, Inference
from pipeline.errors import ConfigError, RunConflictError
from pipeline.fanout import PODS_PER_WORKFLOW
from pipeline.steps.outputs import write_outputs
from pipeline.steps.plan import infer_workers, prepare_outputs
from pipeline.steps.run import Run
from pipeline.steps.runplan import CapturePlan, RunPlan, fit
from pipeline.steps.unlabelled import claim, only_capture, stated_geometry, take_in, untrained_plan
from pipeline.volume.geometry import Geometry
from pipeline.volume.stores import Store

MODEL_FILES = ("model.safetensors", "model.json")
# Beyond this ratio, things have another size in voxels than the network has learnt.
VOXEL_SIZE_TOLERANCE = 1.25


def prepare(
    model_url: str,
    volume: str,
    run_url: str,
    *,
    voxel_size_nm: tuple[float, float, float] | None = None,
    inference: Inference | None = None,
    workers: int = 2,
    outputs: Path | None = None,
    pods_per_workflow: int = PODS_PER_WORKFLOW,
) -> RunPlan:
    """Ingest a volume and set up a run that segments all of it.

    Args:
        model_url: ``models/<target>`` of a finished run.
        volume: location in any readable format; a relative path starts at the working directory.
        run_url: where the segmentation is kept.
        voxel_size_nm: where the file does not state it.
        inference: how to predict; ``region`` is always the whole volume.
        workers: how many workers share the volume, at most; the same run may go on with another number.
        outputs: directory for the values that the workflow goes on with.
        pods_per_workflow: workers that one workflow holds; more go to nested ones.

    Raises:
        RunConflictError: there is no model, or the run belongs to something else.
        InputError: the volume cannot be read, or its voxels have another size than those of the training.
    """
    model = Store.open(model_url)
    description = _description(model)
    base = Path.cwd()
    geometry = _geometry(volume, base, voxel_size_nm, description)
    settings = (inference or Inference()).model_copy(update={"region": "all"})
    config = _config(volume, base, description, settings)
    run = Run.open(run_url, create=True)
    claim(run, config, f"weights {description['weights_sha256']}")
    with run.reporter("prepare") as report:
        capture = take_in(run, volume, base, geometry, report)
        for name in MODEL_FILES:
            run.model_store(description["target"]["name"]).write(name, model.read(name))
        decided = _plan(capture, geometry, settings.model_copy(update={"workers": workers}), description)
        run.store.write("plan.json", decided.model_dump_json(indent=1).encode())
        prepare_outputs(Run(run.store))
    if outputs:
        write_outputs(outputs, decided, pods_per_workflow)
    return decided


def _description(model: Store) -> dict[str, Any]:
    try:
        return dict(model.read_json("model.json"))
    except FileNotFoundError as error:
        raise RunConflictError(
            f"{model.url} holds no model.json; give a trained model: a run's models/<target>"
        ) from error


def _geometry(
    volume: str, base: Path, voxel_size_nm: tuple[float, float, float] | None, description: dict[str, Any]
) -> Geometry:
    geometry = stated_geometry(volume, base, voxel_size_nm)
    size, trained = geometry.voxel_size_nm, description["voxel_size_nm"]
    ratios = [max(a / b, b / a) for a, b in zip(size, trained, strict=True)]
    if max(ratios) > VOXEL_SIZE_TOLERANCE:
        raise ConfigError(
            f"{volume} has voxels of {tuple(size)} nm (z, y, x), but the model was trained at {tuple(trained)} nm; "
            f"bring it there (vemseg resample --to-nm {','.join(f'{nm:g}' for nm in trained)}), or use a model trained "
            "at its voxel size"
        )
    return geometry


def _config(volume: str, base: Path, description: dict[str, Any], settings: Inference) -> Config:
    return Config(
        name="segment",
        data=only_capture(volume, base),
        classes=Classes.model_validate(description["classes"]),
        inference=settings,
    )


def _plan(capture: CapturePlan, geometry: Geometry, settings: Inference, description: dict[str, Any]) -> RunPlan:
    return untrained_plan(capture).model_copy(
        update={
            "targets": (description["target"]["name"],),
            "intensity_mean": description["normalisation"]["mean"],
            "intensity_std": description["normalisation"]["std"],
            "receptive_field_zyx": tuple(description["receptive_field_zyx"]),
            "block_zyx": fit(settings.block_zyx, geometry.shape_zyx),
            "infer_workers": infer_workers(settings, [geometry]),
        }
    )
