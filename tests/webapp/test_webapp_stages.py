"""What a job runs, what its progress says, and why it failed: decided from records and nodes, nothing is run here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tinystudy import VOXEL_SIZE_NM
from webapp_support import MakeJob, MakeSettings

from pipeline.argo import load, settled_parameters
from pipeline.argo.directory import StateDirectory
from pipeline.argo.nodes import DAG, FAILED, PENDING, POD, RETRY, RUNNING, SKIPPED, SUCCEEDED, TASK_GROUP, Node
from pipeline.argo.shipped import workflow_file
from pipeline.volume.geometry import ZyxNm
from pipeline.webapp.catalogue import Treatment
from pipeline.webapp.executors.base import reason_of
from pipeline.webapp.jobs import Job
from pipeline.webapp.stages import FINISHING, READING, SEPARATING, Stage, Step, progress, seconds_left, stages

FINER_NM = (40.0, 4.0, 4.0)


@pytest.fixture
def job(make_settings: MakeSettings, make_job: MakeJob) -> Job:
    return make_job(make_settings())


def treated(job: Job, key: str, voxel_size_nm: ZyxNm = FINER_NM) -> Job:
    treatment = Treatment(key, "label", "explanation", voxel_size_nm)
    return replace(job, record=replace(job.record, treatment=treatment))


@pytest.mark.parametrize("key", [None, "zssr", "bicubic", "resample"])
def test_every_workflow_takes_its_parameters(job: Job, key: str | None) -> None:
    parts = stages(treated(job, key) if key else job, workers=3)
    assert parts[-1].name == "segment"
    assert len(parts) == (1 if key in (None, "resample") else 2)
    for part in parts:
        workflow = load(workflow_file(part.name))
        settled_parameters(workflow, part.parameters)
        assert set(part.steps) <= set(workflow.templates)


def test_the_voxel_size_is_passed_on_where_the_file_lacks_it(job: Job) -> None:
    (segment,) = stages(job, 1)
    assert segment.parameters["voxel-size-nm"] == "40,8,8"
    (segment,) = stages(replace(job, record=replace(job.record, voxel_size_is_stated=True)), 1)
    assert "voxel-size-nm" not in segment.parameters


@pytest.mark.parametrize("key", [None, "zssr"])
def test_what_is_done_to_grey_values_is_told_the_part_that_segments(job: Job, key: str | None) -> None:
    asked = replace(job, record=replace(job.record, intensity="match"))
    *first, last = stages(treated(asked, key) if key else asked, 1)
    assert last.parameters["intensity"] == "match"
    assert not any("intensity" in part.parameters for part in first)
    assert "intensity" not in stages(job, 1)[-1].parameters


@pytest.mark.parametrize("key", [None, "zssr", "resample"])
def test_only_the_part_that_reads_the_users_file_is_confined(job: Job, key: str | None) -> None:
    first, *others = stages(treated(job, key) if key else job, 1)
    assert first.parameters["input-is"] == "untrusted"
    assert not any("input-is" in other.parameters for other in others)


def test_what_is_segmented_is_what_the_treatment_made(job: Job) -> None:
    boost, segment = stages(treated(job, "zssr"), 2)
    assert boost.parameters["settings"] == "{factor: 2, workers: 2}"
    assert segment.parameters["input"] == str(job.folder / "boosted/boosted.zarr/zssr/volume")
    assert "voxel-size-nm" not in segment.parameters
    (segment,) = stages(treated(job, "resample"), 2)  # which resamples by itself
    assert segment.parameters["input"] == job.input


def node(name: str, kind: str, phase: str, template: str = "infer", **facts: object) -> Node:
    parent = name.rpartition("(")[0] or "w"
    made = Node(name, kind, template, phase, parent=parent if kind == POD else "w", started_at=10.0)
    for key, value in facts.items():
        setattr(made, key, value)
    return made


STAGE = Stage("segment", Path("run"), {"prepare": "Reading", "infer": "Segmenting", "finish": "Counting"}, {})


def test_telling_objects_apart_is_a_step_once_it_has_begun() -> None:
    stage = replace(STAGE, steps={**STAGE.steps, SEPARATING: "Telling objects apart"})
    before = {"w": node("w", DAG, RUNNING, "segment"), "i": node("i", POD, RUNNING)}
    skipped = {"s": node("s", SKIPPED, SKIPPED, "separate")}
    assert SEPARATING not in [step.name.rpartition(".")[2] for step in progress(stage, {**before, **skipped}, 20.0)]
    begun = {**before, "c": node("c", POD, RUNNING, SEPARATING)}
    assert progress(stage, begun, 20.0)[-1].label == "Telling objects apart"


def test_progress_counts_pieces_of_all_workers_and_the_last_tries() -> None:
    nodes = [
        node("w", DAG, RUNNING, "segment"),
        node("w.prepare", RETRY, SUCCEEDED, "prepare", finished_at=12.0),
        node("w.prepare(0)", POD, SUCCEEDED, "prepare", finished_at=12.0),
        node("w.infer", TASK_GROUP, RUNNING),
        node("w.infer(0:0)", RETRY, RUNNING),
        node("w.infer(0:0)(0)", POD, FAILED, progress="4/5", finished_at=20.0),
        node("w.infer(0:0)(1)", POD, RUNNING, progress="1/5"),
        node("w.infer(1:1)", RETRY, SUCCEEDED, finished_at=25.0),
        node("w.infer(1:1)(0)", POD, SUCCEEDED, progress="2/3", finished_at=25.0),
    ]
    assert progress(STAGE, {each.name: each for each in nodes}, now=30.0) == (
        Step("segment.prepare", "Reading", "done", 0, 0, 2.0),
        Step("segment.infer", "Segmenting", "running", 4, 8, 20.0),
        Step("segment.finish", "Counting"),
    )


def test_a_step_that_waits_for_its_turn_waits() -> None:
    waiting = node("w.infer", RETRY, PENDING, started_at=None)
    assert progress(STAGE, {"w.infer": waiting}, now=30.0)[1].state == "waiting"


@pytest.mark.parametrize(
    ("log", "facts", "reason"),
    [
        ("Traceback\nvemseg: {0}/upload/stack.tif: is broken; export it", {}, "stack.tif: is broken; export it"),
        ("reading {0}/run\nKilled", {"exit_code": 137}, "It needed more memory"),
        ("Traceback\nKeyError: 'x'", {"message": "main: Error (exit code 1)"}, "vemseg itself (main: Error"),
        ("", {}, "vemseg itself (it says no more)"),
    ],
)
def test_the_reason_is_the_one_that_the_step_gave(
    log: str, facts: dict[str, object], reason: str, tmp_path: Path
) -> None:
    failed = node("w.infer(0)", POD, FAILED, finished_at=20.0, **facts)
    state = StateDirectory(tmp_path / "run/workflow", 0)
    state.log(failed.name).parent.mkdir(parents=True)
    state.log(failed.name).write_text(log.format(tmp_path))
    told, tail = reason_of({failed.name: failed}, state, ["the runner's last line"], tmp_path)
    assert reason in told
    assert str(tmp_path) not in told + "".join(tail)


def test_one_that_failed_before_any_step_is_explained_by_its_runner(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "run/workflow", 0)
    told, tail = reason_of({}, state, ["running", "vemseg: a parameter is wrong"], tmp_path)
    assert (told, tail[-1]) == ("a parameter is wrong", "vemseg: a parameter is wrong")


def test_names_of_voxel_sizes_keep_their_digits(job: Job) -> None:
    odd = (100 / 3, VOXEL_SIZE_NM[1] / 7, 1e-3)
    (segment,) = stages(replace(job, record=replace(job.record, voxel_size_nm=odd)), 1)
    assert [float(edge) for edge in segment.parameters["voxel-size-nm"].split(",")] == pytest.approx(odd, rel=1e-8)


@pytest.mark.parametrize(("done", "seconds", "left"), [(4, 20.0, 24.0), (0, 20.0, None), (6, 60.0, 24.0)])
def test_the_time_left_is_that_of_the_pieces_and_of_what_comes_after(
    done: int, seconds: float, left: float | None
) -> None:
    steps = [
        Step("segment.prepare", READING, "done", 1, 1, 2.0),
        Step("segment.infer", "Segmenting", "running", done, 8, seconds),
        Step("segment.finish", FINISHING),
    ]
    assert seconds_left(steps) == left
    assert seconds_left([*steps[:1], Step("segment.infer", "Segmenting"), steps[2]]) is None
