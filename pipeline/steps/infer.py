"""Predict the classes of targets, shard by shard: worker i of n takes every n-th shard and skips what is done.

Reading the next block, computing this one and writing the last shard overlap. Of several targets, a shard is predicted
by one network after the other while its blocks are held, so that each block is read once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.model import MULTILABEL
from pipeline.nn.plan import NetworkPlan
from pipeline.nn.slabs import sweep_bytes
from pipeline.run.events import Reporter
from pipeline.run.layout import NATIVE, Run, predicted_name
from pipeline.run.markers import Marker
from pipeline.run.provenance import predicted
from pipeline.run.shards import Write, fill
from pipeline.run.works import ShardWork, refuse_other_methods

if TYPE_CHECKING:
    from pipeline.nn.blockwise import BlockInput, BlockPredictor
    from pipeline.nn.model import Model
    from pipeline.nn.targets import Target

# Of a model's weights: as they were read, and once more for each order of axes that a block is swept in.
_COPIES = 4


@dataclass(frozen=True)
class Prediction:
    """A shard that the network of a target is to fill."""

    target: str
    work: ShardWork

    @property
    def marker(self) -> Marker:
        """Says that it is done."""
        return self.work.marker


def infer(run_url: str, *, target: str, variant: str = NATIVE, worker: int = 0, workers: int = 1) -> int:
    """Predict this worker's shards of every capture, as it is or boosted; those that are done are left alone.

    Args:
        run_url: the run.
        target: multilabel or the name of a class; several with commas between them.
        variant: of the captures.
        worker: number of this worker.
        workers: how many there are for these targets.

    Returns:
        The number of shards that were predicted, each counted once a target.

    Raises:
        Preempted: asked to stop.
    """
    run = Run.open(run_url)
    targets = tuple(dict.fromkeys(target.split(",")))
    for each in targets:
        run.refuse_other_targets(each)
    if variant != NATIVE:
        refuse_other_methods(run, variant)
    count = _held_at_once(run, variant) if len(targets) > 1 else 1
    held = [targets[first : first + count] for first in range(0, len(targets), count)]
    return sum(_infer(run, some, variant, worker, workers, followed=some is not held[-1]) for some in held)


def _infer(run: Run, targets: tuple[str, ...], variant: str, worker: int, workers: int, *, followed: bool) -> int:
    """The same of targets whose networks are held at once; others may follow."""
    first, *others = targets
    name = predicted_name(f"{first}-and-{len(others)}-more" if others else first, variant)
    with run.reporter("infer", target=name, worker=worker) as report:
        shards = zip(*(predicted(run, target, variant)[worker::workers] for target in targets), strict=True)
        mine = [Prediction(*of) for works in shards for of in zip(targets, works, strict=True)]
        return fill(mine, partial(_predicted, run, report), report, f"infer {name}", followed=followed)


def _held_at_once(run: Run, variant: str) -> int:
    """How many networks the memory of a worker has room for, beside the blocks of a shard; at least one."""
    settings, names = run.config.inference, [capture.name for capture in run.plan.captures]
    volumes = [run.variant(variant, name) for name in names]
    largest = max((volume.shape_zyx for volume in volumes), key=prod)
    network = NetworkPlan.from_json(run.plan.networks[run.plan.targets[0]])
    sweep = sweep_bytes(network, run.plan.block_zyx, largest, passes=2 ** len(settings.mirror_axes))
    halo = zip(run.plan.block_zyx, run.plan.receptive_field_zyx, strict=True)
    blocks = prod(-(-shard // block) + 1 for shard, block in zip(settings.shard_zyx, run.plan.block_zyx, strict=True))
    held = blocks * prod(block + field for block, field in halo) * max(volume.dtype.itemsize for volume in volumes)
    sizes = (run.model_store(target).size("model.safetensors") or 0 for target in run.plan.targets)
    weights = _COPIES * 2 ** len(settings.mirror_axes) * max(sizes)
    return max(1, int((settings.memory_gb * 1e9 - sweep - held) // max(1, weights)))


@dataclass(frozen=True)
class Network:
    """A trained network, ready to predict."""

    model: Model
    predictor: BlockPredictor
    classes: tuple[str, ...]
    """Names of its outputs' classes."""

    @classmethod
    def of(cls, run: Run, target: str) -> Network:
        """That of a target of a run."""
        from pipeline.nn.blockwise import BlockPredictor
        from pipeline.nn.device import pick_device
        from pipeline.nn.model import load_model

        store, settings = run.model_store(target), run.config.inference
        model = load_model(store.read("model.safetensors"), store.read_json("model.json"), store.url)
        predictor = BlockPredictor(
            model.network,
            model.normalisation,
            device=pick_device(),
            mirror_axes=["zyx".index(axis) for axis in settings.mirror_axes],
            precision=settings.precision,
        )
        return cls(model, predictor, run.config.classes.names if target == MULTILABEL else (target,))


def _predicted(run: Run, report: Reporter, todo: Sequence[Prediction]) -> Iterator[Write]:
    from pipeline.nn.blockwise import read_blocks
    from pipeline.nn.device import keep_freed_memory

    keep_freed_memory()
    networks = {name: Network.of(run, name) for name in dict.fromkeys(each.target for each in todo)}
    reader, metrics = next(iter(networks.values())).predictor, report.metrics
    for _, of_capture in groupby(todo, lambda each: each.work.capture.name):
        shards = [list(of_shard) for _, of_shard in groupby(of_capture, lambda each: each.work.shard)]
        works = [shard[0].work for shard in shards]
        capture, variant = works[0].capture, works[0].variant
        read = metrics.timed("read", run.read_seen(capture, variant))
        blocks = [block for work in works for block in work.parts]
        shape = run.variant(variant, capture.name).shape_zyx
        inputs = metrics.each("queue", read_blocks(reader, read, blocks, shape))
        for shard in shards:
            yield from _predicted_by_each(run, report, networks, shard, islice(inputs, len(shard[0].work.parts)))


def _predicted_by_each(
    run: Run,
    report: Reporter,
    networks: dict[str, Network],
    shard: Sequence[Prediction],
    inputs: Iterable[BlockInput],
) -> Iterator[Write]:
    """A shard by one network after the other; its blocks are held where there are several."""
    if len(shard) > 1:
        inputs = list(inputs)
    for each in shard:
        yield _predicted_shard(run, report, networks[each.target], each, inputs)


def _predicted_shard(
    run: Run, report: Reporter, network: Network, prediction: Prediction, inputs: Iterable[BlockInput]
) -> Write:
    """Ids, probabilities (class, z, y, x) where asked for, and cores; 0 outside what is predicted."""
    from pipeline.nn.merging import as_bytes
    from pipeline.run.tally import Tally

    model, target, work, metrics = network.model, network.model.target, prediction.work, report.metrics
    volume = run.segmentation(prediction.target, work.capture.name, work.variant)
    ids = np.zeros(work.shard.shape_zyx, volume.dtype)
    probabilities = _empty_probabilities(run, target, work)
    cores = np.zeros(work.shard.shape_zyx, np.uint8) if _finds_cores(run, target, work) else None
    with metrics.seconds("queue"), metrics.seconds("read"):  # labels, while nothing is computed
        tally = Tally(run, model, work, network.classes)
    for block in inputs:
        with metrics.seconds("compute"):
            for part, logits_CZYX in network.predictor.slabs(block):
                inside = work.inside(part)
                classes_CZYX = target.class_logits(logits_CZYX)
                tally.add(inside, classes_CZYX)
                decided_ZYX = target.decide(logits_CZYX)
                ids[inside] = decided_ZYX.cpu().numpy()
                if cores is not None:
                    cores[inside] = target.core_classes(logits_CZYX, decided_ZYX).cpu().numpy()
                if probabilities is not None:
                    said = as_bytes(target.probabilities(model.confidence(classes_CZYX)))
                    probabilities[(slice(None), *inside)] = said.cpu().numpy()
        metrics.voxels(block.core.voxels)
    return partial(_write, run, prediction.target, work, ids, probabilities, cores, tally.facts)


def _empty_probabilities(run: Run, target: Target, work: ShardWork) -> NDArray[np.uint8] | None:
    if not run.config.inference.stores_probabilities or work.variant != NATIVE:
        return None
    return np.zeros((len(target.class_ids), *work.shard.shape_zyx), np.uint8)


def _finds_cores(run: Run, target: Target, work: ShardWork) -> bool:
    return bool(run.instances) and bool(target.core_logits) and work.variant == NATIVE


def _write(
    run: Run,
    target: str,
    work: ShardWork,
    ids: NDArray[Any],
    probabilities: NDArray[np.uint8] | None,
    cores: NDArray[np.uint8] | None,
    facts: dict[str, Any],
) -> dict[str, Any]:
    run.segmentation(target, work.capture.name, work.variant).write(work.shard, ids)
    if probabilities is not None:
        run.probabilities(target, work.capture.name).write(work.shard, probabilities)
    if cores is not None:
        run.cores(work.capture.name).write(work.shard, cores)
    return {"voxels": sum(block.voxels for block in work.parts), **facts}
