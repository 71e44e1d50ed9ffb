"""Finish a segmentation: coarser levels for viewers, the share of each class, a preview."""

from __future__ import annotations

import csv
import io

import numpy as np

from pipeline.errors import RunConflictError
from pipeline.steps.digest import digest
from pipeline.steps.infer import shard_works
from pipeline.steps.run import Run, target_classes
from pipeline.volume.geometry import Block, tile
from pipeline.volume.omezarr import Volume, build_pyramid


def finish(run_url: str) -> None:
    """Write pyramids, ``evaluation/shares.csv`` and a preview of each predicted volume."""
    run = Run.open(run_url)
    with run.reporter("finish") as report:
        for target in run.plan.targets:
            works = shard_works(run, target)
            missing = [work for work in works if not work.marker.done]
            if missing:
                raise RunConflictError(f"{len(missing)} of {len(works)} shards are not predicted yet; run infer first")
            marker = run.marker("finish", target, digest([work.marker.digest for work in works]))
            if marker.done:
                report.say(f"{target} is done")
                continue
            for capture in run.plan.captures:
                volume = build_pyramid(run.segmentation(target, capture.name))
                shares = _shares(volume)
                run.evaluation_store.write("shares.csv", _table(run, target, shares, capture.volume.voxels).encode())
                _write_preview(run, target, capture.name, volume)
            marker.write()
            report.say(f"{target}: labels, shares and preview are in {run.store.url}")


def _shares(volume: Volume) -> dict[int, int]:
    """Voxels of each id."""
    counts: dict[int, int] = {}
    for shard in tile(volume.geometry.block, volume.shard_zyx):
        ids, voxels = np.unique(volume.read(shard), return_counts=True)
        for class_id, count in zip(ids.tolist(), voxels.tolist(), strict=True):
            counts[class_id] = counts.get(class_id, 0) + count
    return counts


def _table(run: Run, target: str, voxels: dict[int, int], total: int) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["class", "id", "voxels", "share"])
    for class_id, name, _ in target_classes(run.config, target):
        count = sum(n for value, n in voxels.items() if value == class_id)
        writer.writerow([name, class_id, count, count / total])
    return text.getvalue()


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
        title=f"slice {middle}: {target} network",
    )
    run.evaluation_store.write(f"figures/preview_{target}.png", figure_png(figure))
