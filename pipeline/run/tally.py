"""How reliable a network's probabilities are, counted while the test part is predicted: logits are kept nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pipeline.run.layout import NATIVE, Run
from pipeline.run.samples import read_labels
from pipeline.run.trust import CALIBRATION
from pipeline.run.works import ShardWork, wanted_within
from pipeline.scoring.reliability import LIKELIEST, Calibration, Reliability

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from pipeline.nn.model import Model

# Of the labelled voxels, that many tell as much and take no time.
_EVERY = 4


class Tally:
    """The counts of one shard; nothing is counted where there are no labels.

    Args:
        run: that is predicted.
        model: that predicts.
        work: the shard.
        classes: names of the outputs' classes.
    """

    def __init__(self, run: Run, model: Model, work: ShardWork, classes: tuple[str, ...]) -> None:
        self._model, self._work, self._classes = model, work, classes
        self._found: Calibration | None = None
        has_labels = bool(run.plan.networks) and work.variant == NATIVE
        tested = wanted_within(work.capture.split().test)(work.shard) if has_labels else ()
        self._labels: NDArray[Any] | None = None
        if tested:
            self._labels = np.zeros(work.shard.shape_zyx, run.truth(work.capture.name).dtype)
            for block in tested:
                self._labels[work.inside(block)] = read_labels(run, work.capture, block)

    def add(self, inside: tuple[slice, slice, slice], logits_CZYX: Tensor) -> None:
        """Count a part of the shard, from the logits of its classes."""
        if self._labels is None or not self._labels[inside].any():
            return
        target, sure = self._model.target, self._model.confidence
        labels_BZYX = torch.from_numpy(self._labels[inside].astype(np.int64))[None]
        truth_BCZYX, _ = target.truth(labels_BZYX)
        place = target.is_labelled(labels_BZYX)[0].flatten().nonzero()[::_EVERY, 0]
        logits_CN = logits_CZYX.flatten(1)[:, place.to(logits_CZYX.device)]
        truth_CN = truth_BCZYX[0].flatten(1)[:, place].numpy()
        now = Calibration(
            self._counted(target.probabilities(logits_CN), truth_CN),
            self._counted(target.probabilities(sure(logits_CN)), truth_CN),
        )
        self._found = now if self._found is None else self._found + now

    @property
    def facts(self) -> dict[str, Any]:
        """What a marker is to say; nothing where nothing was counted."""
        return {} if self._found is None else {CALIBRATION: self._found.to_json()}

    def _counted(self, probabilities_CN: Tensor, truth_CN: NDArray[np.bool_]) -> dict[str, Reliability]:
        said, untold = probabilities_CN.cpu().numpy(), self._work.capture.untold
        # What labels do not name tells nothing; of what is likeliest, such a capture would tell a part.
        found = {
            name: Reliability.counted(*(of[:0] if class_id in untold else of for of in both))
            for class_id, name, *both in zip(self._model.target.class_ids, self._classes, said, truth_CN, strict=True)
        }
        if self._model.target.head == "softmax":
            said, truth_CN = (of[:, :0] if untold else of for of in (said, truth_CN))
            best = said.argmax(axis=0)[None]
            likeliest = (np.take_along_axis(each, best, axis=0)[0] for each in (said, truth_CN))
            found = {LIKELIEST: Reliability.counted(*likeliest), **found}
        return found
