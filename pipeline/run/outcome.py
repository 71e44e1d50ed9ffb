"""What is to be seen of a run, or taken out of it: an image, with the labels that belong to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.errors import ConfigError, InputError
from pipeline.run.layout import (
    DOUBT,
    OWN_GRID,
    SEGMENTATION,
    SPLIT,
    TRUTH,
    VOLUME,
    Run,
    objects_name,
    segmentation_name,
)
from pipeline.run.works import predicted_regions
from pipeline.volume.omezarr import Volume, label_names, open_image, open_labels
from pipeline.volume.stores import Store

RAW = "raw"


@dataclass(frozen=True)
class Outcome:
    """An image and its labels.

    image: None where a label volume alone was named. labels: by name, what is asked for most first. doubt: in what is
    merged, where it was asked for. run: where it is of one; with its captures and the one that this is.
    """

    name: str
    image: Volume | None
    labels: Mapping[str, Volume]
    probabilities: Volume | None = None
    run: Run | None = None
    captures: tuple[str, ...] = ()
    doubt: Volume | None = None

    @property
    def volumes(self) -> dict[str, Volume]:
        """All that there is, by name."""
        images = {RAW: self.image, DOUBT: self.doubt}
        return {**self.labels, **{name: volume for name, volume in images.items() if volume is not None}}

    def volume(self, name: str | None) -> Volume:
        """The one of this name; None: the segmentation, or what there is. Raises ConfigError for another name."""
        if name is None:
            return next(iter(self.volumes.values()))
        if name not in self.volumes:
            raise ConfigError(f"there is no {name!r} in {self.name}; there are {', '.join(self.volumes)}")
        return self.volumes[name]


def outcome(place: str, capture: str | None = None) -> Outcome:
    """What lies at a place: a run, or a volume.

    Args:
        place: URL or path of a run, of an OME-Zarr image, or of one of its labels.
        capture: of a run; None: the first of which anything is predicted.

    Raises:
        InputError: there is neither, or no such capture.
    """
    store = Store.open(place)
    if store.exists("plan.json"):
        return _of_run(Run(store), capture)
    if capture is not None:
        raise ConfigError(f"{place} is a volume; --capture is for runs")
    if not store.exists("zarr.json"):
        raise InputError(f"{place}: neither a run (no plan.json) nor an OME-Zarr volume (no zarr.json); check the path")
    volume, name = open_image(store), store.url.rstrip("/").rpartition("/")[2]
    if volume.is_labels:
        return Outcome(name, None, {name: volume})
    return Outcome(name, volume, {label: open_labels(store, label) for label in label_names(store)})


def _of_run(run: Run, capture: str | None) -> Outcome:
    captures = tuple(each.name for each in run.plan.captures)
    if capture is None and run.plan.own_grid:
        return _brought_back(run)
    predicted = (each.name for each in run.plan.captures if predicted_regions(run, each))
    name = capture or next(predicted, captures[0])
    if name not in captures:
        raise ConfigError(f"{run.store.url} has no capture {name!r}; it has {', '.join(captures)}")
    labels = {segmentation_name(target): run.segmentation(target, name) for target in run.segmentations}
    labels |= {objects_name(each): run.objects(each, name) for each in run.instances.values()}
    if run.plan.networks:
        drawn = (TRUTH, SPLIT, *(objects_name(each, TRUTH) for each in run.instances.values()))
        labels |= {each: open_labels(run.capture_store(name), each) for each in drawn}
    if SEGMENTATION not in labels and run.plan.targets:  # of one class alone
        labels = {SEGMENTATION: labels.pop(segmentation_name(run.plan.targets[0])), **labels}
    asked = run.config.inference.stores_probabilities and run.plan.targets
    probabilities = run.probabilities(run.plan.targets[0], name) if asked else None
    doubt = run.doubt(name) if run.config.inference.doubt else None
    return Outcome(name, run.image(name), labels, probabilities, run, captures, doubt)


def _brought_back(run: Run) -> Outcome:
    """The result of a run that resampled its volume for the model, on the volume's own grid."""
    (target,) = run.plan.targets
    labels = {SEGMENTATION: run.segmentation(target, OWN_GRID)}
    labels |= {objects_name(each): run.objects(each, OWN_GRID) for each in run.instances.values()}
    probabilities = run.probabilities(target, OWN_GRID) if run.config.inference.probabilities else None
    return Outcome(VOLUME, run.image(OWN_GRID), labels, probabilities, run, (VOLUME,))
