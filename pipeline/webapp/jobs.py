"""Jobs: what is known of each is in the database, its files are in a folder; a server may end at any time.

    <data>/jobs/<id>/
      upload/         the user's file, or what was unpacked from it
      run/            the run of the segmentation, as `vemseg run segment` leaves it
      boosted/        the run that made the volume finer before, where that was asked for; resampled/ likewise
      downloads/      files made of the result when they were first asked for
      tmp/            what its processes need for a while

Ids are random and say nothing. To a user, a job of somebody else does not exist. A record that cannot be read hides its
own job and nothing else.
"""

from __future__ import annotations

import json
import logging
import math
import re
import secrets
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard, get_args

from pydantic import Field, PositiveInt, TypeAdapter

from pipeline.errors import InputError
from pipeline.volume.geometry import ZyxNm
from pipeline.volume.treatments import Treatment as GreyTreatment
from pipeline.webapp.catalogue import ModelCard, Treatment
from pipeline.webapp.database import COLUMNS, Database, Row, private_folder
from pipeline.webapp.intake import UNPACKED, Found
from pipeline.webapp.settings import Settings
from pipeline.webapp.uploads import Upload, is_id

UPLOAD, SCRATCH = "upload", "tmp"
GONE = ".gone-"
State = Literal["queued", "running", "done", "failed", "cancelled"]
StepState = Literal["waiting", "running", "done", "failed"]
ENDED: tuple[State, ...] = ("done", "failed", "cancelled")
Moment = Annotated[float, Field(ge=0, le=1e11)]
"""Seconds since 1970, within what calendars know."""
Count = Annotated[int, Field(ge=0)]
_HARMLESS = re.compile(r"[\w./:@%+=,~ ()#\[\]-]*")
"""What the place of a volume may consist of: nothing that a template, a shell or YAML would read as its own."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """A step of a job: `done` of `total` pieces are done (total 0: it does not say), `seconds` is how long it took.

    name: of its workflow and template, such as segment.infer; label: in words.
    """

    name: str
    label: str
    state: StepState = "waiting"
    done: Count = 0
    total: Count = 0
    seconds: Annotated[float, Field(ge=0, le=1e11)] | None = None


@dataclass(frozen=True)
class Record:
    """What is written down of a job. Times are seconds since 1970.

    address: of the browser, where users are not signed in. name: of the volume, as the user calls it. input: where it
    lies; relative to the job's folder if it was uploaded. voxel_size_nm: z, y, x; by the file itself where
    voxel_size_is_stated, else by the user. treatment: what is done to the volume first, or None; intensity: to its grey
    values. stage and handle: what runs, and how its executor knows it. tries: how often the stage was begun. message:
    why it is in its state. log_tail: the last that a failed step said.
    """

    owner: str
    address: str
    name: str
    input: str
    shape_zyx: tuple[PositiveInt, PositiveInt, PositiveInt]
    voxel_size_nm: ZyxNm
    voxel_size_is_stated: bool
    model_url: str
    model_name: str
    target: str
    treatment: Treatment | None
    created_at: Moment
    state: State = "queued"
    started_at: Moment | None = None
    ended_at: Moment | None = None
    stage: Annotated[int, Field(ge=0, le=1)] = 0
    tries: Count = 0
    handle: dict[str, Any] | None = None
    message: str = ""
    log_tail: tuple[str, ...] = ()
    intensity: GreyTreatment | None = None

    def __post_init__(self) -> None:
        if not is_voxel_size(self.voxel_size_nm):
            raise ValueError(f"the voxel size is {self.voxel_size_nm}")
        if (self.state in ENDED) != (self.ended_at is not None):
            raise ValueError(f"it is {self.state} and has ended at {self.ended_at}")


_RECORD, _STEPS = TypeAdapter(Record), TypeAdapter(tuple[Step, ...])


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

    def __init__(self, settings: Settings, database: Database | None = None) -> None:
        self._settings, self._folder = settings, settings.jobs_folder
        self._database = database or Database(settings.data)
        self._unreadable: set[str] = set()
        private_folder(self._folder)

    def create(
        self,
        owner: str,
        found: Found,
        model: ModelCard,
        *,
        voxel_size_nm: ZyxNm | None = None,
        treatment: Treatment | None = None,
        intensity: GreyTreatment | None = None,
        upload: Upload | None = None,
        address: str = "",
    ) -> Job:
        """Put a job in the queue; the folder of its upload becomes part of it.

        Args:
            owner: Who orders it.
            found: The volume.
            model: With what it is segmented.
            voxel_size_nm: z, y, x where the file does not state it; what the file states counts.
            treatment: What is done to the volume first.
            intensity: What is done to its grey values.
            upload: Where the volume came from, unless its place was named.
            address: Of the browser, where users are not signed in.

        Raises:
            InputError: The voxel size is stated nowhere, too many jobs wait already, or the place of the volume
                contains characters that mean something to a workflow.
        """
        stated_nm = found.voxel_size_nm if is_voxel_size(found.voxel_size_nm) else None
        size_nm = stated_nm or voxel_size_nm
        if not is_voxel_size(size_nm):
            raise InputError(f"{found.name} does not state its voxel size; enter it in nanometres, each above 0")
        job_id = f"{time.strftime('%Y%m%d', time.gmtime())}-{secrets.token_hex(8)}"
        record = Record(
            owner=owner,
            address=address,
            name=found.name,
            input=_input(found, upload),
            shape_zyx=found.shape_zyx,
            voxel_size_nm=size_nm,
            voxel_size_is_stated=stated_nm is not None,
            model_url=model.url,
            model_name=model.name,
            target=model.target,
            treatment=treatment,
            intensity=intensity,
            created_at=time.time(),
        )
        folder = self._folder / job_id
        with self._database.writing() as execute:
            self._refuse_long_queue(owner, address)
            folder.mkdir(mode=0o700)
            if upload is not None:
                _take(upload, folder / UPLOAD)
                execute("DELETE FROM uploads WHERE id = ?", (upload.id,))
            values = {**_values(record), "id": job_id, "cancel_requested": 0, "size_bytes": 0, "steps": "[]"}
            execute(f"INSERT INTO jobs ({','.join(values)}) VALUES ({','.join('?' * len(values))})", [*values.values()])
        return self.get(owner, job_id)

    def get(self, owner: str, job_id: str) -> Job:
        """A job. Raises InputError when this owner has none of this id."""
        job = self.find(job_id)
        if job is None or job.owner != owner:
            raise InputError("there is no such job (any more)")
        return self._with_position([job])[0]

    def find(self, job_id: str) -> Job | None:
        """A job of whomever; None where there is none that can be read."""
        return next(iter(self._jobs("WHERE id = ?", job_id)), None)

    def history(self, owner: str) -> list[Job]:
        """All jobs of an owner, the latest first."""
        return self._with_position(self._jobs("WHERE owner = ? ORDER BY created_at DESC, id DESC", owner))

    def cancel(self, owner: str, job_id: str) -> Job:
        """Ask for the end of a job; one that has ended stays as it is."""
        if not self.get(owner, job_id).has_ended:
            with self._database.writing() as execute:
                execute("UPDATE jobs SET cancel_requested = 1 WHERE id = ? AND owner = ?", (job_id, owner))
        return self.get(owner, job_id)

    def delete(self, owner: str, job_id: str) -> None:
        """Remove a job that has ended, with all its files. Raises InputError while it runs."""
        job = self.get(owner, job_id)
        if not job.has_ended:
            raise InputError(f"{job.name} is being segmented; cancel it first")
        self.remove(job_id)

    def remove(self, job_id: str) -> None:
        """Remove a job with its folder: it is gone at once, whatever comes between."""
        with self._database.writing() as execute:
            execute("DELETE FROM jobs WHERE id = ?", (job_id,))
        if is_id(job_id) and (self._folder / job_id).exists():
            gone = self._folder / f"{GONE}{job_id}"
            (self._folder / job_id).rename(gone)
            shutil.rmtree(gone, ignore_errors=True)

    def all(self) -> list[Job]:
        """Every job that can be read, in the order in which they came."""
        return self._jobs("ORDER BY created_at, id")

    def at_work(self) -> list[Job]:
        """The jobs that run or wait, in the order in which they came."""
        return self._jobs("WHERE state IN ('queued', 'running') ORDER BY created_at, id")

    def queue(self, at_work: Iterable[Job] | None = None) -> list[Job]:
        """The jobs that wait, the next one first: users take turns, and so do the addresses of those not signed in."""
        jobs = self.at_work() if at_work is None else list(at_work)
        served = {(row["owner"], row["address"]): row["last"] or 0.0 for row in self._database.read(_LAST_BEGUN)}
        running = [job for job in jobs if job.state == "running"]
        waiting = _in_turn([job for job in jobs if job.state == "queued"], running, served, _owner)
        return _in_turn(waiting, running, served, _address)

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        found = {row["state"]: row["jobs"] for row in self._database.read(_COUNTS)}
        return {state: found.get(state, 0) for state in get_args(State)}

    def write(self, job: Job, **changes: Any) -> Job:
        """Change the record of a job; for the worker alone. One that was deleted meanwhile stays so."""
        changed = replace(job, record=replace(job.record, **changes))
        values = _values(changed.record)
        with self._database.writing() as execute:
            assignments = ", ".join(f"{name} = ?" for name in values)
            execute(f"UPDATE jobs SET {assignments} WHERE id = ?", [*values.values(), job.id])
        return changed

    def write_steps(self, job: Job, steps: Sequence[Step]) -> Job:
        """Tell how far a job is; for the worker alone."""
        if tuple(steps) != job.steps:
            content = _json([asdict(step) for step in steps])
            with self._database.writing() as execute:
                execute("UPDATE jobs SET steps = ? WHERE id = ?", (content, job.id))
        return replace(job, steps=tuple(steps))

    def _jobs(self, condition: str, *values: object) -> list[Job]:
        rows = self._database.read(f"SELECT * FROM jobs {condition}", values)
        return [job for row in rows if (job := self._parsed(row))]

    def _parsed(self, row: Row) -> Job | None:
        try:
            return _job(row, self._folder)
        except (ValueError, TypeError, RecursionError) as error:
            if row["id"] not in self._unreadable:
                self._unreadable.add(row["id"])
                logger.warning("job %s is left out, because its record cannot be read: %s", row["id"], error)
            return None

    def _with_position(self, jobs: list[Job]) -> list[Job]:
        if not any(job.state == "queued" for job in jobs):
            return jobs
        positions = {job.id: position for position, job in enumerate(self.queue())}
        return [replace(job, queue_position=positions.get(job.id)) for job in jobs]

    def _refuse_long_queue(self, owner: str, address: str) -> None:
        settings, waiting = self._settings, [job for job in self.at_work() if job.state == "queued"]
        mine = sum(job.owner == owner for job in waiting)
        if mine >= settings.waiting_per_owner:
            raise InputError(f"{mine} of your jobs are waiting already; cancel some, or come back later")
        beside = sum(bool(address) and job.record.address == address for job in waiting)
        if beside >= settings.waiting_per_owner * settings.owners_per_address:
            raise InputError(f"{beside} jobs from your network address are waiting already; come back later")
        if len(waiting) >= settings.waiting_in_all:
            raise InputError(f"{len(waiting)} jobs are waiting already, which is all that are taken; come back later")


_COUNTS = """
SELECT CASE WHEN state = 'queued' AND cancel_requested THEN 'cancelled' ELSE state END AS state, COUNT(*) AS jobs
FROM jobs GROUP BY 1
"""
_LAST_BEGUN = "SELECT owner, address, MAX(started_at) AS last FROM jobs GROUP BY owner, address"


def is_voxel_size(size_nm: ZyxNm | None) -> TypeGuard[ZyxNm]:
    """Whether a size (z, y, x) says something: three finite numbers above 0."""
    return size_nm is not None and len(size_nm) == 3 and all(math.isfinite(edge) and edge > 0 for edge in size_nm)


def _owner(owner: str, address: str) -> str:
    return owner


def _address(owner: str, address: str) -> str:
    return address or owner


def _in_turn(
    waiting: Sequence[Job],
    running: Sequence[Job],
    served: Mapping[tuple[str, str], float],
    group: Callable[[str, str], str],
) -> list[Job]:
    """Jobs so that groups take turns: fewest of the group at work or before it, then longest since it was served."""
    last: dict[str, float] = defaultdict(float)
    for (owner, address), at in served.items():
        last[group(owner, address)] = max(last[group(owner, address)], at)
    ahead = Counter(group(job.owner, job.record.address) for job in running)
    ranked = []
    for number, job in enumerate(waiting):
        name = group(job.owner, job.record.address)
        ranked.append((ahead[name], last[name], number, job))
        ahead[name] += 1
    return [job for *_, job in sorted(ranked, key=lambda each: each[:3])]


def _take(upload: Upload, place: Path) -> None:
    """Move an upload's folder. Raises InputError when another job has taken it, as after a double click."""
    try:
        upload.folder.rename(place)
    except FileNotFoundError as error:
        place.parent.rmdir()
        raise InputError(f"{upload.name} is being segmented already; see your jobs") from error
    if (place / UNPACKED).exists():
        (place / upload.path.name).unlink()  # the archive, of which the content is what is read
    else:
        (place / upload.path.name).rename(place / _volume_name(upload))


def _volume_name(upload: Upload) -> str:
    """What the file is called in its job, whatever its user calls it: this name reaches the workflows."""
    return f"volume{upload.path.suffix.lower()}"


def _input(found: Found, upload: Upload | None) -> str:
    """The place of the volume, relative to the job's folder where it was uploaded."""
    place = found.location
    if upload is not None:
        inside = str(Path(place).relative_to(upload.folder))
        if Path(inside).parts[0] != UNPACKED:
            inside = inside.replace(upload.path.name, _volume_name(upload), 1)
        place = str(UPLOAD / Path(inside))
    if not _HARMLESS.fullmatch(place):
        raise InputError(
            f"{found.name}: the name of the file, its folder or its dataset has characters that are not taken, such as "
            "quotes, $ or {{; rename it to letters, digits, points, dashes and underscores"
        )
    return place


def _values(record: Record) -> dict[str, Any]:
    """The columns that hold a record."""
    content = asdict(record)
    columns = {name: content.pop(name) for name in COLUMNS if name != "id"}
    return {**columns, "record": _json(content)}


def _json(content: object) -> str:
    """As JSON; numbers of NumPy become Python's."""
    return json.dumps(content, default=lambda number: number.item())


def _job(row: Row, folder: Path) -> Job:
    """The job of a row. Raises ValueError, TypeError or RecursionError where it cannot be read."""
    if not is_id(row["id"]):
        raise ValueError("its id is none")
    columns = {name: row[name] for name in COLUMNS if name != "id"}
    record = _RECORD.validate_python({**json.loads(row["record"]), **columns})
    try:
        steps = _STEPS.validate_json(row["steps"])
    except (ValueError, RecursionError):  # of less weight than the job
        steps = ()
    return Job(row["id"], folder / row["id"], record, bool(row["cancel_requested"]), steps)
