"""Stages as processes of this machine: ``vemseg run`` in a process group of its own, which outlives the server.

It runs with lower priority and on no more cores than the settings give, so that the pages answer meanwhile.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from pipeline.argo.directory import StateDirectory
from pipeline.argo.local import cores
from pipeline.argo.nodes import ERROR, FAILED, INTERRUPTED, SUCCEEDED
from pipeline.argo.processes import THREAD_VARIABLES
from pipeline.errors import RunConflictError, StorageError
from pipeline.webapp.executors.base import Handle, Look, last_lines, reason_of
from pipeline.webapp.jobs import SCRATCH, Job
from pipeline.webapp.locking import lock_file
from pipeline.webapp.settings import Settings
from pipeline.webapp.stages import Stage

NICENESS = 10
GRACE_SECONDS = 5.0  # for steps whose runner was killed
RETRIES = 3  # of a node: there is but this machine, so that patience is worth little


class LocalExecutor:
    """Runs each stage as ``vemseg run`` does, in the background."""

    def __init__(self, settings: Settings) -> None:
        self.workers = max(1, (settings.cores or cores()) // settings.jobs_at_once)
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, job: Job, stage: Stage) -> Handle:
        state = _state(stage)
        runner = _runner_at_work(state.path)
        if runner is not None:
            return _handle(runner)
        state.path.mkdir(parents=True, exist_ok=True)
        try:
            with _log(stage).open("ab") as log:
                process = subprocess.Popen(
                    self._command(stage),
                    cwd=job.folder,
                    env=self._environment(job),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        except ProcessLookupError:  # it has ended already, which the next look tells
            pass
        except OSError as error:
            raise StorageError(f"the job cannot be started: {error}") from error
        self._children[process.pid] = process
        return _handle(process.pid)

    def look(self, job: Job, stage: Stage, handle: Handle) -> Look:
        code, ended = self._exit_code(handle)
        saved = _state(stage).read()
        nodes = saved.nodes if saved else {}
        if not ended:
            return Look("running", nodes)
        if code == 0 or (code is None and saved is not None and saved.phase == SUCCEEDED):
            return Look("succeeded", nodes)
        if (code is None or code < 0 or code == INTERRUPTED) and (saved is None or saved.phase not in (FAILED, ERROR)):
            return Look("lost", nodes)
        return Look("failed", nodes, *reason_of(nodes, _state(stage), last_lines(_log(stage)), job.folder))

    def stop(self, job: Job, stage: Stage, handle: Handle, *, at_once: bool) -> None:
        _, ended = self._exit_code(handle)
        if not ended:
            with suppress(ProcessLookupError):
                os.killpg(handle["pid"], signal.SIGKILL if at_once else signal.SIGTERM)
        if at_once:
            _end_steps_left_behind(stage)

    def _command(self, stage: Stage) -> list[str]:
        parameters = {**stage.parameters, "retries": str(RETRIES)}
        words = [word for name, value in parameters.items() for word in ("-p", f"{name}={value}")]
        return [sys.executable, "-m", "pipeline", "run", stage.name, "--jobs", str(self.workers), *words]

    def _environment(self, job: Job) -> dict[str, str]:
        """The server's, with each process on one core, and with temporary files that go with the job."""
        scratch = job.folder / SCRATCH
        scratch.mkdir(exist_ok=True)
        return {**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1"), "TMPDIR": str(scratch)}

    def _exit_code(self, handle: Handle) -> tuple[int | None, bool]:
        """The exit code, unknown of a process that another server began, and whether it has ended."""
        child = self._children.get(handle["pid"])
        if child is not None:
            code = child.poll()
            return code, code is not None
        started = _started(handle["pid"])
        return None, started is None or started != handle["started"]


def _state(stage: Stage) -> StateDirectory:
    return StateDirectory(stage.run / "workflow", GRACE_SECONDS)


def _log(stage: Stage) -> Path:
    return stage.run / "workflow" / "runner.log"


def _handle(pid: int) -> Handle:
    return {"pid": pid, "started": _started(pid), "begun": time.time()}


def _started(pid: int) -> str | None:
    """When a process began, in clock ticks since boot: a number is given again, but not at the same time.

    None for one that is no more; field 22 of /proc/<pid>/stat, whose second field may hold spaces (proc(5)).
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _runner_at_work(state_dir: Path) -> int | None:
    """The process that runs a workflow there; None where there is none."""
    try:
        with (state_dir / "lock").open("rb") as lock:
            lock_file(lock, wait=False, shared=True)
            return None
    except BlockingIOError:
        pid = int((state_dir / "lock").read_text() or 0)
        return pid if _started(pid) else None
    except OSError:
        return None


def _end_steps_left_behind(stage: Stage) -> None:
    """A runner that is killed cannot end its steps; who takes its place ends them."""
    with suppress(RunConflictError), _state(stage):
        pass
