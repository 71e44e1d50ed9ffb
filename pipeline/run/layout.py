"""A run: one directory or bucket prefix, and where in it each thing lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from pipeline.config.model import MERGED, MULTILABEL, Capture, Classes, Config, parse_config
from pipeline.errors import ConfigError, RunConflictError
from pipeline.run.events import Reporter
from pipeline.run.plan import CapturePlan, RunPlan
from pipeline.volume.geometry import Block, Geometry
from pipeline.volume.labels import ClassMap
from pipeline.volume.omezarr import Volume, open_image, open_labels
from pipeline.volume.stores import Store

if TYPE_CHECKING:
    from pipeline.scoring.tables import ScoreTable

TRUTH, SPLIT, SEGMENTATION, CONFUSION = "truth", "split", "segmentation", "confusion"
OBJECTS = "objects"
SMALLEST_OBJECTS = "smallest_objects_nm3"
"""In a model's description: by class, how large an object must be to count as one."""
REACH_NM = 150.0
"""How far, inside its class, a voxel may lie from the core of its object, where nothing else is asked for."""
CORES, PIECES, PARTS = "cores", "pieces", "parts"
"""Before objects: the network's cores, and numbers, within a shard, of pieces of these and of parts of objects."""
RENDERS = "renders"
VOLUME = "volume"
"""The only capture of a run that takes in a volume without labels."""
OWN_GRID = "input"
"""The same volume as it came, where `VOLUME` was resampled for the model."""
SUMMARY_JSON = "summary.json"
SUGGESTIONS = "suggestions"
"""Blocks to label next, in the evaluation: a table, a map and JSON."""
TRAINING_STATE = "last/state.safetensors"
"""Beside a model that is not done yet."""
OPINION = "validation.safetensors"
"""Beside a model: what it says of the validation part."""
DOUBT = "doubt"
NATIVE = "native"
"""The variant of a capture that was taken in; the others are made of it."""
REST_COLOR = "#404040"
"""Of everything else, beside one class."""


@dataclass(frozen=True)
class Run:
    """The run at a URL; what it holds is opened when it is asked for."""

    store: Store

    @classmethod
    def open(cls, url: str | Path, *, create: bool = False) -> Run:
        """The run at a path, ``file://`` or ``s3://`` URL."""
        return cls(Store.open(url, create=create))

    @cached_property
    def config(self) -> Config:
        """The configuration that the run was planned with."""
        return parse_config(self._planned("config.yaml").decode(), f"{self.store.url}/config.yaml")

    @cached_property
    def plan(self) -> RunPlan:
        """What the plan step decided."""
        try:
            return RunPlan.model_validate_json(self._planned("plan.json"))
        except ValidationError as error:
            raise RunConflictError(
                f"{self.store.url}/plan.json was written by another version of vemseg; run the plan step again"
            ) from error

    def refuse_without_labels(self) -> None:
        """Raise RunConflictError when the run only segments: there is nothing in it to train on or to score."""
        if not self.plan.networks:
            raise RunConflictError(
                f"{self.store.url} segments a volume without labels, with a model trained elsewhere; train and score "
                "in the run of a study (vemseg run study)"
            )

    @property
    def class_map(self) -> ClassMap:
        """How label files name the classes, and how they are stored."""
        return class_map(self.config)

    @property
    def segmentations(self) -> tuple[str, ...]:
        """What says of voxels which class they are: the networks and, where asked for, all of them together."""
        return (*self.plan.targets, *((MERGED,) if self.config.inference.merged else ()))

    @property
    def scores(self) -> ScoreTable | None:
        """The table of scores; None before the predictions are scored."""
        from pipeline.scoring.tables import from_json

        try:
            return from_json(self.evaluation_store.read("scores.json").decode())
        except FileNotFoundError:
            return None

    @property
    def suggestions(self) -> dict[str, Any]:
        """The blocks to label that were suggested last. Raises RunConflictError where none were."""
        try:
            told: dict[str, Any] = self.evaluation_store.read_json(f"{SUGGESTIONS}.json")
        except FileNotFoundError as error:
            url = self.store.url
            raise RunConflictError(f"{url} has no suggestions yet; run `vemseg suggest {url}` first") from error
        return told

    def capture_store(self, capture: str) -> Store:
        """Where the image of a capture lies."""
        return self.store.child("volume.zarr", capture)

    def image(self, capture: str) -> Volume:
        """The grey values of a capture."""
        return open_image(self.capture_store(capture))

    @property
    def result(self) -> str:
        """What the result of a run that only segments belongs to: the volume as it came, if it is brought back."""
        return OWN_GRID if self.plan.own_grid else VOLUME

    @property
    def volume_as_it_came(self) -> Volume | None:
        """Of a run that only segments, where it was resampled for the model; None where it was not."""
        return self.image(OWN_GRID) if self.capture_store(OWN_GRID).exists("zarr.json") else None

    def predicted_geometry(self, capture: str) -> Geometry:
        """Shape and voxel size of what is predicted of a capture, once it is brought back to the volume as it came."""
        if self.plan.own_grid:
            return self.image(OWN_GRID).geometry
        planned = self.plan.capture(capture)
        return Geometry(planned.shape_zyx, planned.voxel_size_nm)

    def truth(self, capture: str) -> Volume:
        """What was labelled."""
        return open_labels(self.capture_store(capture), TRUTH)

    def model_store(self, target: str) -> Store:
        """Where the model of a target lies."""
        return self.store.child("models", target)

    def start_store(self, target: str) -> Store:
        """Where the trained model lies that a target's network begins with, if it does not begin anew."""
        return self.store.child("starts", target)

    def boosted_store(self, variant: str, capture: str) -> Store:
        """Where a capture lies in another variant: downsampled, or boosted by a method."""
        return self.store.child("boosted.zarr", variant, capture)

    def variant(self, variant: str, capture: str) -> Volume:
        """The grey values of a capture in a variant: as it was taken in, downsampled, or boosted by a method."""
        return self.image(capture) if variant == NATIVE else open_image(self.boosted_store(variant, capture))

    def read_seen(self, capture: CapturePlan, variant: str = NATIVE) -> Callable[[Block], NDArray[Any]]:
        """What reads the grey values of a capture as networks see them: brought to those of their training."""
        read, grey_map = self.variant(variant, capture.name).read, capture.grey_map
        return read if grey_map is None else lambda block: grey_map(read(block))

    @cached_property
    def keeps_predictions_apart(self) -> bool:
        """Whether predictions lie in ``predictions/``, as in runs of 0.1.0, and not below the images they are of."""
        return self.store.holds("predictions")

    def segmentation_place(self, target: str, capture: str, variant: str = NATIVE) -> tuple[Store, str]:
        """The image below which the predicted class ids of a capture, as it is or in another variant, are labels, and
        what these are called there."""
        if self.keeps_predictions_apart:
            return self.store.child("predictions", predicted_name(target, variant), capture), SEGMENTATION
        image = self.capture_store(capture) if variant == NATIVE else self.boosted_store(variant, capture)
        return image, segmentation_name(target)

    def segmentation(self, target: str, capture: str, variant: str = NATIVE) -> Volume:
        """The predicted class ids."""
        return open_labels(*self.segmentation_place(target, capture, variant))

    def probabilities_store(self, target: str, capture: str) -> Store:
        """Where a target's probabilities of a capture lie, if they were asked for."""
        folder = "predictions" if self.keeps_predictions_apart else "probabilities.zarr"
        return self.store.child(folder, target, capture)

    @property
    def instances(self) -> dict[int, str]:
        """The classes whose objects are told apart, by their ids; only the multilabel network finds their cores."""
        found = MULTILABEL in self.plan.targets
        return {number: member.name for number, member in self.config.classes.instances.items() if found}

    @property
    def membrane(self) -> int | None:
        """The id of the class that distances of objects are taken to: the first that is called so."""
        names = enumerate(self.config.classes.names, 1)
        return next((number for number, name in names if "membrane" in name.lower()), None)

    def objects(self, class_name: str, capture: str) -> Volume:
        """The ids of the objects of a class, from 1 in the order of their first voxels; 0 where there is none."""
        return open_labels(self.capture_store(capture), objects_name(class_name))

    def true_objects(self, class_name: str, capture: str) -> Volume:
        """The ids of the objects of a class as labelled, or numbers of its pieces; 0 where there is none."""
        return open_labels(self.capture_store(capture), objects_name(class_name, TRUTH))

    @property
    def reach_nm(self) -> float:
        """How far cores of objects grow."""
        return self.config.inference.reach_nm or REACH_NM

    def cores(self, capture: str) -> Volume:
        """Where the multilabel network sees cores of objects: the ids of their classes."""
        return open_image(self.separation_store(capture).child(CORES))

    def separation_store(self, capture: str) -> Store:
        """What lies between the network's answer and the objects of a capture."""
        return self.store.child("separation", capture)

    def predicted_volumes(self, target: str, capture: str) -> list[Volume]:
        """All that is made of a target's answer for a capture: class ids, objects, and what is asked for beside."""
        beside = {MERGED: self.config.inference.doubt}.get(target, self.config.inference.stores_probabilities)
        certainty = [open_image(self.certainty_store(target, capture))] if beside else []
        return [self.segmentation(target, capture), *certainty, *self.found_objects(target, capture).values()]

    def found_objects(self, target: str, capture: str) -> dict[str, Volume]:
        """The ids of the objects of each class that a target's network tells them apart of."""
        names = self.instances.values() if target == MULTILABEL else ()
        return {name: self.objects(name, capture) for name in names}

    def probabilities(self, target: str, capture: str) -> Volume:
        """The predicted class probabilities (class, z, y, x), 255 = certain; only where they were asked for."""
        return open_image(self.probabilities_store(target, capture))

    def doubt(self, capture: str) -> Volume:
        """How likely the merged segmentation is wrong (z, y, x), 255 = surely; only where it was asked for."""
        return open_image(self.certainty_store(MERGED, capture))

    def certainty_store(self, target: str, capture: str) -> Store:
        """Where it lies how certain a prediction is: the probabilities of a network, the doubt in what is merged."""
        return (
            self.store.child(f"{DOUBT}.zarr", capture)
            if target == MERGED
            else self.probabilities_store(target, capture)
        )

    def refuse_other_targets(self, target: str) -> None:
        """Raise ConfigError for a target that the run does not have."""
        if target not in self.plan.targets:
            known = ", ".join(self.plan.targets)
            raise ConfigError(f"there is no target {target!r} in this run; its targets are {known}")

    @property
    def pool_store(self) -> Store:
        """The pool of augmented samples."""
        return self.store.child("augmented.zarr")

    @property
    def evaluation_store(self) -> Store:
        """Tables, confusion volumes and figures."""
        return self.store.child("evaluation")

    def confusion(self, view: str, capture: str) -> Volume:
        """Truth and prediction of what was scored, voxel by voxel."""
        return open_labels(self.evaluation_store.child(CONFUSION, view, capture), CONFUSION)

    def reporter(self, step: str, *, target: str = "", worker: int | None = None) -> Reporter:
        """What a step reports through."""
        return Reporter(self.store, step, target=target, worker=worker)

    def _planned(self, key: str) -> bytes:
        try:
            return self.store.read(key)
        except FileNotFoundError as error:
            raise RunConflictError(
                f"{self.store.url} holds no {key}: it is not a run yet; start with `vemseg plan --run ... --config ...`"
            ) from error


def predicted_name(target: str, variant: str) -> str:
    """What a target's predictions of a variant are called in the run."""
    return target if variant == NATIVE else f"{target}-{variant}"


def segmentation_name(target: str) -> str:
    """What a target's predictions are called among the labels of an image."""
    return SEGMENTATION if target == MULTILABEL else f"{SEGMENTATION}-{target}"


def objects_name(class_name: str, of: str = "") -> str:
    """What the objects of a class are called among the labels of an image: those that were found, or of the truth."""
    return "-".join(filter(None, (of, OBJECTS, class_name)))


def objects_dtype(volume: Block) -> type[np.unsignedinteger[Any]]:
    """In which the ids of objects always have room: of two voxels that share a face, at most one begins an object."""
    return np.uint32 if volume.voxels < 2**33 else np.uint64


def class_map(config: Config, capture: Capture | None = None) -> ClassMap:
    """The classes of a configuration as the volume layer takes them, and as a capture's labels name them."""
    members = config.classes.members
    return ClassMap(
        names=config.classes.names,
        colors=tuple(member.color for member in members),
        ids=tuple(member.ids for member in members),
        ignore_ids=config.classes.ignore_ids,
        exclusive=config.classes.exclusive,
        unlabelled=config.classes.unlabelled(capture) if capture else (),
    )


def target_classes(config: Config, target: str) -> list[tuple[int, str, str]]:
    """Values, names and colours in the segmentation of a target."""
    return classes_of_target(config.classes, target)


def classes_of_target(classes: Classes, target: str) -> list[tuple[int, str, str]]:
    """The same, where only the classes are known: of a trained model."""
    members = classes.members
    if target in (MULTILABEL, MERGED):
        values = range(1, len(members) + 1) if classes.exclusive else (1 << k | 1 for k in range(1, 32))
        return [(value, member.name, member.color) for value, member in zip(values, members, strict=False)]
    member = members[classes.names.index(target)]
    return [(1, member.name, member.color), (2, rest_of(member.name), REST_COLOR)]


def rest_of(name: str) -> str:
    """What everything else is called, beside one class: another name than the class's own."""
    return "others" if name == "rest" else "rest"
