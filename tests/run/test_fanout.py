"""Workers are spread over as few workflows as hold them, each worker once; the workflow is told so in small files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.run.create import write_outputs
from pipeline.run.fanout import fan_out, together, worker_groups
from pipeline.run.plan import RunPlan


@given(st.integers(1, 5000), st.integers(1, 20), st.integers(1, 1000))
def test_groups_hold_every_worker_once(workers: int, targets: int, limit: int) -> None:
    groups = worker_groups(workers, targets, limit)
    if workers * targets <= limit:
        assert groups == []
        return
    assert [worker for first, count in groups for worker in range(first, first + count)] == list(range(workers))
    sizes = [count for _, count in groups]
    assert max(sizes) <= limit
    assert max(sizes) - min(sizes) <= 1
    assert (len(groups) - 1) * limit < workers


@given(
    st.integers(0, 5000),
    st.integers(1, 500),
    st.integers(1, 20),
    st.integers(1, 500),
    st.integers(0, 3),
    st.booleans(),
    st.booleans(),
)
def test_no_workflow_has_more_pods_than_it_may(
    augment: int, infer: int, targets: int, boost: int, methods: int, merges: bool, separates: bool
) -> None:
    spread = fan_out(
        augment_workers=augment,
        infer_workers=infer,
        targets=[f"target_{number}" for number in range(targets)],
        boost_workers=boost,
        boost_methods=methods,
        merges=merges,
        separates=separates,
        pods_per_workflow=300,
    )
    here = 0 if spread.groups else infer * targets
    separate = 4 * spread.separate_workers + 2 if separates else 0
    assert spread.augment_workers + spread.merge_workers + 2 * methods * spread.boost_workers + separate + here <= 300
    assert (spread.separate_workers > 0) == separates
    assert (spread.merge_workers > 0) == merges
    assert (spread.augment_workers > 0) == (augment > 0)
    assert (spread.boost_workers > 0) == (methods > 0)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 40))
def test_targets_are_predicted_together_where_pods_would_queue(targets: int, workers: int, at_once: int) -> None:
    names = [f"class_{number}" for number in range(targets)]
    groups = together(names, workers, at_once)
    if not groups:
        assert at_once == 0 or 2 * -(-at_once // workers) > targets
        return
    assert sorted(name for group in groups for name in group) == sorted(names)
    assert min(len(group) for group in groups) >= 2
    assert (len(groups) - 1) * workers < at_once <= len(groups) * workers < targets * workers


def test_the_first_group_begins_with_the_first_target() -> None:
    assert together(["multilabel", "a", "b", "c", "d"], 1, 2) == [("multilabel", "b", "d"), ("a", "c")]
    assert together(["multilabel", "a", "b"], 2, 2) == [("multilabel", "a", "b")]
    assert together(["multilabel", "a", "b"], 1, 0) == []


def _plan(workers: int) -> RunPlan:
    return RunPlan(
        captures=(),
        targets=("multilabel", "membrane"),
        networks={},
        intensity_mean=0.0,
        intensity_std=1.0,
        receptive_field_zyx=(1, 1, 1),
        guard_zyx=(0, 0, 0),
        patch_zyx=(1, 1, 1),
        block_zyx=(1, 1, 1),
        augment_workers=workers,
        infer_workers=workers,
    )


@pytest.mark.parametrize(
    ("workers", "here", "groups", "augment"),
    [
        (3, 3, [], 3),
        (4, 0, [{"first": 0, "count": 4}], 3),
        (11, 0, [{"first": 0, "count": 5}, {"first": 5, "count": 6}], 3),
    ],
)
def test_a_workflow_is_told_where_its_workers_are(
    workers: int, here: int, groups: list[dict[str, int]], augment: int, tmp_path: Path
) -> None:
    write_outputs(tmp_path, _plan(workers), pods_per_workflow=10)
    told = {file.name: json.loads(file.read_text()) for file in tmp_path.iterdir() if file.name != "target"}
    assert told["infer-workers"] == workers
    assert told["infer-here"] == here
    assert told["augment-workers"] == augment
    assert told["infer-groups"] == groups


def test_a_workflow_is_told_what_is_predicted_together(tmp_path: Path) -> None:
    write_outputs(tmp_path, _plan(2), pods_per_workflow=10, at_once=2)
    told = {
        name: json.loads((tmp_path / name).read_text()) for name in ("infer-here", "infer-together", "infer-groups")
    }
    assert told == {"infer-here": 0, "infer-together": ["multilabel,membrane"], "infer-groups": []}
    # Workers that one workflow does not hold are many already.
    write_outputs(tmp_path, _plan(6), pods_per_workflow=10, at_once=2)
    assert json.loads((tmp_path / "infer-together").read_text()) == []
