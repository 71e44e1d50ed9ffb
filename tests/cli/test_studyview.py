"""What is shown while a study runs: plain words, no line twice, no word of Argo's; and why a step failed."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.argo.directory import StateDirectory
from pipeline.argo.nodes import FAILED, OMITTED, PENDING, POD, RETRY, RUNNING, SKIPPED, SKIPPED_TYPE, SUCCEEDED, Node
from pipeline.cli.studyview import StepView, StudyLines, StudyTable, steps_of
from pipeline.run.foresight import expectation

ARGO = re.compile(r"vemseg-study|Running|Succeeded|Skipped|semaphore|lock|\(0\)|when ")


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    directory = StateDirectory(tmp_path, 0)
    (tmp_path / "logs").mkdir()
    return directory


def pod(name: str, template: str, phase: str, **facts: object) -> Node:
    now = time.time()
    facts = {"started_at": None if phase == PENDING else now - 12, **facts}
    if phase in (SUCCEEDED, FAILED):
        facts.setdefault("finished_at", now)
    return Node(f"vemseg-study.{name}", POD, template, phase, parent=f"vemseg-study.{name[:-3]}", **facts)  # type: ignore[arg-type]


def study(**train: object) -> dict[str, Node]:
    """A study in its training: read, one network at work, another waiting."""
    nodes = [
        Node("vemseg-study.plan", RETRY, "plan", SUCCEEDED),
        pod("plan(0)", "plan", SUCCEEDED),
        Node("vemseg-study.augment", SKIPPED_TYPE, "augment", SKIPPED, message="Skipped, empty params"),
        pod("target(0:multilabel).train(0)", "train", RUNNING, **train),
        pod(
            "target(1:mito).train(0)", "train", PENDING, message="Waiting for vemseg-gpus/slots lock. Lock status: 0/2"
        ),
        Node("vemseg-study.degrade", SKIPPED_TYPE, "degrade", OMITTED, message="when 'false == true' evaluated false"),
        pod("onExit(0)", "summary", PENDING),
    ]
    return {node.name: node for node in nodes}


def lines(view: StudyLines) -> list[str]:
    file = view.console.file
    assert isinstance(file, io.StringIO)
    return [line[9:] for line in file.getvalue().splitlines()]


def test_an_event_is_one_line_in_plain_words(state: StateDirectory) -> None:
    view = StudyLines(Console(file=io.StringIO(), width=200))
    beginning = {"p": pod("plan(0)", "plan", RUNNING)}
    view.show(beginning, state)
    for _ in range(3):
        view.show(study(), state)
    ended = study()
    ended["vemseg-study.target(0:multilabel).train(0)"].phase = SUCCEEDED
    view.end(ended, state)
    assert lines(view) == [
        "reading the captures",
        "Captures read, 12 s",
        "training all classes",
        "All classes trained, 12 s",
    ]


def test_the_table_shows_how_far_a_training_is(state: StateDirectory) -> None:
    nodes = study(progress="40/120")
    training = nodes["vemseg-study.target(0:multilabel).train(0)"]
    state.log(training.name).write_text("train multilabel: step 30: validation macro F1 0.712, loss 0.4\nx\n")
    console = Console(file=io.StringIO(), width=160, height=30, force_terminal=True)
    view = StudyTable(console)
    console.print(view.table(nodes, state, 20))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "40 of 120, F1 .712 so far" in shown
    assert "waits for" in shown
    assert not ARGO.search(shown)


def test_nothing_is_foretold_once_a_step_has_failed(state: StateDirectory) -> None:
    nodes = study(progress="40/120")
    state.log("vemseg-study.plan(0)").write_text(f"plan: {expectation({('train', 'multilabel'): 99.0})}\n")
    training = nodes["vemseg-study.target(0:multilabel).train(0)"]
    for phase in (RUNNING, FAILED):
        training.phase = phase
        nodes[str(training.parent)] = Node(str(training.parent), RETRY, "train", phase)
        console = Console(file=io.StringIO(), width=160, height=30, force_terminal=True)
        console.print(StudyTable(console).table(nodes, state, 20))
        shown = console.file.getvalue()  # type: ignore[attr-defined]
        assert ("left in all" in shown) == (phase == RUNNING)


def test_lines_foretell_nothing_either_once_a_step_has_failed(
    state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.cli.studyview.SECONDS_BETWEEN_LINES", 0.0)
    nodes = study(progress="40/120")
    expected = {("train", "multilabel"): 99.0, ("train", "mito"): 99.0}
    state.log("vemseg-study.plan(0)").write_text(f"plan: {expectation(expected)}\n")
    for phase in (RUNNING, FAILED):
        other = pod("target(1:mito).train(0)", "train", phase)
        around = Node(str(other.parent), RETRY, "train", phase)
        view = StudyLines(Console(file=io.StringIO(), width=200))
        view.show(nodes | {other.name: other, around.name: around}, state)
        progress = [line for line in lines(view) if "40 of 120" in line]
        assert len(progress) == 1
        assert ("left in all" in progress[0]) == (phase == RUNNING)


def test_a_step_that_a_cluster_has_made_no_pod_for_waits(state: StateDirectory) -> None:
    """Argo makes none before its semaphore has a place; and what a pod is made ready by is no reason to wait."""
    held = Node("vemseg-study.target(1:mito).train", RETRY, "train", PENDING, parent="vemseg-study.target(1:mito)")
    held.message = "Waiting for lab/ConfigMap/vemseg-gpus/slots lock. Lock status: 0/3"
    nodes = [
        pod("target(0:multilabel).infer(0:0)(0)", "infer", SUCCEEDED),
        pod("target(0:multilabel).infer(1:1)(0)", "infer", PENDING, message="PodInitializing"),
        held,
    ]
    console = Console(file=io.StringIO(), width=160, height=30, force_terminal=True)
    console.print(StudyTable(console).table({node.name: node for node in nodes}, state, 20))
    shown = [" ".join(re.sub(r"\x1b\[[0-9;]*m", "", line).split()) for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert shown == ["◷ predicting all classes starts", "◷ training mito waits for a free place"]


def test_a_failure_on_a_cluster_is_told_in_the_words_of_the_step(state: StateDirectory) -> None:
    failed = pod("plan(0)", "plan", FAILED, message="main: Error (exit code 2)")
    state.log(failed.name).write_text("vemseg: /data/none.yaml: there is no configuration here\nError: exit status 2\n")
    view = StudyLines(Console(file=io.StringIO(), width=200))
    view.end({failed.name: failed}, state)
    assert "exit status" not in "".join(view.console.file.getvalue())  # type: ignore[attr-defined]


def test_telling_objects_apart_is_done_with_its_last_phase() -> None:
    def step(*phases: tuple[str, str]) -> StepView:
        pods = [pod(f"separate.{name}(0)", "separate-phase", phase) for name, phase in phases]
        (found,) = steps_of({each.name: each for each in pods})
        return found

    between = step(("cores(0:0)", SUCCEEDED), ("cores(1:1)", SUCCEEDED), ("join-cores", SUCCEEDED))
    assert (between.is_done, between.is_running, between.progress) == (False, True, (2, 6))
    whole = [(name, SUCCEEDED) for name in ("cores(0:0)", "join-cores", "grow(0:0)", "join-objects", "number(0:0)")]
    assert step(*whole, ("measure(0:0)", RUNNING)).progress == (5, 6)
    assert step(*whole, ("measure(0:0)", SUCCEEDED)).is_done


def test_steps_have_the_names_by_which_they_are_expected() -> None:
    names = {
        "infer-boosted(1:learns:true,method:zssr).infer(0:0)(0)": ("infer", ("infer", "zssr")),
        "boost(1:learns:true,method:zssr).train(0)": ("boost-train", ("boost-train", "zssr")),
        "target(0:multilabel).infer-group(0:first:0)(0)": ("infer-group", ("infer", "multilabel")),
        "infer-together(0:multilabel,mito).infer(0:0)(0)": ("infer", ("infer", "multilabel,mito")),
    }
    for name, (template, key) in names.items():
        (step,) = steps_of({name: pod(name, template, RUNNING)})
        assert step.key == key
        assert "method" not in step.doing


def test_workers_and_tries_count_together() -> None:
    workers = [
        pod("target(0:multilabel).infer(0:0)(0)", "infer", FAILED, message="main: Error (exit code 75)"),
        pod("target(0:multilabel).infer(0:0)(1)", "infer", RUNNING, progress="1/4"),
        pod("target(0:multilabel).infer(1:1)(0)", "infer", SUCCEEDED, progress="3/3"),
        pod("infer-boosted(2:learns:true,method:zssr).infer(0:0)(0)", "infer", RUNNING, progress="2/3"),
    ]
    native, boosted = steps_of({node.name: node for node in workers})
    assert (native.progress, native.is_done, native.doing) == ((4, 7), False, "predicting all classes")
    assert (boosted.progress, boosted.doing) == ((2, 3), "predicting zssr")


def test_a_segmentation_predicts_the_volume() -> None:
    (step,) = steps_of({"i": pod("infer(0:0)(0)", "infer", RUNNING)})
    assert (step.doing, step.done_words) == ("predicting the volume", "The volume predicted")


@pytest.mark.parametrize(("progress", "count"), [("", ""), ("0/1", ""), ("3/8", "3 of 8")])
def test_a_step_of_one_part_is_not_counted(progress: str, count: str) -> None:
    (step,) = steps_of({"e": pod("evaluate(0)", "evaluate", RUNNING, progress=progress)})
    assert step.count == count


def test_targets_that_are_predicted_together_are_one_step() -> None:
    nodes = {
        name: pod(f"infer-together(0:multilabel,mito).infer({name})(0)", "infer", RUNNING) for name in ("0:0", "1:1")
    }
    (step,) = steps_of(nodes)
    assert (step.doing, step.key) == ("predicting all classes and 1 more", ("infer", "multilabel,mito"))


@pytest.mark.parametrize("told", [True, False])
def test_a_failure_is_told_once_with_its_reason(told: bool, state: StateDirectory) -> None:
    nodes = study()
    failed = nodes["vemseg-study.target(0:multilabel).train(0)"]
    failed.phase, failed.finished_at, failed.message = FAILED, time.time(), "main: Error (exit code 2)"
    nodes[str(failed.parent)] = Node(str(failed.parent), RETRY, "train", FAILED)
    last = "vemseg: classes: no voxel; correct its ids" if told else "Killed"
    state.log(failed.name).write_text(f"train: 1/8\n{last}\n")
    view = StudyLines(Console(file=io.StringIO(), width=200))
    view.show(nodes, state)
    view.end(nodes, state)
    text = "\n".join(lines(view))
    assert text.count("training all classes failed") == 1
    file = view.console.file
    assert isinstance(file, io.StringIO)
    assert ("  classes: no voxel; correct its ids" in file.getvalue()) == told
    assert ("log: " in file.getvalue()) != told
