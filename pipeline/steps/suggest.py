"""Suggest the blocks of a segmented volume that a person should label next."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.model import MERGED
from pipeline.errors import ConfigError, RunConflictError
from pipeline.run.layout import SUGGESTIONS, Run
from pipeline.run.plan import CapturePlan, fit
from pipeline.run.provenance import refuse_incomplete
from pipeline.run.works import predicted_regions
from pipeline.scoring.suggestions import Features, Suggestion, choose, doubts, expected_errors, look_of
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
    elif not run.config.inference.stores_probabilities:
        raise ConfigError(
            f"{run.store.url} does not keep how sure its networks are; set inference.probabilities: true (vemseg run "
            "segment: -p probabilities=true), and run it again: only the predictions are made anew"
        )
    size = fit(size_zyx, plan.shape_zyx)
    kept_from = [block.grow(run.plan.guard_zyx) for part in ("validation", "test") for block in plan.split().of(part)]
    seen = list(_blocks(run, plan, target, size))
    can_be = np.array(
        [not each.is_labelled and not any(each.block.intersect(other) for other in kept_from) for each in seen]
    )
    if not can_be.any():
        raise RunConflictError(
            f"{run.store.url}: every block of {plan.name} is labelled, or too near to what networks are chosen and "
            "scored on; segment another volume (vemseg run segment), and ask for its blocks"
        )
    doubt_N = doubts(np.array([each.errors for each in seen]), np.array([each.sizes for each in seen]))
    look_NF = np.array([each.look for each in seen])
    known = look_NF[[each.is_labelled for each in seen]]
    blocks = [each.block for each in compress(seen, can_be)]
    chosen = choose(blocks, doubt_N[can_be], look_NF[can_be], known, count, plan.voxel_size_nm)
    found = Suggested(plan.name, tuple(chosen), len(blocks))
    _write(run, plan, found, blocks, doubt_N[can_be].tolist())
    return found


def _capture(run: Run, name: str | None) -> CapturePlan:
    captures = {each.name: each for each in run.plan.captures if predicted_regions(run, each)}
    if name is not None and name not in captures:
        raise ConfigError(f"{run.store.url} predicts no capture {name!r}; it predicts {', '.join(captures)}")
    return captures[name] if name is not None else next(iter(captures.values()))


@dataclass(frozen=True)
class _Seen:
    """A block, and what its prediction says of it.

    Args:
        block: where it lies.
        is_labelled: whether anything in it is.
        look: see `look_of`.
        errors: (C), see `expected_errors`.
        sizes: (C), see `doubts`.
    """

    block: Block
    is_labelled: bool
    look: Features
    errors: NDArray[np.float64]
    sizes: NDArray[np.float64]


def _blocks(run: Run, plan: CapturePlan, target: str, size: Zyx) -> Iterator[_Seen]:
    """Each block of what is predicted, by the target or, where doubt is stored, by what is merged."""
    merged, classes = run.config.inference.doubt, len(run.config.classes.members)
    read, ids = run.read_seen(plan), run.segmentation(MERGED if merged else target, plan.name)
    truth = run.truth(plan.name) if run.plan.networks else None
    stored, doubt = run.probabilities(target, plan.name), run.doubt(plan.name) if merged else None
    mean, std = np.float32(run.plan.intensity_mean), np.float32(run.plan.intensity_std)
    for region in predicted_regions(run, plan):
        for box in tile(region, _read_zyx(size, ids.shard_zyx), region.start_zyx):
            grey_box, ids_box, stored_box = (read(box).astype(np.float32) - mean) / std, ids.read(box), stored.read(box)
            doubt_box = doubt.read(box) if doubt else None
            truth_box = truth.read(box) if truth else np.zeros(box.shape_zyx, np.uint8)
            for block in tile(box, size, region.start_zyx):
                # What the far faces leave of a block is not worth an invitation.
                if any(2 * edge < whole for edge, whole in zip(block.shape_zyx, size, strict=True)):
                    continue
                cut = block.relative_to(box).slices
                p_CZYX, every_CZYX = _as_share(stored_box[:, *cut]), _said(ids_box[cut], classes)
                said_CZYX = every_CZYX[: len(p_CZYX)]  # a network of one class keeps that one's probability alone
                yield _Seen(
                    block,
                    bool(truth_box[cut].any()),
                    look_of(grey_box[cut], every_CZYX.mean(axis=(1, 2, 3))),
                    expected_errors(p_CZYX, said_CZYX, None if doubt_box is None else _as_share(doubt_box[cut])),
                    (p_CZYX + said_CZYX).mean(axis=(1, 2, 3), dtype=np.float64),
                )


def _as_share(stored: NDArray[np.uint8]) -> NDArray[np.float32]:
    return stored.astype(np.float32) / np.float32(255)


def _said(ids: NDArray[Any], classes: int) -> NDArray[np.bool_]:
    """(C, z, y, x): exclusive classes by their ids, overlapping ones by their bits."""
    numbers = np.arange(1, classes + 1, dtype=ids.dtype).reshape(-1, 1, 1, 1)
    found: NDArray[np.bool_] = (ids >> numbers & 1).astype(bool) if ids.dtype == np.uint32 else ids == numbers
    return found


def _read_zyx(size: Zyx, shard: Zyx) -> Zyx:
    """Whole blocks, about a shard."""
    return zyx([max(1, length // edge) * edge for edge, length in zip(size, shard, strict=True)], "size")


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
