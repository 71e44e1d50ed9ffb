"""How a network's answer is best told apart into objects: found on the validation part, class by class.

A voxel of a class is of a core where the logit of the core exceeds that of the rim by a number, and what is smaller
than a share of a usual object is no object. Both are those of the highest panoptic quality (Kirillov et al., CVPR
2019).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.nn.blockwise import read_blocks
from pipeline.objects.growing import Reach
from pipeline.objects.partition import separate
from pipeline.run.layout import Run
from pipeline.run.validation import by_capture, predictor, validation_blocks
from pipeline.scoring.object_scores import object_counts
from pipeline.scoring.overlaps import Overlaps, disjoint, overlaps

if TYPE_CHECKING:
    from pipeline.nn.targets import Target
    from pipeline.nn.unet import UNet

# Of what serves equally well, the first. The second is sought with the best of the first.
CORE_LOGITS = (0.0, -1.0, 1.0, -2.0, 2.0, 3.0)
SMALLEST_SHARES = (0.05, 0.02, 0.1, 0.2)
"""Of the median of true objects."""


@dataclass(frozen=True)
class Separation:
    """How objects are told apart."""

    core_logits: tuple[float, ...]
    """See `Target`."""
    smallest_nm3: Mapping[str, float]
    """By class, what an object must have to count as one."""
    quality: Mapping[str, float]
    """Panoptic quality on the validation part, by class; of those that have objects there."""


@dataclass(frozen=True)
class _Seen:
    """A class in a block."""

    inside: NDArray[np.bool_]
    """Where the network says the class."""
    core_logit: NDArray[np.float32]
    """Of the core less that of the rim."""
    truth: NDArray[Any]
    """Ids of true objects."""
    scored: NDArray[np.bool_]
    """What is labelled, with one voxel around the block."""


def best_separation(run: Run, target: Target, network: UNet) -> Separation:
    """How the objects of each class are told apart best.

    Args:
        run: whose validation part judges.
        target: all classes at once, with cores.
        network: calibrated; it is not trainable afterwards.
    """
    seen: dict[int, list[_Seen]] = {class_id: [] for class_id in run.instances}
    for class_id, one in _seen(run, target, network):
        seen[class_id].append(one)
    voxel_size_nm = run.plan.captures[0].voxel_size_nm
    reach, voxel_nm3 = Reach.of(run.reach_nm, voxel_size_nm), float(np.prod(voxel_size_nm))
    logits, smallest, quality = [], {}, {}
    for class_id, name in run.instances.items():
        core_logit, voxels, reached = _best(seen[class_id], reach)
        logits.append(core_logit)
        smallest[name] = voxels * voxel_nm3
        if reached is not None:
            quality[name] = reached
    return Separation(tuple(logits), smallest, quality)


def _seen(run: Run, target: Target, network: UNet) -> Iterator[tuple[int, _Seen]]:
    sees = predictor(run, network)
    for capture, blocks in by_capture(validation_blocks(run)):
        for block in read_blocks(sees, run.read_seen(capture), blocks, capture.shape_zyx):
            logits_CZYX = sees.logits(block).cpu()
            decided = target.decide(logits_CZYX).numpy()
            scored = np.pad(run.truth(capture.name).read(block.core) > 0, 1)
            for (class_id, _), core_ZYX in zip(target.cores, logits_CZYX[len(target.class_ids) :], strict=True):
                if class_id in capture.untold:
                    continue
                core_logit = (core_ZYX - logits_CZYX[target.class_ids.index(class_id)]).numpy()
                truth = run.true_objects(run.instances[class_id], capture.name).read(block.core)
                yield class_id, _Seen(decided == class_id, core_logit, truth, scored)


def _best(seen: list[_Seen], reach: Reach) -> tuple[float, int, float | None]:
    """The logit from which on a voxel is core, the fewest voxels of an object, and the quality reached with them."""
    sizes = [np.unique(one.truth[one.truth > 0], return_counts=True)[1] for one in seen]
    usual = np.concatenate([*sizes, np.zeros(0, np.int64)])
    if not len(usual):
        return CORE_LOGITS[0], 0, None
    smallest = [round(share * float(np.median(usual))) for share in SMALLEST_SHARES]
    reached = {logit: _quality(seen, logit, smallest[0], reach) for logit in CORE_LOGITS}
    core_logit = max(reached, key=lambda logit: reached[logit])
    others = {least: _quality(seen, core_logit, least, reach) for least in smallest[1:]}
    reached_with = {smallest[0]: reached[core_logit]} | others
    least = max(reached_with, key=lambda voxels: reached_with[voxels])
    return core_logit, least, reached_with[least]


def _quality(seen: list[_Seen], core_logit: float, least: int, reach: Reach) -> float:
    """Panoptic quality of the objects of all blocks."""
    counts = object_counts(disjoint(_overlaps(one, core_logit, least, reach) for one in seen))
    return 2 * sum(counts.iou_sum) / max(1, counts.true + counts.predicted)


def _overlaps(one: _Seen, core_logit: float, least: int, reach: Reach) -> Overlaps:
    inside = one.inside.astype(np.uint8)
    cores = (one.inside & (one.core_logit > core_logit)).astype(np.uint8)
    return overlaps(one.truth, separate(inside, cores, reach, {1: least}), one.scored)
