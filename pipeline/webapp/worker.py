"""Working off the queue: one thread in the server begins jobs in the order in which they came, and looks after them.

Everything that it decides is written down before it goes on, so that it may be killed at any moment: the next one,
in another process, takes over what still runs and begins again what does not. A lock on the data folder keeps two
servers from working off one queue.
"""

from __future__ import annotations

import fcntl
import logging
import shutil
import threading
import time
from collections.abc import Callable
from typing import IO

from pipeline.errors import InputError, VemsegError
from pipeline.webapp.executors import Executor, Handle, Look, executor_of
from pipeline.webapp.executors.reasons import without_folder
from pipeline.webapp.jobs import SCRATCH, Job, JobStore, State
from pipeline.webapp.metrics import JOBS_ENDED, QUEUE_SECONDS
from pipeline.webapp.settings import Settings
from pipeline.webapp.stages import Stage, stages
from pipeline.webapp.steps import Step, progress
from pipeline.webapp.upkeep import Upkeep

TICK_SECONDS = 0.5
UPKEEP_SECONDS = 600.0
PATIENCE_SECONDS = 15.0
"""After which a job that was asked to end is ended."""
TRIES = 3
"""How often a stage is begun that ends without an end of its own."""
logger = logging.getLogger(__name__)


class Worker:
    """Works off the queue of a data folder; `start` and `stop` it, or `tick` it by hand."""

    def __init__(self, settings: Settings, executor: Executor | None = None) -> None:
        self._settings = settings
        self._store = JobStore(settings)
        self._executor = executor or executor_of(settings)
        self._upkeep = Upkeep(settings, self._store)
        self._stopping: dict[str, float] = {}
        self._quit = threading.Event()
        self._thread: threading.Thread | None = None
        self._next_upkeep = 0.0

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
        jobs = self._store.all()
        for job in jobs:
            if job.record.state == "running":
                self._guarded(self._look_after, job)
        room = self._settings.jobs_at_once - sum(job.record.state == "running" for job in self._store.all())
        for job in jobs:
            if job.record.state != "queued":
                continue
            if job.cancel_requested:
                self._guarded(self._end_before_it_began, job)
            elif room > 0:
                room -= 1
                self._guarded(self._begin, job)
        if time.monotonic() >= self._next_upkeep:
            self._next_upkeep = time.monotonic() + UPKEEP_SECONDS
            self._upkeep.tidy(time.time())

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
                    logger.exception("the queue stumbled")
                self._quit.wait(TICK_SECONDS)

    def _locked(self, lock: IO[str]) -> bool:
        while not self._quit.is_set():
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
        if job.cancel_requested:
            self._ask_to_end(job, stage, handle)
        look = self._executor.look(job, stage, handle)
        if job.record.message:  # of a trouble that is over
            job = self._store.write(job, message="")
        job = self._store.write_steps(job, self._steps(job, look))
        if look.verdict != "running":
            self._go_on(job, look)

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
        elif job.cancel_requested:
            self._executor.stop(job, self._stage(job), job.record.handle or {}, at_once=True)
            self._end(job, "cancelled", "Cancelled.")
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
        now = time.time()
        self._store.write(job, state=state, ended_at=now, message=message, log_tail=log_tail, handle=None)
        shutil.rmtree(job.folder / SCRATCH, ignore_errors=True)
        JOBS_ENDED.labels(state).inc()

    def _guarded(self, act: Callable[[Job], None], job: Job) -> None:
        """What cannot be mended ends the job; what may pass by itself is told, and tried again at the next tick."""
        try:
            act(job)
        except FileNotFoundError:
            if job.folder.exists():
                raise
            # Its owner has deleted it meanwhile.
        except InputError as error:
            self._end(job, "failed", without_folder(str(error), job.folder))
        except VemsegError as error:
            current = self._store.read(job.folder) or job
            if current.record.message != str(error):
                self._store.write(current, message=str(error), tries=job.record.tries)

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
