"""Jobs: a folder each, and all that is known of a job is in it, so that a server may end and begin again at any time.

    <data>/jobs/<id>/
      job.json        what was asked for, and its state; written by `create`, later by the worker alone
      progress.json   how far its steps are; the worker's too
      cancel          there once its owner has asked to end it
      upload/         the user's file, and what was unpacked from it
      run/            the run of the segmentation, as `vemseg run workflows/segment.yaml` leaves it
      boosted/        the run that made the volume finer before, where that was asked for; resampled/ likewise
      downloads/      files made of the result when they were first asked for
      tmp/            what its processes need for a while

Ids are random and say nothing; a job of somebody else is as good as none.
"""

from __future__ import annotations

import math
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from pipeline.errors import InputError
from pipeline.volume.geometry import Zyx
from pipeline.volume.sources.base import VoxelSize
from pipeline.webapp.catalogue import ModelCard
from pipeline.webapp.fitting import Treatment
from pipeline.webapp.intake import UNPACKED, Found
from pipeline.webapp.records import is_id, read_record, write_record
from pipeline.webapp.settings import Settings
from pipeline.webapp.steps import Step
from pipeline.webapp.uploads import Upload

RECORD, PROGRESS, CANCEL = "job.json", "progress.json", "cancel"
UPLOAD, SCRATCH = "upload", "tmp"
State = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED: tuple[State, ...] = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class Record:
    """What ``job.json`` holds. Times are seconds since 1970.

    name: of the volume, as the user calls it. input: where it lies; relative to the job's folder if it was uploaded.
    voxel_size_nm: z, y, x; by the file itself where voxel_size_is_stated, else by the user.
    treatment: what is done to the volume first, or None. stage and handle: what runs, and how its executor knows it.
    tries: how often the stage was begun. message: why it is in its state. log_tail: the last that a failed step said.
    """

    owner: str
    name: str
    input: str
    shape_zyx: Zyx
    voxel_size_nm: VoxelSize
    voxel_size_is_stated: bool
    model_url: str
    model_name: str
    target: str
    treatment: Treatment | None
    created_at: float
    state: State = "queued"
    started_at: float | None = None
    ended_at: float | None = None
    stage: int = 0
    tries: int = 0
    handle: dict[str, Any] | None = None
    message: str = ""
    log_tail: tuple[str, ...] = ()

    @classmethod
    def parse(cls, content: dict[str, Any]) -> Record:
        """The record of a JSON object."""
        asked = content["treatment"]
        treatment = asked and Treatment(**{**asked, "voxel_size_nm": tuple(asked["voxel_size_nm"])})
        tuples = {name: tuple(content[name]) for name in ("shape_zyx", "voxel_size_nm", "log_tail")}
        return cls(**{**content, **tuples, "treatment": treatment})


@dataclass(frozen=True)
class Job:
    """A job as it is now. queue_position: how many wait before it, for one that waits itself."""

    id: str
    folder: Path
    record: Record
    cancel_requested: bool = False
    steps: tuple[Step, ...] = ()
    queue_position: int | None = None

    @property
    def owner(self) -> str:
        return self.record.owner

    @property
    def name(self) -> str:
        """What the volume is called."""
        return self.record.name

    @property
    def state(self) -> State:
        """One that waits is cancelled at once; one that runs, when its processes have ended."""
        waits = self.record.state == "queued"
        return "cancelled" if waits and self.cancel_requested else self.record.state

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    @property
    def message(self) -> str:
        if self.cancel_requested and self.state == "running":
            return "Ending: the steps at work are told to stop."
        return self.record.message

    @property
    def run(self) -> Path:
        """Where the segmentation is."""
        return self.folder / "run"

    @property
    def downloads(self) -> Path:
        """Where files made of the result are kept."""
        return self.folder / "downloads"

    @property
    def input(self) -> str:
        """Where the volume lies."""
        place = self.record.input
        return place if "://" in place else str(self.folder / place)


class JobStore:
    """The jobs of a data folder: making them, reading them, asking for their end. Any process may use it."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._folder = settings, settings.jobs_folder
        self._ended: dict[str, Job] = {}  # they change no more

    def create(
        self,
        owner: str,
        found: Found,
        model: ModelCard,
        *,
        voxel_size_nm: VoxelSize | None = None,
        treatment: Treatment | None = None,
        upload: Upload | None = None,
    ) -> Job:
        """Put a job at the end of the queue; the folder of its upload becomes part of it.

        voxel_size_nm: where the file does not state it; what the file states counts.
        Raises InputError when it is stated nowhere, or when the owner has too many jobs waiting.
        """
        size_nm = found.voxel_size_nm or voxel_size_nm
        if size_nm is None or not all(math.isfinite(edge) and edge > 0 for edge in size_nm):
            raise InputError(f"{found.name} does not state its voxel size; enter it in nanometres, each above 0")
        self._refuse_long_queue(owner)
        job_id = f"{time.strftime('%Y%m%d', time.gmtime())}-{secrets.token_hex(8)}"
        record = Record(
            owner=owner,
            name=found.name,
            input=_input(found, upload),
            shape_zyx=found.shape_zyx,
            voxel_size_nm=size_nm,
            voxel_size_is_stated=found.voxel_size_nm is not None,
            model_url=model.url,
            model_name=model.name,
            target=model.target,
            treatment=treatment,
            created_at=time.time(),
        )
        staged = self._folder / f".{job_id}"
        staged.mkdir(parents=True)
        if upload is not None:
            _take(upload, staged / UPLOAD)
        write_record(staged / RECORD, asdict(record))
        staged.rename(self._folder / job_id)  # who sees the folder sees all of it
        return self.get(owner, job_id)

    def get(self, owner: str, job_id: str) -> Job:
        """A job. Raises InputError when this owner has none of this id."""
        job = self.read(self._folder / job_id) if is_id(job_id) else None
        if job is None or job.owner != owner:
            raise InputError("there is no such job (any more)")
        if job.state != "queued":
            return job
        waiting = [each.id for each in self.queue()]
        return replace(job, queue_position=waiting.index(job.id) if job.id in waiting else 0)

    def history(self, owner: str) -> list[Job]:
        """All jobs of an owner, the latest first."""
        waiting = {job.id: position for position, job in enumerate(self.queue())}
        mine = (job for job in self.all() if job.owner == owner)
        return [replace(job, queue_position=waiting.get(job.id)) for job in reversed(list(mine))]

    def cancel(self, owner: str, job_id: str) -> Job:
        """Ask for the end of a job; one that has ended stays as it is."""
        job = self.get(owner, job_id)
        if not job.has_ended:
            (job.folder / CANCEL).touch()
        return self.get(owner, job_id)

    def delete(self, owner: str, job_id: str) -> None:
        """Remove a job that has ended, with all its files. Raises InputError while it runs."""
        job = self.get(owner, job_id)
        if not job.has_ended:
            raise InputError(f"{job.name} is being segmented; cancel it first")
        self.remove(job)

    def remove(self, job: Job) -> None:
        """Remove a job's folder: it is gone at once, whatever comes between."""
        gone = self._folder / f".gone-{job.id}"
        job.folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def all(self) -> list[Job]:
        """Every job, in the order in which they came."""
        jobs = (self.read(folder) for folder in self._folders())
        return sorted((job for job in jobs if job), key=lambda job: (job.record.created_at, job.id))

    def queue(self) -> list[Job]:
        """The jobs that wait, the next one first."""
        return [job for job in self.all() if job.state == "queued"]

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        states = [job.state for job in self.all()]
        return {state: states.count(state) for state in get_args(State)}

    def read(self, folder: Path) -> Job | None:
        """The job in a folder, as `read_job`; those that have ended are remembered."""
        if folder.name in self._ended and folder.is_dir():
            return self._ended[folder.name]
        job = read_job(folder)
        if job is None:
            self._ended.pop(folder.name, None)
        elif job.record.ended_at is not None:
            self._ended[job.id] = job
        return job

    def write(self, job: Job, **changes: Any) -> Job:
        """Change the record of a job; for the worker alone."""
        changed = replace(job, record=replace(job.record, **changes))
        write_record(job.folder / RECORD, asdict(changed.record))
        return changed

    def write_steps(self, job: Job, steps: Sequence[Step]) -> Job:
        """Tell how far a job is; for the worker alone."""
        if tuple(steps) != job.steps:
            write_record(job.folder / PROGRESS, {"steps": [asdict(step) for step in steps]})
        return replace(job, steps=tuple(steps))

    def _folders(self) -> Iterator[Path]:
        if self._folder.is_dir():
            yield from (entry for entry in self._folder.iterdir() if is_id(entry.name))

    def _refuse_long_queue(self, owner: str) -> None:
        waiting = sum(job.owner == owner for job in self.queue())
        if waiting >= self._settings.waiting_per_owner:
            raise InputError(f"{waiting} of your jobs are waiting already; cancel some, or come back later")


def _take(upload: Upload, place: Path) -> None:
    """Move an upload's folder. Raises InputError when another job has taken it, as after a double click."""
    try:
        upload.folder.rename(place)
    except FileNotFoundError as error:
        place.parent.rmdir()
        raise InputError(f"{upload.name} is being segmented already; see your jobs") from error
    if (place / UNPACKED).exists():
        (place / upload.name).unlink()  # the archive, of which the content is what is read


def _input(found: Found, upload: Upload | None) -> str:
    """The place of the volume, relative to the job's folder where it was uploaded."""
    if upload is None:
        return found.location
    return str(UPLOAD / Path(found.location).relative_to(upload.folder))


def read_job(folder: Path) -> Job | None:
    """The job in a folder; None where there is none."""
    content = read_record(folder / RECORD)
    if content is None:
        return None
    steps = (read_record(folder / PROGRESS) or {}).get("steps", ())
    return Job(
        id=folder.name,
        folder=folder,
        record=Record.parse(content),
        cancel_requested=(folder / CANCEL).exists(),
        steps=tuple(Step(**step) for step in steps),
    )
