"""What is looked at before a workflow starts, so that a mistake is told at once and not by its first step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import InputError, StorageError


def look_first(workflow: str, values: Mapping[str, str]) -> int | None:
    """Refuse what cannot work.

    Args:
        workflow: name of the workflow; those that did not come with vemseg are not looked at.
        values: of its parameters.

    Returns:
        How many processes have work at once; None where that is not known.

    Raises:
        InputError: the configuration, a file or the run cannot be used; the message says what to do.
    """
    try:
        if workflow == "vemseg-study":
            return _look_at_study(values["config"], values["run"])
        if workflow == "vemseg-segment":
            _refuse_no_model(values["model"])
        # A stranger's file is for a confined process to read.
        if workflow in ("vemseg-segment", "vemseg-boost") and values.get("input-is", "trusted") == "trusted":
            _look_at_input(values["input"], values.get("voxel-size-nm", ""))
    except StorageError:
        pass  # the first step asks again, and waits for the storage to answer
    return None


def _look_at_study(config_location: str, run_url: str) -> int:
    from pipeline.argo.local import cores
    from pipeline.run.check import check
    from pipeline.run.fanout import at_most_at_once
    from pipeline.run.layout import Run
    from pipeline.steps.plan import refuse_other_configuration

    config = check(config_location, whole=False).config
    if "://" in run_url or Path(run_url).exists():
        refuse_other_configuration(Run.open(run_url, create=True), config, config_location)
    return at_most_at_once(config.targets, config.boost_methods, cores())


def _refuse_no_model(model: str) -> None:
    from pipeline.volume.stores import Store

    store = Store.open(model)
    if store.exists("model.json"):
        return
    models = sorted({key.split("/")[1] for key in store.list("models") if key.endswith("/model.json")})
    if models:
        raise InputError(f"{model} is a run, not a model; give -p model={model.rstrip('/')}/models/{models[0]}")
    raise InputError(f"{model}: there is no trained model here; a study leaves its models in RUN/models/<network>")


def _look_at_input(location: str, voxel_size_nm: str) -> None:
    from pipeline.cli.values import triple
    from pipeline.run.intake import stated_geometry
    from pipeline.volume.sources import TRUSTED

    size = triple(voxel_size_nm, "-p voxel-size-nm", float) if voxel_size_nm else None
    stated_geometry(location, Path.cwd(), size, TRUSTED)
