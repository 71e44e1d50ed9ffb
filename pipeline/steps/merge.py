"""Merge what all networks say into one segmentation, shard by shard: worker i of n takes every n-th.

Reads the stored probabilities of every network. How they are weighed is found on the validation part by whichever
worker comes first; any of them finds the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.model import MERGED, MULTILABEL
from pipeline.errors import CheckpointError, ConfigError
from pipeline.run import provenance
from pipeline.run.events import Reporter
from pipeline.run.layout import OPINION, Run
from pipeline.run.shards import Write, fill
from pipeline.run.works import ShardWork
from pipeline.volume.geometry import Block, tile

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.nn.merging import Merging, Opinion

WEIGHTS = "merging.json"
# Of a shard at once: a few hundred bytes a voxel are needed meanwhile.
_VOXELS = 1 << 18


def merge(run_url: str, *, worker: int = 0, workers: int = 1) -> int:
    """Merge this worker's shards of every capture; those that are done are left alone.

    Returns the number of shards that were merged. Raises ConfigError where nothing is to be merged, RunConflictError
    where a prediction is missing, and Preempted when asked to stop.
    """
    run = Run.open(run_url)
    if not run.config.inference.merged:
        raise ConfigError(f"{run.store.url} merges nothing: its configuration does not set inference.merged")
    with run.reporter("merge", worker=worker) as report:
        mine = provenance.merged(run)[worker::workers]
        return fill(mine, partial(_merged, run, report), report, "merge")


def _merged(run: Run, report: Reporter, todo: Sequence[ShardWork]) -> Iterator[Write]:
    """Each shard's ids, and doubt where asked for; 0 outside what is predicted."""
    import torch

    from pipeline.nn.merging import as_bytes
    from pipeline.run.samples import target_of

    target, merging, metrics = target_of(run, MULTILABEL).of_classes, _weights(run, report), report.metrics
    for work in todo:
        volume = run.segmentation(MERGED, work.capture.name)
        ids = np.zeros(work.shard.shape_zyx, volume.dtype)
        doubt = np.zeros(work.shard.shape_zyx, np.uint8) if run.config.inference.doubt else None
        for piece in (piece for part in work.parts for piece in _pieces(part)):
            said = {
                name: torch.from_numpy(run.probabilities(name, work.capture.name).read(piece))
                for name in run.plan.targets
            }
            with metrics.seconds("compute"), torch.inference_mode():
                joint_CZYX, alone_CZYX = said[MULTILABEL], _alone(run, {name: said[name][0] for name in said})
                found, wrong = merging.decide(merging.logits(joint_CZYX, alone_CZYX, target), target)
            inside = work.inside(piece)
            ids[inside] = found.numpy()
            if doubt is not None:
                doubt[inside] = as_bytes(wrong).numpy()
            metrics.voxels(piece.voxels)
        yield partial(_write, run, work, ids, doubt)


def _pieces(part: Block) -> list[Block]:
    """A part in as few slabs of about `_VOXELS` as there can be, or slices."""
    _, rows, columns = part.shape_zyx
    return tile(part, (max(1, _VOXELS // (rows * columns)), rows, columns), part.start_zyx)


def _alone(run: Run, said: dict[str, Tensor]) -> Tensor:
    """What the network of each class says, classes along the first axis; of two, one alone may have one."""
    import torch

    from pipeline.nn.merging import CERTAIN

    names = run.config.classes.names
    (some,) = [said[name] for name in names if name in said][:1]
    return torch.stack([said[name] if name in said else CERTAIN - some for name in names])


def _weights(run: Run, report: Reporter) -> Merging:
    from pipeline.nn.merging import Merging, merging
    from pipeline.run.samples import target_of

    store, marker = run.model_store(MERGED), provenance.merging(run)
    if not marker.intact:
        opinions = {name: _opinion(run, name) for name in run.plan.targets}
        alone_CN = _alone(run, {name: opinion.said[0] for name, opinion in opinions.items()})
        found = merging(opinions[MULTILABEL], alone_CN, target_of(run, MULTILABEL).of_classes)
        with marker.making():
            store.write_json(WEIGHTS, asdict(found))
        report.event("weighed", joint=list(found.joint), alone=list(found.alone))
        report.say(f"the multilabel network counts for {found.joint}, that of each class for {found.alone}")
    told = store.read_json(WEIGHTS)
    return Merging(**{name: tuple(values) for name, values in told.items()})


def _opinion(run: Run, target: str) -> Opinion:
    from pipeline.nn.merging import Opinion

    store = run.model_store(target)
    try:
        return Opinion.of_file(store.read(OPINION), f"{store.url}/{OPINION}")
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{store.url}/{OPINION} is missing; `vemseg train --target {target}` makes it anew"
        ) from error


def _write(run: Run, work: ShardWork, ids: NDArray[Any], doubt: NDArray[np.uint8] | None) -> dict[str, Any]:
    run.segmentation(MERGED, work.capture.name).write(work.shard, ids)
    if doubt is not None:
        run.doubt(work.capture.name).write(work.shard, doubt)
    return {"voxels": sum(block.voxels for block in work.parts)}
