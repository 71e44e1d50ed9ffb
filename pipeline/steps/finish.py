"""Finish a segmentation: coarser levels for viewers, the share of each class, a preview."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import numpy as np

from pipeline.config import MULTILABEL
from pipeline.steps.digest import Marker, digest
from pipeline.steps.infer import predicted_works
from pipeline.steps.run import Run, target_classes
from pipeline.volume.geometry import Block, tile
from pipeline.volume.omezarr import Volume, build_pyramid

SHARES = ("capture", "target", "class", "id", "voxels", "share")
"""Columns of ``shares.csv``; ``share`` is that of the predicted voxels."""


def finish(run_url: str) -> None:
    """Write pyramids, ``evaluation/shares.csv`` and a preview of each predicted volume."""
    run = Run.open(run_url)
    with run.reporter("finish") as report:
        marker = _marker(run)
        if marker.done:
            report.say("is done")
            return
        marker.clear()
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(SHARES)
        for target in run.plan.targets:
            for capture in run.plan.captures:
                segmentation, *_ = map(build_pyramid, run.predicted_volumes(target, capture.name))
                table.writerows((capture.name, target, *row) for row in _shares(run, target, segmentation))
                _write_preview(run, target, capture.name, segmentation)
        run.evaluation_store.write("shares.csv", text.getvalue().encode())
        marker.write()
        report.say(f"labels, shares and previews are in {run.store.url}")


def _marker(run: Run) -> Marker:
    return run.marker(
        "finish", "segmentation", digest([work.marker.digest for work in predicted_works(run)], run.config.classes)
    )


def _shares(run: Run, target: str, volume: Volume) -> Iterator[tuple[str, int, int, float]]:
    """Name, id, voxels and share of each class; overlapping classes each count a voxel that they have in common."""
    overlapping = _overlapping(run, target)
    voxels = _voxels_of_ids(volume)
    predicted = sum(count for value, count in voxels.items() if value)
    for class_id, name, _ in target_classes(run.config, target):
        count = sum(n for value, n in voxels.items() if value == class_id or (overlapping and value & class_id > 1))
        yield name, class_id, count, count / max(1, predicted)


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
    from pipeline.scoring.figures import figure_png
    from pipeline.scoring.slice_figure import preview_figure

    middle = volume.shape_zyx[0] // 2
    plane = Block((middle, 0, 0), (middle + 1, *volume.shape_zyx[1:]))
    classes = target_classes(run.config, target)
    figure = preview_figure(
        run.image(capture).read(plane)[0],
        volume.read(plane)[0],
        class_names=[name for _, name, _ in classes],
        colors=[color for _, _, color in classes],
        voxel_size_nm=volume.geometry.voxel_size_nm,
        title=f"{capture}, slice {middle}: {target} network",
        overlapping=_overlapping(run, target),
    )
    run.evaluation_store.write(f"figures/preview_{target}_{capture}.png", figure_png(figure))
