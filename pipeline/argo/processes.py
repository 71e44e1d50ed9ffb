"""A container as a process of this machine: its paths, its environment, its start and its end."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from pipeline.argo import templating
from pipeline.argo.directory import StateDirectory, file_name
from pipeline.argo.engine import Pod
from pipeline.argo.forks import Fork, Forks, Order
from pipeline.argo.model import Container, Volume, Workflow
from pipeline.argo.templating import parameter_scope

NOT_STARTED = 64  # the exit code of Argo's executor where it cannot start the command
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
ESCAPED_VARIABLE = "VEMSEG_ARGUMENTS"  # `percent`: what is no tag in an argument is written as in a URL; see `cli.main`
_RESULT_BYTES = 256 * 1024  # Argo keeps the end of what a pod prints
_HASHED_BYTES = 16 * 1024 * 1024  # larger files count by size and time

Process = subprocess.Popen[bytes] | Fork


class NotStartedError(Exception):
    """There is no such command, or this machine cannot run it; a pod would have failed with `NOT_STARTED`."""


def mapped(text: str, directories: Mapping[str, str], own_paths: Iterable[str] = ()) -> str:
    """Replace each mount path of a container, wherever a path begins with it, by its directory here.

    A laptop has no mounts. `/data/run`, `--run=/data/run`, `file:///data/run` and `cat </data/x` all change;
    `s3://data/run`, `/other/data` and `/database` do not. `own_paths` are paths of this machine, which stay.
    """
    if not directories:
        return text
    places = {**{path: path for path in own_paths}, **directories}
    paths = "|".join(re.escape(path) for path in sorted(places, key=len, reverse=True))
    begins, ends = r"(?:(?<![\w.~$}/-])|(?<=file://))", r"(?![\w.-])"
    return re.sub(f"{begins}({paths}){ends}", lambda match: places[match[1]], text)


def expanded(text: str, environment: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by the variable of the container, where it has one, and `$$` by `$`, as the kubelet does."""

    def replacement(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else environment.get(match[1], match[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", replacement, text)


def _variables(container: Container) -> tuple[dict[str, str], dict[str, str]]:
    """The variables that the file gives a container, and these with those that come from the caller's environment."""
    own: dict[str, str] = {}
    known: dict[str, str] = {}
    for name, value in container.env:
        if value is not None:
            own[name] = known[name] = expanded(value, known)
        elif name in os.environ:
            known[name] = os.environ[name]
    return own, known


@dataclass(frozen=True)
class Command:
    """What a pod runs here. `own_directory` is removed with the pod; `result` receives what it prints, if read."""

    directories: tuple[Path, ...]  # of its volumes
    argv: tuple[str, ...]
    environment: dict[str, str]
    working_dir: str | None
    outputs: dict[str, tuple[Path, str | None]]  # name -> file and default
    own_directory: Path
    log: Path
    progress: Path
    result: Path | None


def workflow_volumes(workflow: Workflow, values: Mapping[str, str]) -> tuple[Volume, ...]:
    """The volumes of all pods, their claims named by the workflow's parameters."""
    return templating.fill(workflow.volumes, parameter_scope(values))


@dataclass(frozen=True)
class Places:
    """Where volumes are on this machine: `volumes` maps claims to directories, others lie in the state directory.

    Paths among the `given` parameters are those of this machine, unless they lie in a claim that is mapped.
    """

    state: StateDirectory
    volumes: Mapping[str, Path]
    workflow_volumes: tuple[Volume, ...]
    given: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        workflow: Workflow,
        values: Mapping[str, str],
        state: StateDirectory,
        volumes: Mapping[str, str | Path],
        given: Mapping[str, str],
    ) -> Places:
        """The places of a run: `values` of all parameters, those `given` by hand, directories of claims."""
        directories = {claim: Path(path) for claim, path in volumes.items()}
        return cls(state, directories, workflow_volumes(workflow, values), tuple(given.values()))

    def command(self, pod: Pod) -> Command:
        """Work out the process for a pod, without making anything."""
        container = pod.template.container
        assert container is not None
        own = self.state.path / "pods" / file_name(pod.name)
        volumes = {v.name: v for v in (*self.workflow_volumes, *pod.template.volumes)}
        mounts = {m.path.rstrip("/"): self._directory(volumes[m.volume], own) / m.sub_path for m in container.mounts}
        directories = {path: str(directory) for path, directory in mounts.items()}
        own_paths = self._own_paths(container, volumes)
        outputs = {
            output.name: (Path(mapped(output.path or "", directories)), output.default)
            for output in pod.template.outputs
        }
        own_variables, all_variables = _variables(container)
        words = [expanded(word, all_variables) for word in (*container.command, *container.args)]
        if own_variables.pop(ESCAPED_VARIABLE, "") == "percent":
            words = [unquote(word) for word in words]
        return Command(
            directories=tuple(mounts.values()),
            argv=tuple(mapped(word, directories, own_paths) for word in words),
            environment={name: mapped(value, directories, own_paths) for name, value in own_variables.items()},
            working_dir=None if container.working_dir is None else mapped(container.working_dir, directories),
            outputs=outputs,
            own_directory=own,
            log=self.state.log(pod.name),
            progress=self.state.path / "progress" / file_name(pod.name),
            result=self.state.path / "logs" / f"{file_name(pod.name)}.out" if pod.wants_result else None,
        )

    def _own_paths(self, container: Container, volumes: Mapping[str, Volume]) -> list[str]:
        """The given paths that only look as if they lay in a mount."""
        mounts = [m.path.rstrip("/") for m in container.mounts if volumes[m.volume].claim in self.volumes]
        paths = [Path(value.removeprefix("file://")) for value in self.given if value.startswith(("/", "file://"))]
        return [str(path) for path in paths if not any(path.is_relative_to(mount) for mount in mounts)]

    def _directory(self, volume: Volume, own: Path) -> Path:
        if volume.claim is None:
            return own / volume.name
        return self.volumes.get(volume.claim, self.state.path / "volumes" / file_name(volume.claim)).absolute()


def prepare(command: Command) -> None:
    """Make the directories that the pod expects; what a former try left in its own ones goes."""
    shutil.rmtree(command.own_directory, ignore_errors=True)
    for directory in command.directories:
        directory.mkdir(parents=True, exist_ok=True)
    command.progress.unlink(missing_ok=True)


def digest(pod: Pod, places: Places) -> str:
    """A digest of what the node's result depends on: command, environment, inputs, files named, what ran before."""
    command = places.command(replace(pod, name=pod.node, template=pod.node_template))
    inputs = {parameter.name: parameter.value for parameter in pod.template.inputs}
    outputs = {name: [str(path), default] for name, (path, default) in command.outputs.items()}
    content = [command.argv, command.environment, command.working_dir, inputs, outputs, pod.upstream]
    files = [_fingerprint(word.rpartition("=")[2]) for word in command.argv[1:]]
    return hashlib.sha256(json.dumps([*content, files], sort_keys=True).encode()).hexdigest()


def _fingerprint(word: str) -> str:
    """What is in the file that a word of the command names; empty for all other words."""
    try:
        path = Path(word.removeprefix("file://"))
        if not path.is_file():
            return ""
        status = path.stat()
        if status.st_size > _HASHED_BYTES:
            return f"{status.st_size} {status.st_mtime_ns}"
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, ValueError):  # too long for a path, not readable
        return ""


def start(command: Command, threads: int, lock_fd: int, forks: Forks) -> Process:
    """Start the process as leader of a session of its own; `NotStartedError` where its command cannot be found.

    Programs beside this Python come first, so that `vemseg` is the one of this environment; that one is forked, where
    it can be. The process inherits the runner's lock: see `directory`. It computes with so many threads, unless the
    environment says with how many.
    """
    beside = str(Path(sys.executable).parent)
    # Who gives one of them means all: torch 2.13 goes by MKL_NUM_THREADS, whatever OMP_NUM_THREADS says.
    given = next(filter(None, map(os.environ.get, THREAD_VARIABLES)), str(threads))
    environment = dict.fromkeys(THREAD_VARIABLES, given)
    environment |= {"PYTHONUNBUFFERED": "1", **os.environ, "ARGO_PROGRESS_FILE": str(command.progress)}
    environment["PATH"] = os.pathsep.join([beside, os.environ.get("PATH", os.defpath)])
    environment |= command.environment
    program = shutil.which(command.argv[0], path=environment["PATH"])
    if program is None:
        raise NotStartedError(f"failed to find {command.argv[0]} in PATH")
    words = command.argv[1:]
    for file in filter(None, (command.log, command.result)):
        file.write_bytes(b"")
    # Both append: else what is written to one stream would lie on top of what the other one wrote to the same file.
    with command.log.open("ab") as log, (command.result or command.log).open("ab") as out:
        try:
            directory = command.working_dir or str(Path.cwd())
            order = Order(words, environment, directory, out.fileno(), log.fileno(), lock_fd)
            return forks.start(program, order) or subprocess.Popen(
                [program, *words],
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                start_new_session=True,
                pass_fds=(lock_fd,) if os.name == "posix" else (),
            )
        except OSError as error:
            raise NotStartedError(f"cannot start {command.argv[0]}: {error}") from error


def send(process: Process, number: signal.Signals) -> None:
    """Send a signal to a process and all that it started."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, number)
        elif isinstance(process, subprocess.Popen):
            process.terminate()


def outputs(command: Command) -> tuple[dict[str, str], str | None]:
    """Read the output parameters and the printed result; the error text names the first file that is missing."""
    values = {}
    missing = None
    for name, (path, default) in command.outputs.items():
        try:
            values[name] = path.read_text(encoding="utf-8").removesuffix("\n")
        except (OSError, UnicodeDecodeError) as error:
            if default is not None:
                values[name] = default
            else:
                missing = missing or f"output parameter {name!r}: cannot read {path}: {error}"
    return values, missing


def result(command: Command) -> str | None:
    """What the process printed, without its last line break."""
    if command.result is None:
        return None
    printed = command.result.read_bytes().removesuffix(b"\n")
    return printed[-_RESULT_BYTES:].decode("utf-8", errors="replace")
