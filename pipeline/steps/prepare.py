"""Take in a volume without labels, to segment it with a trained model.

The result is a run like that of a study, with one target, no parts and everything to predict: the same infer step
works on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.model import Classes, Config, Inference
from pipeline.errors import ConfigError, RunConflictError
from pipeline.nn.description import WEIGHTS, model_size, refuse_changed, refuse_exchanged
from pipeline.run.create import write_plan
from pipeline.run.decide import infer_workers, untrained_plan
from pipeline.run.fanout import PODS_PER_WORKFLOW
from pipeline.run.intake import claim, measured_values, only_capture, stated_geometry, take_in_volume
from pipeline.run.layout import Run
from pipeline.run.plan import CapturePlan, RunPlan, fit
from pipeline.run.provenance import given_model
from pipeline.volume.fetched import remembering
from pipeline.volume.geometry import Geometry, ZyxNm
from pipeline.volume.greyvalues import GreyMap, GreyValues, compared_with, grey_map
from pipeline.volume.resampling import resampled_geometry
from pipeline.volume.sources import TRUSTED, Policy
from pipeline.volume.stores import Store
from pipeline.volume.treatments import CURES, Treatment


@remembering()
def prepare(
    model_url: str,
    volume: str,
    run_url: str,
    *,
    voxel_size_nm: ZyxNm | None = None,
    intensity: Treatment | None = None,
    keep_model_grid: bool = False,
    inference: Inference | None = None,
    workers: int = 2,
    outputs: Path | None = None,
    pods_per_workflow: int = PODS_PER_WORKFLOW,
    policy: Policy = TRUSTED,
) -> RunPlan:
    """Ingest a volume and set up a run that segments all of it.

    Args:
        model_url: ``models/<target>`` of a finished run.
        volume: location in any readable format; a relative path starts at the working directory.
        run_url: where the segmentation is kept.
        voxel_size_nm: where the file does not state it.
        intensity: what is done to its grey values; None: nothing, and they are refused where they are far from those
            that the model learnt from.
        keep_model_grid: leave the result at the model's voxel size, where the volume has another one and is resampled.
        inference: how to predict; ``region`` is always the whole volume.
        workers: how many workers share the volume, at most; the same run may go on with another number.
        outputs: directory for the values that the workflow goes on with.
        pods_per_workflow: workers that one workflow holds; more go to nested ones.
        policy: whether the volume's files may name others, and how much they may hold.

    Raises:
        RunConflictError: there is no model, or the run belongs to something else.
        InputError: the volume cannot be read, its voxels are too far from the model's to be resampled, or its grey
            values are others than those of the training.
    """
    model = Store.open(model_url)
    description = _description(model)
    base = Path.cwd()
    geometry = stated_geometry(volume, base, voxel_size_nm, policy)
    to_nm = model_size(geometry.voxel_size_nm, description)
    of_model = geometry if to_nm is None else resampled_geometry(geometry, to_nm)
    seen = _grey_values(volume, measured_values(volume, base, policy), intensity, description)
    settings = (inference or Inference()).model_copy(update={"region": "all"})
    config = _config(volume, base, description, settings)
    run = Run.open(run_url, create=True)
    text = claim(run, config, f"weights {description['weights_sha256']}")
    with run.reporter("prepare") as report:
        report.say(seen.remark)
        capture = take_in_volume(run, volume, base, geometry, report, policy, seen.values, seen.map, to_nm)
        _take_in_model(run, model, description)
        decided = _plan(capture, of_model, settings.model_copy(update={"workers": workers}), description)
        decided = decided.model_copy(update={"own_grid": to_nm is not None and not keep_model_grid})
        write_plan(run, text, decided, outputs, pods_per_workflow)
    return decided


def _take_in_model(run: Run, model: Store, description: dict[str, Any]) -> None:
    target = description["target"]["name"]
    given = given_model(run, target, description[WEIGHTS])
    if given.intact:
        return
    weights = model.read("model.safetensors")
    refuse_exchanged(weights, description, model.url)
    with given.making():
        run.model_store(target).write("model.safetensors", weights)
        run.model_store(target).write("model.json", model.read("model.json"))


def _description(model: Store) -> dict[str, Any]:
    try:
        return refuse_changed(model.read_json("model.json"), model.url)
    except FileNotFoundError as error:
        raise RunConflictError(
            f"{model.url} holds no model.json; give a trained model: a run's models/<target>"
        ) from error


@dataclass(frozen=True)
class _Seen:
    """How the network is to see the volume, and what its user is told of that."""

    values: GreyValues
    map: GreyMap | None
    remark: str


def _grey_values(volume: str, values: GreyValues, intensity: Treatment | None, description: dict[str, Any]) -> _Seen:
    unlike = compared_with(values, description)
    if unlike is None:
        if intensity not in (None, "as_trained"):
            raise ConfigError(
                f"--intensity {intensity}: the model was trained by an earlier version of vemseg and does not say "
                "which grey values it learnt from; train it again, or bring the volume to them yourself"
            )
        return _Seen(values, None, "which grey values the model learnt from is not known: they are not compared")
    if unlike.is_far and intensity is None:
        raise ConfigError(
            f"{volume}: its grey values are far from those that the model learnt from, it would not know the tissue: "
            f"{unlike.text}. Say what to do with --intensity (with a workflow: -p intensity=...): {CURES}"
        )
    made = grey_map(unlike.volume, unlike.trained, intensity or "as_trained")
    done = "kept" if made is None else f"changed ({intensity})"
    return _Seen(values, made, f"grey values are {done}; beside those of the training, {unlike.text}")


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
