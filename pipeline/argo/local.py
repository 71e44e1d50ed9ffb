"""Running a workflow on this machine: each container is a process, at most `jobs` of them at once.

    workflow = load("workflows/study.yaml")
    result = run(workflow, {"run": "runs/first"}, state_dir="runs/first/.workflow", jobs=2)

The runner keeps its state in `state_dir`. Ctrl-C (or SIGTERM) passes SIGTERM on to the processes and waits for their
checkpoints; a second one kills them. The exit handler runs when the run has ended, not when it was interrupted.

The same call later, also after a crash, goes on: a node that succeeded is not run again as long as its command,
environment, inputs and the files that its command names are the same and nothing before it has run anew. A run that
had succeeded as a whole starts from the beginning.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import string
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from pipeline.argo import processes, resolution, templating
from pipeline.argo.directory import KILL, Saved, StateDirectory, log_file
from pipeline.argo.engine import Engine, Pod
from pipeline.argo.forks import CAN_FORK, Forks
from pipeline.argo.model import Workflow
from pipeline.argo.nodes import ERROR, FAILED, STOPPED, SUCCEEDED, Node, Outcome
from pipeline.argo.processes import Command, NotStartedError, Places, Process, workflow_volumes
from pipeline.argo.templating import TemplateError, parameter_scope
from pipeline.argo.view import Silent, View
from pipeline.errors import WorkflowError

_TICK_SECONDS = 0.03
_PROGRESS_SECONDS = 0.5
_WORKFLOW_TOO_LONG = "Step exceeded its deadline"
_POD_TOO_LONG = "Pod was active on the node longer than the specified deadline"


@dataclass(frozen=True)
class Result(Outcome):
    """How a run on this machine ended."""

    state_dir: Path

    def log(self, node_name: str) -> Path:
        """The log of a node; there is none for a node that never ran."""
        return log_file(self.state_dir, node_name)


def settled_parameters(
    workflow: Workflow, given: Mapping[str, str], config_maps: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The value of every workflow parameter; `WorkflowError` for one unknown, missing or not among its choices."""
    resolution.check_parameters(workflow.spec, given, workflow.where.file)
    values = resolution.parameter_values(workflow.spec, given, config_maps or {})
    for parameter in workflow.parameters:
        if parameter.name not in values:
            raise WorkflowError(f"{parameter.where}: parameter {parameter.name!r} has no default; give it a value")
    return values


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    workflow: Workflow,
    parameters: Mapping[str, str] | None = None,
    *,
    state_dir: str | Path,
    jobs: int | None = None,
    volumes: Mapping[str, str | Path] | None = None,
    semaphores: Mapping[str, int] | None = None,
    config_maps: Mapping[str, str] | None = None,
    view: View | None = None,
    fresh: bool = False,
    is_whole: Callable[[], bool] = lambda: True,
    grace_seconds: float = 60.0,
    forking: bool = CAN_FORK,
) -> Result:
    """Run a workflow to its end and return how it ended.

    `parameters` override those of the file. `jobs` (default: as many as cores) processes run at once, each with its
    share of the cores as threads. `volumes` maps claim names to directories, `semaphores` gives the places of
    `configmap/key` (default: as many as `jobs`), `config_maps` the values of `configmap/key`. `fresh` forgets what was
    done before; `is_whole` says whether the results of an earlier, unfinished run are still what they were: if not, no
    node is taken for done because it was. `forking` says whether steps of this `vemseg` are forked (see `forks`).
    Raises `WorkflowError` for parameters that do not fit and `RunConflictError` while another run uses `state_dir`.
    """
    values = settled_parameters(workflow, parameters or {}, config_maps)
    _check_names(workflow, values, volumes or {}, semaphores or {})
    places_of = {**dict.fromkeys(_semaphores(workflow, values), jobs or cores()), **(semaphores or {})}
    with StateDirectory(Path(state_dir), grace_seconds) as state:
        earlier = None if fresh else state.read()
        if earlier is not None and (earlier.phase == SUCCEEDED or not _is_name_of(workflow, earlier.name)):
            earlier = None
        if earlier is not None and not is_whole():
            earlier = None
        places = Places.of(workflow, values, state, volumes or {}, parameters or {})
        forks = Forks(state.forks_log, forking)
        runner = _Runner(state, places, earlier, jobs or cores(), view or Silent(), grace_seconds, forks)
        name = earlier.name if earlier else workflow.name or workflow.generate_name + _suffix()
        engine = Engine(
            workflow,
            values,
            name=name,
            uid=earlier.uid if earlier else str(uuid.uuid4()),
            config_maps=config_maps,
            semaphores=places_of,
            recall=runner.recall,
        )
        return runner.run(engine)


def _check_names(
    workflow: Workflow, values: Mapping[str, str], volumes: Mapping[str, object], semaphores: Mapping[str, int]
) -> None:
    """Refuse a volume or semaphore that the workflow does not have: a typing error would go unseen."""
    filled = templating.fill(tuple(workflow.templates.values()), parameter_scope(values))
    every = [*workflow_volumes(workflow, values), *(volume for template in filled for volume in template.volumes)]
    claims = {volume.claim for volume in every if volume.claim is not None}
    for what, given, known in (
        ("claim", set(volumes), claims),
        ("semaphore", set(semaphores), _semaphores(workflow, values)),
    ):
        if given - known and not any(templating.tags(tuple(known))):
            there = ", ".join(sorted(known)) or "none"
            raise WorkflowError(f"{workflow.where.file} has no {what} {min(given - known)!r}; it has {there}")


def _semaphores(workflow: Workflow, values: Mapping[str, str]) -> set[str]:
    filled = templating.fill(tuple(workflow.templates.values()), parameter_scope(values))
    return {lock for template in filled for lock in template.locks if not lock.startswith("mutex ")}


def _is_name_of(workflow: Workflow, name: str) -> bool:
    return name == workflow.name or (not workflow.name and name.startswith(workflow.generate_name))


def _suffix() -> str:
    return "".join(random.choices(string.ascii_lowercase + string.digits, k=5))


@dataclass
class _Process:
    """A pod at work. `verdict` is set when the runner itself ends it; `kill_at` is when patience ends."""

    pod: Pod
    command: Command
    popen: Process
    deadlines: list[tuple[float, str]]
    verdict: str = ""
    kill_at: float | None = None


class _Runner:
    """The loop: start what is ready, look after what runs, tell the engine what ended."""

    def __init__(
        self,
        state: StateDirectory,
        places: Places,
        earlier: Saved | None,
        jobs: int,
        view: View,
        grace: float,
        forks: Forks,
    ) -> None:
        self.state, self.places, self.view, self.forks = state, places, view, forks
        self.earlier = earlier.nodes if earlier else {}
        self.jobs, self.grace_seconds = jobs, grace
        self.threads = max(1, cores() // jobs)
        self.waiting: deque[Pod] = deque()
        self.running: dict[str, _Process] = {}
        self.stops = 0  # how often the user asked to stop
        self.saved_changes = -1
        self.progress_at = 0.0

    def recall(self, pod: Pod) -> Node | None:
        """The node of an earlier run that did the same as `pod` would do now."""
        node = self.earlier.get(pod.node)
        if node is None or node.phase != SUCCEEDED:
            return None
        return node if node.digest == processes.digest(pod, self.places) else None

    def run(self, engine: Engine) -> Result:
        self.engine = engine
        with self._signals_counted(), self.view:
            try:
                self._loop()
            finally:
                self._kill_all()
                self.forks.end()
                self._save()
            result = Result(engine.phase, engine.message, engine.nodes, self.stops > 0, self.state.path)
            self.view.end(engine.nodes, self.state)
        return result

    def _loop(self) -> None:
        while True:
            self._look_after()
            if self.stops == 0:
                self.waiting.extend(self.engine.advance())
                self._save()  # before anything starts that builds on what has just ended
                self._start_waiting()
            self._save()
            self.view.show(self.engine.nodes, self.state)
            if not self.running and (self.stops or self.engine.finished_at_all):
                return
            if not self.running and not self.waiting and self.engine.is_stuck:
                raise WorkflowError(f"{self.engine.name}: nothing can go on; nodes wait for locks of each other")
            time.sleep(_TICK_SECONDS)

    def _start_waiting(self) -> None:
        for _ in range(len(self.waiting)):
            pod = self.waiting.popleft()
            try:
                if not self._ended_while_waiting(pod):
                    if len(self.running) < self.jobs:
                        self._start(pod)
                    else:
                        self.waiting.append(pod)
            except NotStartedError as error:
                code = processes.NOT_STARTED
                self.engine.finished(pod.name, FAILED, f"main: Error (exit code {code}): {error}", exit_code=code)
            except TemplateError as error:
                self.engine.finished(pod.name, ERROR, str(error))

    def _ended_while_waiting(self, pod: Pod) -> bool:
        """End a pod whose time is up before it began; its own time being up is an error to Argo, not a failure."""
        now, timeout = time.time(), self._timeout(pod)
        if self.engine.deadline is not None and now >= self.engine.deadline and not pod.outlives_deadline:
            self.engine.finished(pod.name, FAILED, _WORKFLOW_TOO_LONG)
        elif timeout is not None and now >= timeout:
            self.engine.finished(pod.name, ERROR, f"{pod.name} exceeded its deadline")
        else:
            return False
        return True

    def _start(self, pod: Pod) -> None:
        command = self.places.command(pod)
        processes.prepare(command)
        node = self.engine.nodes[pod.name]
        node.digest, node.run_id = processes.digest(pod, self.places), uuid.uuid4().hex[:16]
        deadlines = self._deadlines(pod, time.time())
        popen = processes.start(command, self.threads, self.state.lock_fd, self.forks)
        self.running[pod.name] = _Process(pod, command, popen, deadlines)
        self.engine.started(pod.name)

    def _timeout(self, pod: Pod) -> float | None:
        """When the time that a pod has from its making on is up, in seconds since 1970."""
        if pod.template.timeout is None:
            return None
        return self.engine.nodes[pod.name].created_at + templating.seconds(pod.template.timeout, "timeout")

    def _deadlines(self, pod: Pod, started_at: float) -> list[tuple[float, str]]:
        """When a pod that runs must have ended (seconds since 1970), and the message for one that has not."""
        found = []
        if self.engine.deadline is not None and not pod.outlives_deadline:
            found.append((self.engine.deadline, _WORKFLOW_TOO_LONG))
        timeout, active = self._timeout(pod), pod.template.active_deadline_seconds
        if timeout is not None:
            found.append((timeout, _POD_TOO_LONG))
        if active is not None:
            found.append((started_at + templating.whole_number(active, "activeDeadlineSeconds"), _POD_TOO_LONG))
        return sorted(found)

    def _look_after(self) -> None:
        now = time.time()
        for process in list(self.running.values()):
            code = process.popen.poll()
            if code is not None:
                self._ended(process, code if code >= 0 else 128 - code)
                continue
            due = [why for at, why in process.deadlines if now >= at]
            if (due or self.stops) and process.kill_at is None:
                process.verdict = due[0] if due else ""
                process.kill_at = now + self.grace_seconds
                processes.send(process.popen, signal.SIGTERM)
            if process.kill_at is not None and (now >= process.kill_at or self.stops > 1):
                processes.send(process.popen, KILL)
        if now >= self.progress_at:
            self.progress_at = now + _PROGRESS_SECONDS
            for process in self.running.values():
                self._read_progress(process)

    def _ended(self, process: _Process, code: int) -> None:
        processes.send(process.popen, KILL)  # as a container takes all that it started with it
        self._read_progress(process)
        del self.running[process.pod.name]
        outputs, missing = processes.outputs(process.command)
        if process.verdict:
            phase, message = FAILED, process.verdict
        elif code != 0:
            reason = STOPPED if self.stops else "main: Error"
            phase, message = FAILED, f"{reason} (exit code {code})"
        else:
            phase, message = (SUCCEEDED, "") if missing is None else (ERROR, missing)
        result = processes.result(process.command)
        self.engine.finished(process.pod.name, phase, message, exit_code=code, outputs=outputs, result=result)
        shutil.rmtree(process.command.own_directory, ignore_errors=True)

    def _read_progress(self, process: _Process) -> None:
        node = self.engine.nodes[process.pod.name]
        try:
            done, _, total = process.command.progress.read_text().strip().partition("/")
            if done.isdigit() and total.isdigit():
                node.progress = f"{int(done)}/{int(total)}"
        except (OSError, UnicodeDecodeError):
            return

    def _save(self) -> None:
        if self.saved_changes != self.engine.changes:
            self.saved_changes = self.engine.changes
            nodes = self.engine.nodes
            if not self.engine.finished_at_all:
                nodes = {**self.earlier, **nodes}  # a run that is killed early forgets nothing
            self.state.write(Saved(self.engine.name, self.engine.uid, self.engine.phase, nodes))

    def _kill_all(self) -> None:
        """Leave no process behind, whatever went wrong."""
        for process in self.running.values():
            processes.send(process.popen, KILL)
            process.popen.wait()

    @contextmanager
    def _signals_counted(self) -> Iterator[None]:
        """Count requests to stop instead of dying of them (only the main thread may do so)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def count(_number: int, _frame: FrameType | None) -> None:
            self.stops += 1

        # One that is ignored, as under nohup, stays so.
        numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        before = {n: signal.signal(n, count) for n in numbers if signal.getsignal(n) != signal.SIG_IGN}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
