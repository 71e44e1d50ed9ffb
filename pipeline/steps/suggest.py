"""Suggest the blocks of a segmented volume that a person should label next."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.model import MERGED, MULTILABEL
from pipeline.errors import ConfigError, RunConflictError
from pipeline.run.layout import SUGGESTIONS, Run
from pipeline.run.plan import CapturePlan, fit
from pipeline.run.provenance import refuse_incomplete
from pipeline.run.works import predicted_regions
from pipeline.scoring.suggestions import Features, Suggestion, choose, look_of
from pipeline.volume.geometry import Block, Zyx, tile, zyx


@dataclass(frozen=True)
class Suggested:
    """The blocks that were suggested, and of how many."""

    capture: str
    blocks: tuple[Suggestion, ...]
    looked_at: int


def suggest(run_url: str, *, capture: str | None = None, count: int = 20, size_zyx: Zyx = (1, 256, 256)) -> Suggested:
    """Rank blocks by doubt and by how unlike they are; writes ``evaluation/suggestions.json``, ``.csv`` and ``.png``.

    Reads what is predicted once, a shard at a time. Blocks that hold labels, and blocks so near to the validation or
    test part that a network which learnt from them would have seen it, are left out.

    Args:
        run_url: a study or a segmentation, with its probabilities or its doubt stored.
        capture: of a study; None: the first that is predicted.
        count: how many blocks, at most.
        size_zyx: of a block, in voxels.

    Raises:
        ConfigError: there is no such capture, or nothing that says how sure the networks are.
        RunConflictError: the capture is not predicted yet.
    """
    run = Run.open(run_url)
    plan = _capture(run, capture)
    target = run.plan.targets[0]
    refuse_incomplete(run, target, plan.name)
    if run.config.inference.doubt:
        refuse_incomplete(run, MERGED)
    doubt = _doubt(run, plan, target)
    size = fit(size_zyx, plan.shape_zyx)
    blocks: list[Block] = []
    doubts: list[float] = []
    looks: list[Features] = []
    labelled: list[Features] = []
    kept_from = [block.grow(run.plan.guard_zyx) for part in ("validation", "test") for block in plan.split().of(part)]
    for block, grey, ids, is_labelled, doubt_ZYX in _blocks(run, plan, target, size, doubt):
        look = look_of(grey, _shares(ids, len(run.config.classes.members)))
        if is_labelled:
            labelled.append(look)
        elif not any(block.intersect(other) for other in kept_from):
            blocks.append(block)
            doubts.append(float(doubt_ZYX.mean()))
            looks.append(look)
    if not blocks:
        raise RunConflictError(
            f"{run.store.url}: every block of {plan.name} is labelled, or too near to what networks are chosen and "
            "scored on; segment another volume (vemseg run segment), and ask for its blocks"
        )
    known = np.array(labelled) if labelled else np.empty((0, len(looks[0])))
    chosen = choose(blocks, np.array(doubts), np.array(looks), known, count, plan.voxel_size_nm)
    found = Suggested(plan.name, tuple(chosen), len(blocks))
    _write(run, plan, found, blocks, doubts)
    return found


def _capture(run: Run, name: str | None) -> CapturePlan:
    captures = {each.name: each for each in run.plan.captures if predicted_regions(run, each)}
    if name is not None and name not in captures:
        raise ConfigError(f"{run.store.url} predicts no capture {name!r}; it predicts {', '.join(captures)}")
    return captures[name] if name is not None else next(iter(captures.values()))


ReadDoubt = Callable[[Block], NDArray[np.float32]]


def _doubt(run: Run, plan: CapturePlan, target: str) -> ReadDoubt:
    """What reads the doubt in each voxel of a block, 0 to 1: that in what is merged, else the network's entropy."""
    if run.config.inference.doubt:
        stored_doubt = run.doubt(plan.name)
        return lambda block: stored_doubt.read(block).astype(np.float32) / np.float32(255)
    if not run.config.inference.stores_probabilities:
        raise ConfigError(
            f"{run.store.url} does not keep how sure its networks are; set inference.probabilities: true (vemseg run "
            "segment: -p probabilities=true), and run it again: only the predictions are made anew"
        )
    stored = run.probabilities(target, plan.name)
    joint = target == MULTILABEL and run.config.classes.exclusive

    def read(block: Block) -> NDArray[np.float32]:
        return entropy(stored.read(block).astype(np.float32) / np.float32(255), joint=joint)

    return read


def entropy(probabilities_CZYX: NDArray[np.float32], *, joint: bool) -> NDArray[np.float32]:
    """How undecided probabilities are, (z, y, x), 0 for certain to 1 for as open as can be.

    Args:
        joint: of exclusive classes, which share 1; else each class is a question of its own: the most open one counts.
    """
    p = np.clip(probabilities_CZYX, 1e-6, 1)
    if joint:
        p = p / p.sum(axis=0)
        joint_ZYX: NDArray[np.float32] = -(p * np.log(p)).sum(axis=0) / np.log(max(2, len(p)))
        return joint_ZYX
    rest = np.clip(1 - p, 1e-6, 1)
    alone_ZYX: NDArray[np.float32] = (-(p * np.log2(p)) - rest * np.log2(rest)).max(axis=0)
    return alone_ZYX


def _blocks(
    run: Run, plan: CapturePlan, target: str, size: Zyx, doubt: ReadDoubt
) -> Iterator[tuple[Block, NDArray[np.float32], NDArray[Any], bool, NDArray[np.float32]]]:
    """Each block with its normalised grey values, class ids, whether anything in it is labelled, and its doubt."""
    read, ids = run.read_seen(plan), run.segmentation(target, plan.name)
    truth = run.truth(plan.name) if run.plan.networks else None
    mean, std = np.float32(run.plan.intensity_mean), np.float32(run.plan.intensity_std)
    for region in predicted_regions(run, plan):
        for box in tile(region, _read_zyx(size, ids.shard_zyx), region.start_zyx):
            grey_box, ids_box, doubt_box = (read(box).astype(np.float32) - mean) / std, ids.read(box), doubt(box)
            truth_box = truth.read(box) if truth else np.zeros(box.shape_zyx, np.uint8)
            for block in tile(box, size, region.start_zyx):
                # What the far faces leave of a block is not worth an invitation.
                if all(2 * edge >= whole for edge, whole in zip(block.shape_zyx, size, strict=True)):
                    cut = block.relative_to(box).slices
                    yield block, grey_box[cut], ids_box[cut], bool(truth_box[cut].any()), doubt_box[cut]


def _read_zyx(size: Zyx, shard: Zyx) -> Zyx:
    """Whole blocks, about a shard."""
    return zyx([max(1, length // edge) * edge for edge, length in zip(size, shard, strict=True)], "size")


def _shares(ids: NDArray[Any], classes: int) -> NDArray[np.float64]:
    """Of exclusive classes by their ids; of overlapping ones by their bits."""
    if ids.dtype == np.uint32:
        return np.array([float((ids >> class_id & 1).mean()) for class_id in range(1, classes + 1)])
    found: NDArray[np.float64] = np.bincount(ids.ravel(), minlength=classes + 1)[1 : classes + 1] / ids.size
    return found


def _write(run: Run, plan: CapturePlan, found: Suggested, blocks: list[Block], doubts: list[float]) -> None:
    from pipeline.figures.canvas import figure_png
    from pipeline.figures.charts import suggestions_figure

    store = run.evaluation_store
    rows = [
        {
            "rank": rank,
            "capture": found.capture,
            "start_zyx": each.block.start_zyx,
            "stop_zyx": each.block.stop_zyx,
            "doubt": each.doubt,
            "unlike": each.unlike,
        }
        for rank, each in enumerate(found.blocks, start=1)
    ]
    told = {"capture": found.capture, "digest": plan.digest, "looked_at": found.looked_at, "blocks": rows}
    store.write_json(f"{SUGGESTIONS}.json", told)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    ends = [f"{axis}_{end}_voxel" for end in ("start", "stop") for axis in "zyx"]
    table.writerow(["rank", "capture", *ends, "doubt", "unlike"])
    for row, each in zip(rows, found.blocks, strict=True):
        unlike = "" if each.unlike is None else f"{each.unlike:.4f}"
        ends = [str(edge) for edge in (*each.block.start_zyx, *each.block.stop_zyx)]
        table.writerow([row["rank"], found.capture, *ends, f"{each.doubt:.4f}", unlike])
    store.write(f"{SUGGESTIONS}.csv", text.getvalue().encode())
    figure = suggestions_figure(plan.shape_zyx, plan.voxel_size_nm, blocks, doubts, found.blocks)
    store.write(f"figures/{SUGGESTIONS}.png", figure_png(figure))
