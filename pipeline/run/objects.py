"""What is known of the objects of a run: measured shard by shard, and compared with those of the truth."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipeline.config.model import MULTILABEL
from pipeline.objects.grouping import total
from pipeline.objects.measure import Measuring, Read
from pipeline.objects.pieces import Ids
from pipeline.objects.sums import Measured, unpacked
from pipeline.run.layout import Run
from pipeline.run.plan import CapturePlan
from pipeline.run.provenance import separation
from pipeline.run.shardtables import load_table
from pipeline.run.works import predicted_regions
from pipeline.scoring.overlaps import Overlaps, overlaps
from pipeline.volume.geometry import Block, tile

MEASURED = "measured"
"""The tables of sums, one a shard."""


def measuring(run: Run, capture: CapturePlan) -> Measuring:
    """How the objects of a capture are measured, on the grid that the network has seen."""
    reads: dict[str, Read] = {name: run.objects(name, capture.name).read for name in run.instances.values()}
    membrane = None if run.membrane is None else partial(_membrane, run, capture.name, run.membrane)
    return Measuring(
        run.segmentation(MULTILABEL, capture.name).geometry, reads, membrane, predicted_regions(run, capture)
    )


def measured(run: Run, capture: CapturePlan) -> Measured:
    """What was counted in all shards of a capture."""
    nothing = measuring(run, capture).nothing
    shards = (work.shard for work in separation(run, "measure") if work.capture.name == capture.name)
    tables = (load_table(run, capture.name, MEASURED, shard.start_zyx) for shard in shards)
    return total(nothing, (unpacked(table, nothing) for table in tables))


def object_overlaps(run: Run, class_name: str, capture: CapturePlan) -> Overlaps:
    """The overlaps of the true and the predicted objects of a class in the test part of a capture.

    None where the capture's labels do not name the class.
    """
    if run.config.classes.names.index(class_name) + 1 in capture.untold:
        return Overlaps.none()
    truth, predicted = run.true_objects(class_name, capture.name), run.objects(class_name, capture.name)
    parts = (
        overlaps(truth.read(block), predicted.read(block), _scored(run, capture, block.grow((1, 1, 1))))
        for block in _blocks(capture, predicted.shard_zyx)
    )
    return total(Overlaps.none(), parts)


def _blocks(capture: CapturePlan, size_zyx: tuple[int, int, int]) -> Iterator[Block]:
    for region in capture.split().test:
        yield from tile(region, size_zyx)


def _scored(run: Run, capture: CapturePlan, block: Block) -> NDArray[np.bool_]:
    """Which voxels of a block, which may reach beyond the volume, are labelled and in the test part."""
    scored, truth = np.zeros(block.shape_zyx, bool), run.truth(capture.name)
    for region in capture.split().test:
        inside = region.intersect(block)
        if inside:
            scored[inside.relative_to(block).slices] = truth.read(inside) > 0
    return scored


def _membrane(run: Run, capture: str, class_id: int, block: Block) -> Ids:
    """Where the multilabel network sees the class."""
    found: Ids = (run.segmentation(MULTILABEL, capture).read(block) == class_id).astype(np.uint8)
    return found
