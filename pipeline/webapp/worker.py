"""Working off the queue: one thread in the server begins jobs, users taking turns, and looks after them.

Everything that it decides is written down before it goes on, so that it may be killed at any moment: the next one,
in another process, takes over what still runs and begins again what does not. A lock on the data folder keeps two
servers from working off one queue.
"""

from __future__ import annotations

import logging
import math
import shutil
import threading
import time
from collections.abc import Callable
from typing import IO

from pipeline.errors import InputError, VemsegError
from pipeline.webapp.cleanup import Cleanup
from pipeline.webapp.database import Database
from pipeline.webapp.executors import Executor, Handle, Look, executor_of
from pipeline.webapp.executors.base import without_paths
from pipeline.webapp.jobs import SCRATCH, Job, JobStore, State, Step
from pipeline.webapp.locking import lock_file
from pipeline.webapp.monitoring import JOBS_ENDED, QUEUE_SECONDS
from pipeline.webapp.settings import Settings
from pipeline.webapp.stages import Stage, progress, stages

TICK_SECONDS = 0.5
CLEANUP_SECONDS = 600.0
HOUR_SECONDS = 3600.0
PATIENCE_SECONDS = 15.0
"""After which a job that was asked to end is ended."""
TRIES = 3
"""How often a stage is begun that ends without an end of its own."""
logger = logging.getLogger(__name__)


class Worker:
    """Works off the queue of a data folder; `start` and `stop` it, or `tick` it by hand."""

    def __init__(self, settings: Settings, executor: Executor | None = None, database: Database | None = None) -> None:
        self._settings = settings
        database = database or Database(settings.data)
        self._store = JobStore(settings, database)
        self._executor = executor or executor_of(settings)
        self._cleanup = Cleanup(settings, database)
        self._stopping: dict[str, float] = {}
        self._quit = threading.Event()
        self._thread: threading.Thread | None = None
        self._next_cleanup = 0.0

    def start(self) -> None:
        """Work in a thread, as soon as no other process does."""
        self._thread = threading.Thread(target=self._work, name="vemseg-jobs", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; jobs that run go on, and the next worker takes them over."""
        self._quit.set()
        if self._thread is not None:
            self._thread.join()

    def tick(self) -> None:
        """Look after every job once, and begin those for which there is room."""
        jobs = self._store.at_work()
        running = [job for job in jobs if job.state == "running"]
        for job in running:
            self._guarded(self._look_after, job)
        for job in jobs:
            if job.state == "cancelled":
                self._guarded(self._end_before_it_began, job)
        room = self._settings.jobs_at_once - len(running)
        if room > 0 and len(jobs) > len(running):
            for job in self._store.queue(jobs)[:room]:
                self._guarded(self._begin, job)
        if time.monotonic() >= self._next_cleanup:
            self._next_cleanup = time.monotonic() + CLEANUP_SECONDS
            self._cleanup.tidy(time.time())

    def _work(self) -> None:
        self._settings.jobs_folder.mkdir(parents=True, exist_ok=True)
        with (self._settings.data / "worker.lock").open("a") as lock:
            if not self._locked(lock):
                return
            while not self._quit.is_set():
                try:
                    self.tick()
                except Exception:
                    # One bad moment must not leave everybody's jobs unattended.
                    logger.exception("looking after the jobs failed; the next round tries again")
                self._quit.wait(TICK_SECONDS)

    def _locked(self, lock: IO[str]) -> bool:
        while not self._quit.is_set():
            try:
                lock_file(lock, wait=False)
                return True
            except BlockingIOError:
                self._quit.wait(TICK_SECONDS)
        return False

    def _end_before_it_began(self, job: Job) -> None:
        self._end(job, "cancelled", "Cancelled before it began.")

    def _begin(self, job: Job) -> None:
        now = time.time()
        QUEUE_SECONDS.observe(max(0.0, now - job.record.created_at))
        self._start(self._store.write(job, state="running", started_at=now))

    def _start(self, job: Job) -> None:
        """Begin the stage of a job, or go on with it. That it is tried is written down first: a crash counts."""
        job = self._store.write(job, tries=job.record.tries + 1, handle=None, message="")
        handle = self._executor.start(job, self._stage(job))
        self._store.write(job, handle=handle)

    def _look_after(self, job: Job) -> None:
        handle, stage = job.record.handle, self._stage(job)
        if handle is None:
            if job.cancel_requested:
                self._end(job, "cancelled", "Cancelled.")
            else:
                self._start(job)
            return
        if job.cancel_requested or self._is_overdue(job):
            self._ask_to_end(job, stage, handle)
        look = self._executor.look(job, stage, handle)
        if job.record.message:  # of a trouble that is over
            job = self._store.write(job, message="")
        job = self._store.write_steps(job, self._steps(job, look))
        if look.verdict != "running":
            self._go_on(job, look)

    def _is_overdue(self, job: Job) -> bool:
        """Whether others have waited long enough for it to end."""
        return time.time() - (job.record.started_at or math.inf) > self._settings.job_hours * HOUR_SECONDS

    def _ask_to_end(self, job: Job, stage: Stage, handle: Handle) -> None:
        """Ask once, then after some patience do not ask."""
        now = time.monotonic()
        asked = self._stopping.get(job.id)
        if asked is None or now - asked > PATIENCE_SECONDS:
            self._stopping[job.id] = now
            self._executor.stop(job, stage, handle, at_once=asked is not None)

    def _go_on(self, job: Job, look: Look) -> None:
        """A stage has ended, one way or another."""
        is_last = job.record.stage + 1 == len(self._stages(job))
        if look.verdict == "succeeded" and is_last:
            self._end(job, "done", "")
        elif job.cancel_requested or self._is_overdue(job):
            self._executor.stop(job, self._stage(job), job.record.handle or {}, at_once=True)
            if job.cancel_requested:
                self._end(job, "cancelled", "Cancelled.")
            else:
                hours = f"{self._settings.job_hours:g} hours"
                self._end(job, "failed", f"It took longer than the {hours} that a job may take here; cut the volume.")
        elif look.verdict == "succeeded":
            self._start(self._store.write(job, stage=job.record.stage + 1, tries=0, handle=None))
        elif look.verdict == "lost" and job.record.tries < TRIES:
            self._start(job)
        elif look.verdict == "lost":
            self._end(job, "failed", f"It was ended from outside {TRIES} times; the server may lack memory.")
        else:
            self._end(job, "failed", look.reason, look.log_tail)

    def _end(self, job: Job, state: State, message: str, log_tail: tuple[str, ...] = ()) -> None:
        self._stopping.pop(job.id, None)
        message, log_tail = without_paths(message), tuple(map(without_paths, log_tail))
        self._store.write(job, state=state, ended_at=time.time(), message=message, log_tail=log_tail, handle=None)
        shutil.rmtree(job.folder / SCRATCH, ignore_errors=True)
        JOBS_ENDED.labels(state).inc()

    def _guarded(self, act: Callable[[Job], None], job: Job) -> None:
        """What cannot be mended ends the job; what may pass by itself is told, and tried again at the next tick."""
        try:
            act(job)
        except InputError as error:
            self._end(job, "failed", str(error))
        except VemsegError as error:
            current, message = self._store.find(job.id) or job, without_paths(str(error))
            if current.record.message != message:
                self._store.write(current, message=message, tries=job.record.tries)
        except Exception:
            if job.folder.exists():  # else its owner has deleted it meanwhile
                logger.exception("job %s cannot be looked after", job.id)
                self._end(job, "failed", "Something went wrong in vemseg itself; the server's log tells more.")

    def _steps(self, job: Job, look: Look) -> tuple[Step, ...]:
        """Those of earlier stages as they were, this one's as they are, the later ones' to come."""
        now, current = time.time(), job.record.stage
        before = {step.name: step for step in job.steps}
        found: list[Step] = []
        for number, stage in enumerate(self._stages(job)):
            of_stage = progress(stage, look.nodes if number == current else {}, now)
            found += [before.get(step.name, step) for step in of_stage] if number < current else of_stage
        return tuple(found)

    def _stages(self, job: Job) -> tuple[Stage, ...]:
        return stages(job, self._executor.workers)

    def _stage(self, job: Job) -> Stage:
        return self._stages(job)[job.record.stage]
