"""What a job runs: the workflows one after the other, with their parameters; before them, maybe, a command."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from pathlib import Path

from pipeline.steps.resample import RESAMPLED
from pipeline.volume.sources.base import VoxelSize
from pipeline.webapp.fitting import RESAMPLE, Treatment
from pipeline.webapp.jobs import Job

SEGMENT_STEPS = {"prepare": "Reading the volume", "infer": "Segmenting", "finish": "Making pictures and counts"}
BOOST_STEPS = {"prepare": "Reading the volume", "train": "Learning from it", "apply": "Making it finer"}
RESAMPLE_STEPS = {"resample": "Resampling the volume"}


@dataclass(frozen=True)
class Stage:
    """One part of a job: a workflow, or (`command` is not empty) a command of vemseg, which runs on this machine.

    name: of the workflow's file below ``workflows/`` without its ending, and on a cluster of its template after
    ``vemseg-``. run: where it works. parameters: of the workflow. steps: its templates that users see, with words.
    """

    name: str
    run: Path
    steps: dict[str, str]
    parameters: dict[str, str]
    command: tuple[str, ...] = ()


def stages(job: Job, workers: int) -> tuple[Stage, ...]:
    """The parts of a job in their order, each with so many processes at once; the last one segments."""
    treatment = job.record.treatment
    if treatment is None:
        return (_segment(job, job.input, workers, _size(job)),)
    if treatment.key == RESAMPLE:
        first = _resample(job, treatment)
        return first, _segment(job, str(first.run / RESAMPLED), workers, {})
    first = _boost(job, treatment, workers)
    return first, _segment(job, str(first.run / "boosted.zarr" / treatment.key / "volume"), workers, {})


def _segment(job: Job, volume: str, workers: int, size: dict[str, str]) -> Stage:
    parameters = {"model": job.record.model_url, "input": volume, "run": str(job.run), "workers": str(workers), **size}
    return Stage("segment", job.run, SEGMENT_STEPS, parameters)


def _boost(job: Job, treatment: Treatment, workers: int) -> Stage:
    run = job.folder / "boosted"
    settings = f"{{factor: {_factor(job.record.voxel_size_nm, treatment):g}, workers: {workers}}}"
    parameters = {"input": job.input, "run": str(run), "method": treatment.key, "settings": settings, **_size(job)}
    learns = treatment.key == "zssr"
    return Stage("boost", run, {k: v for k, v in BOOST_STEPS.items() if learns or k != "train"}, parameters)


def _factor(size_nm: VoxelSize, treatment: Treatment) -> float:
    """By how much x and y become finer."""
    (_, y, x), (_, finer_y, finer_x) = size_nm, treatment.voxel_size_nm
    return sqrt(y / finer_y * x / finer_x)


def _resample(job: Job, treatment: Treatment) -> Stage:
    run = job.folder / "resampled"
    words = [f"--input={job.input}", f"--output={run}", f"--to-nm={_in_words(treatment.voxel_size_nm)}"]
    words += [f"--{name}={value}" for name, value in _size(job).items()]
    return Stage("resample", run, RESAMPLE_STEPS, {}, ("resample", *words))


def _size(job: Job) -> dict[str, str]:
    """The voxel size as a parameter, where the volume itself does not state it."""
    return {} if job.record.voxel_size_is_stated else {"voxel-size-nm": _in_words(job.record.voxel_size_nm)}


def _in_words(size_nm: VoxelSize) -> str:
    return ",".join(f"{edge:.9g}" for edge in size_nm)
