"""A run: one directory or bucket prefix, and where in it each thing lies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from pipeline.config import MULTILABEL, Classes, Config, parse_config
from pipeline.errors import ConfigError, RunConflictError
from pipeline.steps.digest import Marker
from pipeline.steps.runplan import RunPlan
from pipeline.telemetry import Reporter
from pipeline.volume.labels import ClassMap
from pipeline.volume.omezarr import Volume, open_image, open_labels
from pipeline.volume.stores import Store

if TYPE_CHECKING:
    from pipeline.scoring.tables import ScoreTable

TRUTH, SPLIT, SEGMENTATION = "truth", "split", "segmentation"
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
                "in the run of a study (vemseg run workflows/study.yaml)"
            )

    @property
    def class_map(self) -> ClassMap:
        """How label files name the classes, and how they are stored."""
        return class_map(self.config)

    @property
    def scores(self) -> ScoreTable | None:
        """The table of scores; None before the predictions are scored."""
        from pipeline.scoring.tables import from_json

        try:
            return from_json(self.evaluation_store.read("scores.json").decode())
        except FileNotFoundError:
            return None

    def _repr_html_(self) -> str:
        from pipeline.display.runs import run_html

        return run_html(self)

    def capture_store(self, capture: str) -> Store:
        """Where the image of a capture lies."""
        return self.store.child("volume.zarr", capture)

    def image(self, capture: str) -> Volume:
        """The grey values of a capture."""
        return open_image(self.capture_store(capture))

    def truth(self, capture: str) -> Volume:
        """What was labelled."""
        return open_labels(self.capture_store(capture), TRUTH)

    def model_store(self, target: str) -> Store:
        """Where the model of a target lies."""
        return self.store.child("models", target)

    def boosted_store(self, variant: str, capture: str) -> Store:
        """Where a capture lies in another variant: downsampled, or boosted by a method."""
        return self.store.child("boosted.zarr", variant, capture)

    def variant(self, variant: str, capture: str) -> Volume:
        """The grey values of a capture in a variant: as it was taken in, downsampled, or boosted by a method."""
        return self.image(capture) if variant == NATIVE else open_image(self.boosted_store(variant, capture))

    def prediction_store(self, target: str, capture: str, variant: str = NATIVE) -> Store:
        """The image group that holds a target's predictions of a capture, as it is or in another variant."""
        return self.store.child("predictions", predicted_name(target, variant), capture)

    def segmentation(self, target: str, capture: str, variant: str = NATIVE) -> Volume:
        """The predicted class ids."""
        return open_labels(self.prediction_store(target, capture, variant), SEGMENTATION)

    def predicted_volumes(self, target: str, capture: str) -> list[Volume]:
        """All that a target's inference writes for a capture: class ids and, where asked for, probabilities."""
        segmentation = self.segmentation(target, capture)
        if not self.config.inference.probabilities:
            return [segmentation]
        return [segmentation, self.probabilities(target, capture)]

    def probabilities(self, target: str, capture: str) -> Volume:
        """The predicted class probabilities (class, z, y, x), 255 = certain; only where they were asked for."""
        return open_image(self.prediction_store(target, capture))

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

    def marker(self, step: str, item: str, digest: str) -> Marker:
        """The done-marker of a piece of work."""
        return Marker(self.store, f"done/{step}/{item}.json", digest)

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


def class_map(config: Config) -> ClassMap:
    """The classes of a configuration as the volume layer takes them."""
    members = config.classes.members
    return ClassMap(
        names=config.classes.names,
        colors=tuple(member.color for member in members),
        ids=tuple(member.ids for member in members),
        ignore_ids=config.classes.ignore_ids,
        exclusive=config.classes.exclusive,
    )


def target_classes(config: Config, target: str) -> list[tuple[int, str, str]]:
    """Values, names and colours in the segmentation of a target."""
    return classes_of_target(config.classes, target)


def classes_of_target(classes: Classes, target: str) -> list[tuple[int, str, str]]:
    """The same, where only the classes are known: of a trained model."""
    members = classes.members
    if target == MULTILABEL:
        values = range(1, len(members) + 1) if classes.exclusive else (1 << k | 1 for k in range(1, 32))
        return [(value, member.name, member.color) for value, member in zip(values, members, strict=False)]
    member = members[classes.names.index(target)]
    return [(1, member.name, member.color), (2, "rest", REST_COLOR)]
