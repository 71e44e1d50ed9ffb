"""Finish a segmentation: coarser levels for viewers, the share of each class, a preview."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.config.model import MULTILABEL
from pipeline.run.layout import OWN_GRID, VOLUME, Run, objects_name, segmentation_name, target_classes
from pipeline.run.provenance import finished_segmentation, refuse_damaged
from pipeline.run.shares import ClassShare, write_shares
from pipeline.volume.geometry import Block, tile
from pipeline.volume.omezarr import Volume, create_image, create_labels, list_labels
from pipeline.volume.pyramid import build_pyramid
from pipeline.volume.resampling import bring_back


def finish(run_url: str) -> None:
    """Write pyramids, ``evaluation/shares.csv`` and a preview of each predicted volume."""
    run = Run.open(run_url)
    with run.reporter("finish") as report:
        marker = finished_segmentation(run)
        if marker.intact:
            report.say("is done")
            return
        refuse_damaged(run)
        with marker.making():
            _write(run)
        report.say(f"labels, shares and previews are in {run.store.url}")


def _write(run: Run) -> None:
    shares: list[ClassShare] = []
    for target in run.plan.targets:
        for capture in run.plan.captures:
            coarsest = run.image(capture.name).chunk_zyx
            segmentation, *_ = (build_pyramid(each, coarsest) for each in run.predicted_volumes(target, capture.name))
            if run.plan.own_grid:
                segmentation = _brought_back(run, target)
            shares += _shares(run, target, capture.name, segmentation)
            _write_preview(run, target, capture.name, segmentation)
    write_shares(run.evaluation_store, shares)
    if run.instances:
        from pipeline.run.objecttables import write_measured  # Arrow is slow to import

        write_measured(run)


def _brought_back(run: Run, target: str) -> Volume:
    """Ids, and what else there is, on the grid of the volume as it came; returns the ids of classes."""
    image, name = run.image(OWN_GRID), segmentation_name(target)
    if run.config.inference.stores_probabilities:
        found = run.probabilities(target, VOLUME)
        probabilities = create_image(
            run.probabilities_store(target, OWN_GRID),
            geometry=image.geometry,
            dtype=found.dtype,
            name=target,
            channels=found.channels,
            chunk_zyx=image.chunk_zyx,
            shard_zyx=image.shard_zyx,
        )
        bring_back(found, probabilities)
    objects = {objects_name(one): ids for one, ids in run.found_objects(target, VOLUME).items()}
    list_labels(image.store, [name, *objects])
    for label, ids in objects.items():
        bring_back(ids, _labels_on(image, label, ids))
    classes = run.segmentation(target, VOLUME)
    return bring_back(classes, _labels_on(image, name, classes))


def _labels_on(image: Volume, name: str, like: Volume) -> Volume:
    """An empty label volume of an image."""
    return create_labels(
        image.store,
        name,
        geometry=image.geometry,
        dtype=like.dtype,
        classes=like.classes,
        chunk_zyx=image.chunk_zyx,
        shard_zyx=image.shard_zyx,
        listed=False,
    )


def _shares(run: Run, target: str, capture: str, volume: Volume) -> Iterator[ClassShare]:
    """Of each class; overlapping ones each count a voxel that they have in common."""
    overlapping = _overlapping(run, target)
    voxels = _voxels_of_ids(volume)
    predicted = sum(count for value, count in voxels.items() if value)
    for class_id, name, _ in target_classes(run.config, target):
        count = sum(n for value, n in voxels.items() if value == class_id or (overlapping and value & class_id > 1))
        yield ClassShare(capture, target, name, class_id, count, count / max(1, predicted))


def _overlapping(run: Run, target: str) -> bool:
    """Whether its volumes hold bit masks."""
    return target == MULTILABEL and not run.config.classes.exclusive


def _voxels_of_ids(volume: Volume) -> dict[int, int]:
    counts: dict[int, int] = {}
    for shard in tile(volume.geometry.block, volume.shard_zyx):
        ids, voxels = np.unique(volume.read(shard), return_counts=True)
        for class_id, count in zip(ids.tolist(), voxels.tolist(), strict=True):
            counts[class_id] = counts.get(class_id, 0) + count
    return counts


def _write_preview(run: Run, target: str, capture: str, volume: Volume) -> None:
    from pipeline.figures.canvas import figure_png
    from pipeline.figures.panels import preview_figure

    image = run.image(OWN_GRID if run.plan.own_grid else capture)
    middle = volume.shape_zyx[0] // 2
    plane = Block((middle, 0, 0), (middle + 1, *volume.shape_zyx[1:]))
    classes = target_classes(run.config, target)
    figure = preview_figure(
        image.read(plane)[0],
        volume.read(plane)[0],
        class_names=[name for _, name, _ in classes],
        colors=[color for _, _, color in classes],
        voxel_size_nm=volume.geometry.voxel_size_nm,
        title=f"{capture}, slice {middle}: {target} network",
        overlapping=_overlapping(run, target),
    )
    run.evaluation_store.write(f"figures/preview_{target}_{capture}.png", figure_png(figure))
