"""Tell the objects of classes apart, phase by phase: worker i of n takes every n-th shard, and a join is one process's.

`pipeline.run.phases` says what each phase does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.model import MULTILABEL
from pipeline.errors import ConfigError, RunConflictError
from pipeline.objects.growing import Reach
from pipeline.objects.partition import GrownTable, Numbered, grow_shard, number_cores, number_objects
from pipeline.objects.pieces import find_pieces, packed, unpacked
from pipeline.objects.sums import Measured
from pipeline.objects.sums import packed as packed_sums
from pipeline.run.events import Reporter
from pipeline.run.layout import PARTS, PIECES, SMALLEST_OBJECTS, Run
from pipeline.run.objects import MEASURED, measuring
from pipeline.run.phases import JOINS, SEPARATION
from pipeline.run.plan import CapturePlan
from pipeline.run.provenance import CaptureWork, joining, separation
from pipeline.run.shards import Write, fill
from pipeline.run.shardtables import Arrays, load_table, save_table
from pipeline.run.works import ShardWork
from pipeline.volume.geometry import Block, tile
from pipeline.volume.omezarr import Volume, open_image


def separate(run_url: str, *, phase: str | None = None, worker: int = 0, workers: int = 1) -> None:
    """Tell objects apart; what is done is left alone.

    Args:
        run_url: where the predictions are.
        phase: one of `SEPARATION`, after those before it; None: all of them, by this process alone.
        worker: which of a phase's shards are done here.
        workers: that share them out.

    Raises:
        ConfigError: there is no such phase, or there are other workers who would have to wait in between.
        RunConflictError: an earlier phase or a prediction is missing, or no class has objects.
        Preempted: asked to stop.
    """
    if phase is None and workers > 1:
        phases = ", ".join(SEPARATION)
        raise ConfigError(f"--workers {workers} needs --phase: each of {phases} waits for the one before")
    if phase not in (None, *SEPARATION):
        raise ConfigError(f"--phase {phase}: there is none of this name; there are {', '.join(SEPARATION)}")
    run = Run.open(run_url)
    if not run.instances:
        raise RunConflictError(
            f"{run.store.url} tells no objects apart: give classes.members instances: true, or a model that has learnt "
            "with it"
        )
    for each in SEPARATION if phase is None else (phase,):
        with run.reporter("separate", target=each, worker=worker) as report:
            if each in JOINS:
                _join(run, each, report)
            else:
                fill(separation(run, each)[worker::workers], partial(_FILLED[each], run, report), report, "separate")


# --- phases that fill shards


def _find_cores(run: Run, report: Reporter, todo: Sequence[ShardWork]) -> Iterator[Write]:
    metrics = report.metrics
    for work in todo:
        ids = metrics.timed("read", run.cores(work.capture.name).read)(work.shard)
        with metrics.seconds("compute"):
            pieces, table = find_pieces(ids, work.shard, work.capture.shape_zyx)
        metrics.voxels(work.shard.voxels)
        yield partial(_write, run, work, PIECES, pieces, packed(table))


def _grow(run: Run, report: Reporter, todo: Sequence[ShardWork]) -> Iterator[Write]:
    metrics = report.metrics
    _refuse_missing(run, "join-cores")
    for work in todo:
        capture = work.capture
        reach = Reach.of(run.reach_nm, capture.voxel_size_nm)
        block = work.shard.grow(reach.halo_zyx).intersect(capture.volume)
        assert block is not None
        with metrics.seconds("read"):
            classes = run.segmentation(MULTILABEL, capture.name).read(block)
            found = list(_cores_around(run, capture, block))
        with metrics.seconds("compute"):
            classes[~np.isin(classes, list(run.instances))] = 0
            parts, table = grow_shard(classes, found, block, work.shard, capture.shape_zyx, reach)
        metrics.voxels(work.shard.voxels)
        yield partial(_write, run, work, PARTS, parts, _packed(table))


def _number(run: Run, report: Reporter, todo: Sequence[ShardWork]) -> Iterator[Write]:
    metrics = report.metrics
    _refuse_missing(run, "join-objects")
    for work in todo:
        with metrics.seconds("read"):
            parts = _between(run, work.capture, PARTS).read(work.shard)
            told = load_table(run, work.capture.name, "join-objects", work.shard.start_zyx)
        metrics.voxels(work.shard.voxels)
        yield partial(_write_objects, run, work, parts, Numbered(told["classes"], told["numbers"]))


def _measure(run: Run, report: Reporter, todo: Sequence[ShardWork]) -> Iterator[Write]:
    """Every object that reaches into a shard must have its number by then, in the shards around as well."""
    metrics = report.metrics
    _refuse_unfilled(run, "number")
    for work in todo:
        with metrics.seconds("compute"):
            found = measuring(run, work.capture).measure(work.shard)
        metrics.voxels(work.shard.voxels)
        yield partial(_write_measured, run, work, found)


_FILLED = {"cores": _find_cores, "grow": _grow, "number": _number, "measure": _measure}


def _cores_around(
    run: Run, capture: CapturePlan, block: Block
) -> Iterator[tuple[Block, NDArray[np.uint32], NDArray[np.int64]]]:
    """What is known of the cores in a block, shard by shard; nothing is where nothing was predicted."""
    volume = _between(run, capture, PIECES)
    for part in tile(block, volume.shard_zyx):
        z, y, x = (edge - edge % side for edge, side in zip(part.start_zyx, volume.shard_zyx, strict=True))
        try:
            numbers = load_table(run, capture.name, "join-cores", (z, y, x))["numbers"]
        except FileNotFoundError:
            continue
        yield part, volume.read(part), numbers


def _write(run: Run, work: ShardWork, name: str, values: NDArray[Any], table: Arrays) -> dict[str, Any]:
    _between(run, work.capture, name).write(work.shard, values)
    save_table(run, work.capture.name, name, work.shard.start_zyx, table)
    return {}


def _write_objects(run: Run, work: ShardWork, parts: NDArray[np.uint32], numbered: Numbered) -> dict[str, Any]:
    for class_id, name in run.instances.items():
        volume = run.objects(name, work.capture.name)
        volume.write(work.shard, numbered.of_class(class_id).astype(volume.dtype)[parts])
    return {}


def _write_measured(run: Run, work: ShardWork, found: Measured) -> dict[str, Any]:
    save_table(run, work.capture.name, MEASURED, work.shard.start_zyx, packed_sums(found))
    return {}


# --- phases that join what shards have found


def _join(run: Run, phase: str, report: Reporter) -> None:
    shards = _refuse_unfilled(run, SEPARATION[SEPARATION.index(phase) - 1])
    for work in joining(run, phase):
        if work.marker.intact:
            report.say(f"{work.capture.name} is done")
            continue
        own = [each for each in shards if each.capture.name == work.capture.name]
        with work.marker.making(), report.metrics.seconds("compute"):
            _joined[phase](run, work, own)


def _join_cores(run: Run, work: CaptureWork, shards: Sequence[ShardWork]) -> None:
    tables = (
        (each.shard, unpacked(load_table(run, work.capture.name, PIECES, each.shard.start_zyx))) for each in shards
    )
    for each, numbers in zip(shards, number_cores(tables, _smallest_voxels(run, work.capture)), strict=True):
        save_table(run, work.capture.name, "join-cores", each.shard.start_zyx, {"numbers": numbers})


def _join_objects(run: Run, work: CaptureWork, shards: Sequence[ShardWork]) -> None:
    tables = ((each.shard, _grown(load_table(run, work.capture.name, PARTS, each.shard.start_zyx))) for each in shards)
    for each, numbered in zip(shards, number_objects(tables, _smallest_voxels(run, work.capture)), strict=True):
        arrays: Arrays = {"classes": numbered.classes, "numbers": numbered.numbers}
        save_table(run, work.capture.name, "join-objects", each.shard.start_zyx, arrays)


_joined = {"join-cores": _join_cores, "join-objects": _join_objects}


def _packed(table: GrownTable) -> Arrays:
    own: Arrays = {"cores": table.cores, "classes": table.classes, "begins": table.first, "sizes": table.voxels}
    return {**own, **packed(table.rest)}


def _grown(arrays: Arrays) -> GrownTable:
    return GrownTable(arrays["cores"], arrays["classes"], arrays["begins"], arrays["sizes"], unpacked(arrays))


def _smallest_voxels(run: Run, capture: CapturePlan) -> dict[int, int]:
    """How many voxels an object of each class must have, as the validation part of the training said."""
    told = run.model_store(MULTILABEL).read_json("model.json").get(SMALLEST_OBJECTS, {})
    voxel_nm3 = float(np.prod(capture.voxel_size_nm))
    return {class_id: round(told.get(name, 0.0) / voxel_nm3) for class_id, name in run.instances.items()}


def _refuse_unfilled(run: Run, phase: str) -> list[ShardWork]:
    """The shards of a phase, all of them done."""
    shards = separation(run, phase)
    missing = [work.marker for work in shards if not work.marker.intact]
    if missing:
        raise RunConflictError(
            f"{len(missing)} of {len(shards)} shards have not been through the phase {phase} of telling objects "
            f"apart, the first being {missing[0].key}; run `vemseg separate --run ... --phase {phase}` first"
        )
    return shards


def _refuse_missing(run: Run, phase: str) -> None:
    for work in joining(run, phase):
        if not work.marker.done:
            raise RunConflictError(
                f"{work.capture.name} has not been through the phase {phase} of telling objects apart; run "
                f"`vemseg separate --run ... --phase {phase}` first"
            )


# --- what lies between the network's answer and objects


def _between(run: Run, capture: CapturePlan, name: str) -> Volume:
    return open_image(run.separation_store(capture.name).child(name))
