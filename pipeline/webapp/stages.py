"""What a job runs, the workflows one after the other, with their parameters; and how far it is, as its user sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

from pipeline.argo.nodes import POD, RETRY, SUCCEEDED, Node
from pipeline.nn.zssr.methods import METHODS
from pipeline.run.foresight import steady_seconds_left
from pipeline.volume.geometry import ZyxNm
from pipeline.webapp.catalogue import RESAMPLE, Treatment
from pipeline.webapp.jobs import Job, Step, StepState

READING, FINISHING = "Reading the volume", "Making pictures and counts"
LEAST_FINISHING_S = 4.0
SEPARATING = "separate-phase"
SEGMENT_STEPS = {"prepare": READING, "infer": "Segmenting", SEPARATING: "Telling objects apart", "finish": FINISHING}
BOOST_STEPS = {"prepare": READING, "train": "Learning from it", "apply": "Making it finer"}


@dataclass(frozen=True)
class Stage:
    """One part of a job: a workflow.

    name: of the workflow's file below ``workflows/`` without its ending, and on a cluster of its template after
    ``vemseg-``. run: where it works. parameters: of the workflow. steps: its templates that users see, with words.
    """

    name: str
    run: Path
    steps: dict[str, str]
    parameters: dict[str, str]


def stages(job: Job, workers: int) -> tuple[Stage, ...]:
    """The parts of a job in their order, each with so many processes at once; the last one segments."""
    treatment = job.record.treatment
    if treatment is None or treatment.key == RESAMPLE:  # resampling is part of it
        return (_segment(job, job.input, workers, _given(job)),)
    first = _boost(job, treatment, workers)
    return first, _segment(job, str(first.run / "boosted.zarr" / treatment.key / "volume"), workers, {})


def _segment(job: Job, volume: str, workers: int, given: dict[str, str]) -> Stage:
    parameters = {"model": job.record.model_url, "input": volume, "run": str(job.run), "workers": str(workers), **given}
    if job.record.intensity:
        parameters["intensity"] = job.record.intensity
    return Stage("segment", job.run, SEGMENT_STEPS, parameters)


def _boost(job: Job, treatment: Treatment, workers: int) -> Stage:
    run = job.folder / "boosted"
    settings = f"{{factor: {_factor(job.record.voxel_size_nm, treatment):g}, workers: {workers}}}"
    parameters = {"input": job.input, "run": str(run), "method": treatment.key, "settings": settings, **_given(job)}
    learns = METHODS[treatment.key].learns
    return Stage("boost", run, {k: v for k, v in BOOST_STEPS.items() if learns or k != "train"}, parameters)


def _factor(size_nm: ZyxNm, treatment: Treatment) -> float:
    """By how much x and y become finer."""
    (_, y, x), (_, finer_y, finer_x) = size_nm, treatment.voxel_size_nm
    return sqrt(y / finer_y * x / finer_x)


def _given(job: Job) -> dict[str, str]:
    """What is to be known of the user's volume: that it is a stranger's, and the voxel size that it does not state."""
    size = {} if job.record.voxel_size_is_stated else {"voxel-size-nm": _in_words(job.record.voxel_size_nm)}
    return {"input-is": "untrusted", **size}


def _in_words(size_nm: ZyxNm) -> str:
    return ",".join(f"{edge:.9g}" for edge in size_nm)


def progress(stage: Stage, nodes: Mapping[str, Node], now: float) -> tuple[Step, ...]:
    """The steps of a stage as they are by the nodes of its workflow at a time (seconds since 1970).

    Few models tell objects apart: of that nothing is said before it begins.
    """
    begun = {node.template for node in nodes.values() if node.type in (RETRY, POD)}
    steps = [
        (template, label) for template, label in stage.steps.items() if template in begun or template != SEPARATING
    ]
    return tuple(_step(f"{stage.name}.{template}", template, label, nodes, now) for template, label in steps)


def step_seconds_left(step: Step) -> float | None:
    """Of a step that is at work; None where it is not known, or the step is not at work."""
    if step.state != "running" or step.seconds is None or not step.total:
        return None
    return steady_seconds_left(step.seconds, step.done, step.total)


def seconds_left(steps: Sequence[Step]) -> float | None:
    """Of all steps; None where one that is to come cannot be foreseen. The last takes about as long as the reading."""
    left, read_s = 0.0, next((step.seconds or 0.0 for step in steps if step.label == READING), 0.0)
    for step in steps:
        if step.state == "running":
            at_work = step_seconds_left(step)
            if at_work is None:
                return None
            left += at_work
        elif step.state == "waiting":
            if step.label != FINISHING:
                return None
            left += max(LEAST_FINISHING_S, read_s)
    return left


def _step(name: str, template: str, label: str, nodes: Mapping[str, Node], now: float) -> Step:
    tries = {node.parent: node for node in nodes.values() if node.type == POD}  # the last of each node
    items = [node for node in nodes.values() if node.template == template and _is_item(node, nodes)]
    if not items:
        return Step(name, label)
    counted = [_count(tries.get(node.name, node), node.phase == SUCCEEDED) for node in items]
    return Step(
        name,
        label,
        _state(items),
        sum(done for done, _ in counted),
        sum(total for _, total in counted),
        _seconds(items, now),
    )


def _is_item(node: Node, nodes: Mapping[str, Node]) -> bool:
    """Whether it is a piece of work, and not one of its tries."""
    around = nodes.get(node.parent or "")
    return node.type == RETRY or (node.type == POD and (around is None or around.type != RETRY))


def _state(items: list[Node]) -> StepState:
    if any(node.failed for node in items):
        return "failed"
    if all(node.fulfilled for node in items):
        return "done"
    return "running" if any(node.started_at or node.fulfilled for node in items) else "waiting"


def _count(node: Node, has_succeeded: bool) -> tuple[int, int]:
    done, _, total = node.progress.partition("/")
    if not total.isdigit():
        return (0, 0)
    return (int(total) if has_succeeded else int(done), int(total))


def _seconds(items: list[Node], now: float) -> float | None:
    started = [node.started_at for node in items if node.started_at is not None]
    if not started:
        return None
    ended = [node.finished_at for node in items]
    return max(now if end is None else end for end in ended) - min(started)
