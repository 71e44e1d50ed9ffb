"""The bookkeeping of the benchmark of suggested blocks: what is labelled, who chooses, what a share of blocks is."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from pipeline.volume.geometry import Block
from tests.bench.bench_suggest import (
    CHANCE,
    POOL,
    TEST,
    Curve,
    Effort,
    Round,
    Stack,
    Tissue,
    blocks_needed,
    by_chance,
    draw,
    drawn,
    grid,
    held,
    interval,
    only,
    shares,
    summary,
)

SIZE = (1, 4, 4)
EFFORT = Effort(SIZE, start=2, added=3, rounds=2, first_steps=1, steps=1)


def tissue() -> Tissue:
    """Sections of 8 x 10, the last two columns of which fill no block; class 2 in a single block."""
    labels = np.ones((3, 8, 10), np.uint8)
    labels[1, 4:8, 0:4] = 2
    return Tissue({POOL: Stack(labels, labels)}, ("one", "two"), (40.0, 8.0, 8.0))


def curve(*f1: float) -> Curve:
    return [Round(10 * (number + 1), (), (), {TEST: {"macro": each}}, 1.0) for number, each in enumerate(f1)]


def test_only_the_chosen_blocks_are_labelled() -> None:
    stack = tissue().stacks[POOL].labels
    kept = only(stack, [Block((1, 4, 0), (2, 8, 4)), Block((0, 0, 4), (1, 4, 8))])
    assert np.count_nonzero(kept) == 2 * 16
    assert (np.unique(kept[1, 4:8, 0:4]), kept[0, 0, 4]) == (2, 1)


def test_blocks_are_drawn_once_each_and_every_class_is_there_from_the_beginning() -> None:
    found = tissue()
    for seed in range(10):
        order = drawn(found, EFFORT, seed)
        assert sorted(order, key=lambda block: block.start_zyx) == grid(found.pool, SIZE)
        assert len(order) == 3 * 2 * 2
        assert Block((1, 4, 0), (2, 8, 4)) in order[:2]
        assert shares(found, order[:2]) == [0.5, 0.5]
        choose = by_chance(order)
        first = choose(None, order[:2], 3)
        assert first + choose(None, order[:2] + first, 3) == order[2:8]


def test_the_share_of_blocks_is_where_the_mean_curve_reaches_the_last_level_of_chance() -> None:
    assert blocks_needed([10, 20, 30], [0.1, 0.3, 0.5], 0.4) == pytest.approx(25)
    assert blocks_needed([10, 20, 30], [0.1, 0.3, 0.5], 0.05) == 10
    assert blocks_needed([10, 20, 30], [0.1, 0.3, 0.5], 0.6) is None
    chance, ours = [curve(0.1, 0.2, 0.4), curve(0.1, 0.4, 0.6)], [curve(0.1, 0.5, 0.9), curve(0.1, 0.5, 0.9)]
    assert summary({CHANCE: chance, "ours": ours}, TEST)["ours"]["share"] == pytest.approx(2 / 3)
    assert summary({CHANCE: ours, "ours": chance}, TEST)["ours"]["share"] is None


def test_an_interval_holds_the_middle_of_resampled_seeds() -> None:
    values = np.arange(5.0)
    low, high = interval(lambda which: float(values[which].mean()), 5)
    assert 0 < low < 2 < high < 4
    assert interval(lambda which: float(values[:1][which].mean()), 1) == (0.0, 0.0)


def test_what_was_added_is_compared_with_the_whole_stack() -> None:
    rounds = [Round(2, (), (0.5, 0.5), {}, 1.0), Round(4, (), (0.75, 0.25), {}, 1.0), Round(6, (), (1.0, 0.0), {}, 1.0)]
    rare = np.count_nonzero(tissue().stacks[POOL].labels == 2) / tissue().pool.voxels
    *_, row = held({"ours": [rounds]}, tissue()).splitlines()
    assert row == f"| ours | {0.875 / (1 - rare):.2f} | {0.125 / rare:.2f} |"


def test_rounds_are_kept_whole_and_drawn(tmp_path: Path) -> None:
    one = Round(16, ((0, 4, 8), (1, 0, 0)), (0.25, 0.75), {TEST: {"one": 0.5, "macro": 0.5}}, 3.0)
    assert Round.from_json(json.loads(json.dumps(asdict(one)))) == one
    draw({CHANCE: [curve(0.1, 0.2), curve(0.1, 0.3)], "ours": [curve(0.1, 0.3)] * 2}, TEST, tmp_path / "new/curves.png")
    assert (tmp_path / "new/curves.png").read_bytes().startswith(b"\x89PNG")
