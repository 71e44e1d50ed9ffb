"""The questions that predictions are scored by: all classes at once, or one against the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.model import MERGED, MULTILABEL
from pipeline.errors import DataError
from pipeline.run.layout import REST_COLOR, Run, class_map, rest_of
from pipeline.run.plan import CapturePlan
from pipeline.scoring.confusion import BinaryConfusion, ClasswiseConfusion, one_vs_rest_ids
from pipeline.volume.labels import OTHER_COLOR, ClassMap

Ids = NDArray[Any]
OTHER_CLASS = "other class"
"""What may be any of the classes that a capture's labels do not name; no class is called so."""
REMEDY = "`vemseg verify RUN` names the file, and `vemseg evaluate --run RUN` makes it anew"


@dataclass(frozen=True)
class View:
    """A question that a prediction answers voxel by voxel with exclusive ids: all classes, or one against the rest."""

    name: str
    target: str
    classes: tuple[str, ...]
    colors: tuple[str, ...]
    sought: tuple[str, ...]
    """The classes that it asks for: of one against the rest, the one."""
    truth_ids: Callable[[CapturePlan, Ids], Ids]
    """Of a capture's labels; 0 where they do not say."""
    predicted_ids: Callable[[CapturePlan, Ids], Ids]


def views(run: Run) -> list[View]:
    """All questions, target by target."""
    return [view for target in run.segmentations for view in _views(run, target)]


def views_to_draw(run: Run) -> list[View]:
    """The questions whose answers are worth pictures: those of the multilabel network, where there is one."""
    every = views(run)
    return [view for view in every if view.target == MULTILABEL] or every


def refuse_incomplete(run: Run, view: View, capture: CapturePlan, voxels: Mapping[str, int]) -> None:
    """Raise DataError where a confusion volume does not hold what was labelled, as where a shard of it is missing.

    Args:
        run: that it is of.
        view: that it answers.
        capture: that it is of.
        voxels: by class, how many of its voxels in the test part of the capture the volume says are of it.
    """
    labelled = dict(zip(run.config.classes.names, capture.class_voxels["test"], strict=True))
    for name in view.sought:
        if voxels.get(name, 0) != labelled[name]:
            raise DataError(
                f"{run.confusion(view.name, capture.name).store.url}: holds {voxels.get(name, 0):,} voxels of {name}, "
                f"but {labelled[name]:,} were scored: a part of it is missing or damaged. {REMEDY}"
            )


def _views(run: Run, target: str) -> list[View]:
    classes = class_map(run.config)
    exclusive = classes.exclusive
    together = target in (MULTILABEL, MERGED)
    if together and exclusive:
        return [_joint(target, classes, has_untold=bool(run.config.untold))]
    if not together:
        return [_one_vs_rest(target, target, classes.names.index(target) + 1, classes.colors, exclusive, bits=False)]
    return [
        _one_vs_rest(f"{target}_{name}", target, index + 1, classes.colors, exclusive, bits=True)
        for index, name in enumerate(classes.names)
    ]


def _joint(target: str, classes: ClassMap, *, has_untold: bool) -> View:
    """Where captures do not name all classes, what may be any of the others is one more."""

    def predicted(capture: CapturePlan, ids: Ids) -> Ids:
        return others_as_one(ids, capture.untold, len(classes.names))

    beside, colors_beside = ((OTHER_CLASS,), (OTHER_COLOR,)) if has_untold else ((), ())
    return View(
        name=target,
        target=target,
        classes=(*classes.names, *beside),
        colors=(*classes.colors, *colors_beside),
        sought=classes.names,
        truth_ids=_same,
        predicted_ids=predicted,
    )


def others_as_one(ids: Ids, untold: Sequence[int], classes: int) -> Ids:
    """Predicted ids, with that of `OTHER_CLASS` for the classes that labels leave untold."""
    return np.where(np.isin(ids, untold), classes + 1, ids).astype(ids.dtype) if untold else ids


def named_only(found: ClasswiseConfusion, names: Sequence[str], untold: Sequence[int]) -> ClasswiseConfusion:
    """The counts of classes; nothing of those that labels leave untold, or that are none."""
    return ClasswiseConfusion(
        {
            name: BinaryConfusion() if class_id in untold else found.by_class[name]
            for class_id, name in enumerate(names, 1)
        }
    )


def _one_vs_rest(name: str, target: str, class_id: int, colors: Sequence[str], exclusive: bool, *, bits: bool) -> View:
    def of_ids(ids: Ids) -> Ids:
        return np.where(ids == class_id, 1, np.where(ids > 0, 2, 0)).astype(np.uint8)

    def of_bits(ids: Ids) -> Ids:
        return one_vs_rest_ids(ids, class_id)

    def truth(capture: CapturePlan, ids: Ids) -> Ids:
        if class_id in capture.untold:
            return np.zeros(ids.shape, np.uint8)
        return of_ids(ids) if exclusive else of_bits(ids)

    def predicted(_: CapturePlan, ids: Ids) -> Ids:
        return of_bits(ids) if bits else ids

    label = name.removeprefix(f"{target}_") if bits else name
    colors_of_two = (colors[class_id - 1], REST_COLOR)
    return View(
        name=name,
        target=target,
        classes=(label, rest_of(label)),
        colors=colors_of_two,
        sought=(label,),
        truth_ids=truth,
        predicted_ids=predicted,
    )


def _same(_: CapturePlan, ids: Ids) -> Ids:
    return ids
