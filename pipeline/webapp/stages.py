"""What a job runs: the workflows one after the other, with their parameters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.webapp.fitting import Treatment
from pipeline.webapp.jobs import Job

SEGMENT_STEPS = {"prepare": "Reading the volume", "infer": "Segmenting", "finish": "Making pictures and counts"}
BOOST_STEPS = {"prepare": "Reading the volume", "train": "Learning from it", "apply": "Making it finer"}


@dataclass(frozen=True)
class Stage:
    """One workflow of a job. template: its name on a cluster; file: below ``workflows/``; run: where it works.

    steps: its templates that users see, with words for them.
    """

    template: str
    file: str
    run: Path
    parameters: dict[str, str]
    steps: dict[str, str]


def stages(job: Job, workers: int) -> tuple[Stage, ...]:
    """The workflows of a job in their order, each with so many processes at once; the last one segments."""
    if job.record.treatment is None:
        return (_segment(job, job.input, workers, _size(job)),)
    boost = _boost(job, job.record.treatment, workers)
    finer = boost.run / "boosted.zarr" / job.record.treatment.key / "volume"
    return boost, _segment(job, str(finer), workers, {})


def _segment(job: Job, volume: str, workers: int, size: dict[str, str]) -> Stage:
    parameters = {"model": job.record.model_url, "input": volume, "run": str(job.run), "workers": str(workers), **size}
    return Stage("vemseg-segment", "segment.yaml", job.run, parameters, SEGMENT_STEPS)


def _boost(job: Job, treatment: Treatment, workers: int) -> Stage:
    run = job.folder / "boosted"
    settings = f"{{factor: {treatment.factor:g}, workers: {workers}}}"
    parameters = {"input": job.input, "run": str(run), "method": treatment.key, "settings": settings, **_size(job)}
    learns = treatment.key == "zssr"
    steps = {name: label for name, label in BOOST_STEPS.items() if learns or name != "train"}
    return Stage("vemseg-boost", "boost.yaml", run, parameters, steps)


def _size(job: Job) -> dict[str, str]:
    """The voxel size as a parameter, where the volume itself does not state it."""
    if job.record.voxel_size_is_stated:
        return {}
    return {"voxel-size-nm": ",".join(f"{edge:g}" for edge in job.record.voxel_size_nm)}
