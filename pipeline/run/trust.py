"""How far what a run says can be believed: by what was counted when its test part was predicted, and by its errors."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from pipeline.config.model import MERGED, MULTILABEL
from pipeline.run.layout import Run
from pipeline.run.provenance import predicted
from pipeline.run.works import ShardWork
from pipeline.scoring.reliability import LEVELS, Calibration, Ranking, Trust
from pipeline.volume.geometry import tile

CALIBRATION = "calibration"
"""Where the marker of a predicted shard says what was counted in it."""
ENTROPY = "entropy of the multilabel network"


def measured_trust(run: Run) -> Trust:
    """How far probabilities and doubt can be believed on the test part, of a run that is predicted and merged."""
    found = {target: _calibration(predicted(run, target)) for target in run.plan.targets}
    calibrations = {target: one for target, one in found.items() if one is not None}
    return Trust(calibrations, _rankings(run) if run.config.inference.doubt else {})


def _rankings(run: Run) -> dict[str, Ranking]:
    """Of the doubt in the merged segmentation and, to compare, of the entropy of the multilabel network alone."""
    doubt, entropy, exclusive = Ranking(), Ranking(), run.config.classes.exclusive
    for capture in run.plan.captures:
        truth, said = run.truth(capture.name), run.segmentation(MERGED, capture.name)
        for block in capture.split().test:
            for piece in tile(block, said.shard_zyx, block.start_zyx):
                labels, merged = truth.read(piece), said.read(piece)
                labelled = labels > 0 if exclusive else (labels & 1).astype(bool)
                unlike = labels != merged
                if capture.untold and exclusive:
                    labelled &= (labels <= len(run.config.classes.members)) | ~np.isin(merged, capture.untold)
                elif capture.untold:
                    named = ~np.uint32(sum(1 << class_id for class_id in capture.untold))
                    unlike = (labels & named) != (merged & named)
                wrong = unlike[labelled]
                doubt += Ranking.counted(run.doubt(capture.name).read(piece)[labelled], wrong)
                probabilities = run.probabilities(MULTILABEL, capture.name).read(piece)[:, labelled]
                entropy += Ranking.counted(_entropy(probabilities, exclusive=exclusive), wrong)
    return {"doubt": doubt, ENTROPY: entropy}


def _entropy(said_CN: NDArray[np.uint8], *, exclusive: bool) -> NDArray[np.uint8]:
    """In 255ths of the largest there is: of the class or, where classes overlap, the mean over them."""
    table = np.maximum(np.arange(LEVELS), 0.5) / (LEVELS - 1)
    part = -table * np.log(table)
    if exclusive:
        share = part[said_CN].sum(axis=0) / np.log(len(said_CN))
    else:
        share = (part[said_CN] + part[(LEVELS - 1) - said_CN]).mean(axis=0) / np.log(2)
    levels: NDArray[np.uint8] = np.minimum(np.rint(share * (LEVELS - 1)), LEVELS - 1).astype(np.uint8)
    return levels


def _calibration(works: Iterable[ShardWork]) -> Calibration | None:
    """The counts of predicted shards together; None where nothing was counted."""
    told = [facts[CALIBRATION] for work in works if CALIBRATION in (facts := work.marker.facts or {})]
    return reduce(Calibration.__add__, map(Calibration.from_json, told)) if told else None
