"""Learning on: the trained models whose weights the networks of a study begin with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config.model import MULTILABEL, Config
from pipeline.errors import ConfigError, InputError
from pipeline.formats import sides
from pipeline.nn.description import WEIGHTS, model_size, refuse_changed, refuse_exchanged
from pipeline.nn.plan import NetworkPlan
from pipeline.run import provenance
from pipeline.run.decide import Decision, Geometries
from pipeline.run.layout import Run
from pipeline.volume.geometry import ZyxNm
from pipeline.volume.stores import Store

if TYPE_CHECKING:
    from pipeline.nn.targets import Target
    from pipeline.nn.unet import UNet

FIELD = "training.start_from"
_CURE = f"take another model, or leave {FIELD} out to begin anew"


@dataclass(frozen=True)
class Start:
    """A trained model that a target begins with."""

    store: Store
    description: dict[str, Any]

    @property
    def where(self) -> str:
        """The model, in messages."""
        return f"{FIELD}: {self.store.url}"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what it has outputs for: classes, and cores of their objects."""
        return outputs_of(self.description)

    @property
    def digest(self) -> str:
        """Of the weights, and of what they say."""
        return provenance.start_digest(self.description[WEIGHTS], self.outputs)


@dataclass(frozen=True)
class Begun:
    """What a network has begun with."""

    weights_sha256: str
    """Of the trained model."""
    known: tuple[str, ...]
    """Classes whose outputs were taken over."""
    anew: tuple[str, ...]
    """Classes whose outputs begin with random weights."""


def outputs_of(description: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the outputs of a model, by its ``model.json``: classes, then cores of the objects of classes."""
    told = description["target"]
    names = [member["name"] for member in description["classes"]["members"]]
    return _names(names, told["class_ids"], told.get("cores", ()))


def _names(names: Sequence[str], class_ids: Sequence[int], cores: Sequence[Sequence[int]]) -> tuple[str, ...]:
    """A network of one class has no output for cores."""
    kinds = [f"cores of {names[class_id - 1]}" for class_id, _ in cores] if len(class_ids) > 1 else []
    return (*(names[class_id - 1] for class_id in class_ids), *kinds)


def starts(config: Config, base: Path, decision: Decision, geometries: Geometries) -> dict[str, Start]:
    """The model that each target begins with: that of the same name, else the multilabel one; none for the others.

    Args:
        base: the folder that a relative path starts from.

    Raises:
        ConfigError: there is no such model, or it cannot go on with these captures and this network.
    """
    location = config.training.start_from
    if location is None:
        return {}
    found = _models(location if "://" in location else str(base / location), config.targets)
    every = {target: found.get(target) or found.get(MULTILABEL) for target in config.targets}
    chosen = {target: start for target, start in every.items() if start is not None}
    if not chosen:
        raise ConfigError(
            f"{FIELD}: {location} holds {' and '.join(found)}, and this study trains {', '.join(config.targets)}; "
            f"{_CURE}"
        )
    voxel_size_nm = next(iter(geometries.values())).voxel_size_nm
    for target, start in chosen.items():
        _refuse_other_voxels(start, voxel_size_nm)
        _refuse_other_kind(start, config.classes.exclusive)
        _refuse_other_network(start, decision.networks[target])
    return chosen


def take_in_starts(run: Run, chosen: Mapping[str, Start]) -> dict[str, str]:
    """Copy the models into the run, unless that is done; returns the digest of each."""
    for target, start in chosen.items():
        made = provenance.start_model(run, target, start.digest)
        if made.intact:
            continue
        weights = start.store.read("model.safetensors")
        refuse_exchanged(weights, start.description, start.store.url)
        with made.making():
            place = run.start_store(target)
            place.write("model.safetensors", weights)
            place.write("model.json", start.store.read("model.json"))
    return {target: start.digest for target, start in chosen.items()}


def begin(run: Run, target: Target, network: UNet) -> Begun | None:
    """Give the network of a target the weights that it is to begin with; None where it begins anew."""
    from pipeline.nn.calibration import shift_logits
    from pipeline.nn.inheritance import inherit
    from pipeline.nn.model import load_model

    if target.name not in run.plan.starts:
        return None
    store, names = run.start_store(target.name), run.config.classes.names
    description = store.read_json("model.json")
    trained = load_model(store.read("model.safetensors"), description, store.url)
    # What calibration added belongs to the tissue that it was validated on.
    shift_logits(trained.network, trained.target, [-offset for offset in description["logit_offsets"]])
    outputs = _names(names, target.class_ids, target.cores)
    known = inherit(network, outputs, trained.network, outputs_of(description))
    return Begun(description[WEIGHTS], known, tuple(name for name in outputs if name not in known))


def _models(location: str, targets: tuple[str, ...]) -> dict[str, Start]:
    """Those of a run by their targets, or the only one of a model's folder."""
    try:
        store = Store.open(location)
        one = _described(store)
        if one:
            return {one.description["target"]["name"]: one}
        found = {target: _described(store.child("models", target)) for target in (MULTILABEL, *targets)}
    except InputError as error:
        raise ConfigError(f"{FIELD}: {error}") from error
    models = {target: start for target, start in found.items() if start is not None}
    if not models:
        raise ConfigError(f"{FIELD}: {location} holds no trained model; give a run, or models/<target> of one")
    return models


def _described(store: Store) -> Start | None:
    try:
        return Start(store, refuse_changed(store.read_json("model.json"), store.url))
    except FileNotFoundError:
        return None


def _refuse_other_voxels(start: Start, voxel_size_nm: ZyxNm) -> None:
    learnt_nm = model_size(voxel_size_nm, start.description)
    if learnt_nm is not None:
        learnt, own = sides(learnt_nm, by="x"), sides(voxel_size_nm, by="x")
        raise ConfigError(
            f"{start.where} has learnt from voxels of {learnt} nm, and the captures have {own} nm (z, y, x): things "
            f"have another size in voxels; bring the captures to it with `vemseg resample`, or {_CURE}"
        )


def _refuse_other_kind(start: Start, exclusive: bool) -> None:
    if start.description["classes"]["exclusive"] != exclusive:
        learnt, own = ("overlapping", "exclusive") if exclusive else ("exclusive", "overlapping")
        raise ConfigError(f"{start.where} tells {learnt} classes apart, and classes.exclusive says {own}; {_CURE}")


def _refuse_other_network(start: Start, planned: NetworkPlan) -> None:
    """Weights fit where each level has as many features, kernels of the same size, and the same pooling."""
    trained = NetworkPlan.from_json(start.description["plan"])
    old, new = ([level.features for level in plan.levels] for plan in (trained, planned))
    if old != new:
        raise ConfigError(
            f"{start.where} has levels of {old} features, and this network {new}; set network.features: {old}"
        )
    for number, (learnt, own) in enumerate(zip(trained.levels, planned.levels, strict=True), start=1):
        if learnt != own:
            raise ConfigError(
                f"{start.where} has kernels of {learnt.kernels_zyx} and pools by {learnt.pool_zyx} at level {number}, "
                f"and this network has {own.kernels_zyx} and {own.pool_zyx} (z, y, x). They follow from the voxel "
                "size, training.patch_zyx, network.convolutions_per_level and network.z_context_slices: set these as "
                f"in the model's run, or {_CURE}"
            )
