"""Steps as forks of one process that has imported what they need: the runner's side; `forkserver` is the other.

A step imports for a second and more before it does anything, and a study has dozens of steps. So the first of them
starts this environment's own `vemseg` as a server (a program whose `main` calls `forkserver.serve`), with that step's
environment; each step of it is a fork, with everything else of its own: session, environment, working directory,
streams, words. What a library read from the environment when it was imported or loaded (threads, memory allocator,
languages) holds for its forks as it is: a step whose variables differ by more than `READ_WHEN_USED` is none of them.

Python's own fork server (multiprocessing) was left: there is one a process and not one a run, it has the runner's
environment and arguments, imports the runner's `__main__` in each child, and tells no more of those whose server died.

Who dies:

* the runner: the server ends; its forks go on until the next runner ends them by the lock, as all processes do;
* the server: nobody learns how its forks end, so that they are killed (as by a signal: SIGKILL), and the next step
  starts a new server; a step that it was about to start has not run, and is started without one;
* a fork: the server tells how.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.argo.directory import KILL
from pipeline.argo.forkserver import CODE, ENDED, LINK_VARIABLE, REFUSED, STARTED

READ_WHEN_USED = ("ARGO_PROGRESS_FILE", "VEMSEG_")
"""How the names of those variables begin that nothing reads before the command is at work."""
CAN_FORK = sys.platform == "linux"
"""Elsewhere there is no fork, or the system's own libraries do not bear it."""
_PATIENCE_SECONDS = 60.0  # for imports; who waits longer had better start a process


class RefusedError(OSError):
    """The server cannot start such a process, nor could anybody."""


class ServerGoneError(Exception):
    """The server ended, or does not answer."""


@dataclass(frozen=True)
class Order:
    """A process to be: the words after the program, its environment and working directory, and open descriptors."""

    words: Sequence[str]
    environment: Mapping[str, str]
    directory: str
    out: int
    errors: int
    lock: int


@dataclass
class Fork:
    """A forked process, with the part of `subprocess.Popen` that the runner uses."""

    pid: int
    server: Server
    life: socket.socket
    """Its other end closes when the process ends, whoever knows of it."""
    returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, or minus the signal that ended it; None while it runs."""
        return self._look(wait=False)

    def wait(self) -> int:
        """Wait for its end."""
        code = self._look(wait=True)
        assert code is not None
        return code

    def _look(self, *, wait: bool) -> int | None:
        if self.returncode is None:
            try:
                self.returncode = self.server.code(self.pid, wait=wait)
            except ServerGoneError:
                self.returncode = self._kill()
            if self.returncode is not None:
                self.life.close()
        return self.returncode

    def _kill(self) -> int:
        """End a process of which nobody would tell how it ends, and see that it is gone before it is run again."""
        if not self._is_over(0.0):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, KILL)
            self._is_over(_PATIENCE_SECONDS)
        return -KILL

    def _is_over(self, seconds: float) -> bool:
        """Whether it ends in this time."""
        self.life.settimeout(seconds)
        with suppress(ConnectionError):
            try:
                self.life.recv(1)
            except (BlockingIOError, TimeoutError):
                return False
        return True


class Server:
    """A program that forks itself."""

    def __init__(self, program: str, environment: Mapping[str, str], log: Path) -> None:
        self.program, self.environment = program, environment
        self.has_forked = False
        self._codes: dict[int, int] = {}
        self._running: set[int] = set()
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, log.open("ab") as errors:
            self._process = subprocess.Popen(
                [program, "steps", "of", str(log.parent)],  # for those who look at the list of processes
                env={**environment, LINK_VARIABLE: str(theirs.fileno())},
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
                pass_fds=(theirs.fileno(),),
            )

    @property
    def is_there(self) -> bool:
        """Whether it has not been found gone."""
        return self._link.fileno() >= 0

    def serves(self, program: str, environment: Mapping[str, str]) -> bool:
        """Whether a fork is what the program would be in this environment."""
        ours, theirs = (
            {name: value for name, value in each.items() if not name.startswith(READ_WHEN_USED)}
            for each in (self.environment, environment)
        )
        return program == self.program and ours == theirs

    def fork(self, order: Order) -> Fork:
        """Start a process. Raises RefusedError, and ServerGoneError where nothing has been started."""
        life, theirs = socket.socketpair()
        try:
            with theirs, os.fdopen(os.memfd_create("order"), "wb") as file:
                content = {
                    "words": list(order.words),
                    "environment": dict(order.environment),
                    "directory": order.directory,
                }
                file.write(json.dumps(content).encode())
                file.flush()
                file.seek(0)
                descriptors = [file.fileno(), order.out, order.errors, order.lock, theirs.fileno()]
                self._link.settimeout(_PATIENCE_SECONDS)
                socket.send_fds(self._link, [b"!"], descriptors)
            pid = self._answer()
            with suppress(ConnectionError):  # it has ended, which the server tells
                life.send(b"!")
        except OSError as error:
            life.close()
            if isinstance(error, RefusedError):
                raise
            self.end()
            raise ServerGoneError from error
        except ServerGoneError:
            life.close()
            raise
        self.has_forked = True
        return Fork(pid, self, life)

    def code(self, pid: int, *, wait: bool) -> int | None:
        """How one of its processes ended; None while it runs. Raises ServerGoneError where this cannot be known."""
        while pid not in self._codes:
            message = self._receive(None if wait else 0.0)
            if message is None:
                return None
            self._note_end(message)
        return self._codes.pop(pid)

    def end(self) -> None:
        """End it; its processes are left alone."""
        self._link.close()
        with suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()

    def _answer(self) -> int:
        """The process that was ordered, which may have ended meanwhile."""
        while True:
            message = self._receive(_PATIENCE_SECONDS)
            if message is None:
                self.end()
                raise ServerGoneError
            if REFUSED in message:
                raise RefusedError(message[REFUSED])
            if STARTED in message:
                self._running.add(message[STARTED])
                return int(message[STARTED])
            if message[ENDED] not in self._running:
                self._note_end(message)
                return int(message[ENDED])
            self._note_end(message)

    def _note_end(self, message: Mapping[str, Any]) -> None:
        self._codes[message[ENDED]] = message[CODE]
        self._running.discard(message[ENDED])

    def _receive(self, seconds: float | None) -> dict[str, Any] | None:
        """The next message; None where none has come in time."""
        try:
            self._link.settimeout(seconds)
            message = self._link.recv(4096)
        except (BlockingIOError, TimeoutError):
            return None
        except OSError:
            message = b""
        if not message:
            self.end()
            raise ServerGoneError
        parsed: dict[str, Any] = json.loads(message)
        return parsed


@dataclass
class Forks:
    """The server of a run, started when it is first of use, and anew once it has died."""

    log: Path
    """Where it writes what it has to say that is no step's."""
    is_wanted: bool = CAN_FORK
    _server: Server | None = field(default=None, init=False)

    def start(self, program: str, order: Order) -> Fork | None:
        """Start the program as a fork; None where it must be started as any program is. Raises RefusedError."""
        if not self.is_wanted or Path(program) != Path(sys.executable).parent / "vemseg":
            return None
        if self._server is not None and not self._server.is_there:
            self.is_wanted, self._server = self._server.has_forked, None
            return self.start(program, order)
        if self._server is None:
            self._server = Server(program, order.environment, self.log)
        if not self._server.serves(program, order.environment):
            return None
        try:
            return self._server.fork(order)
        except ServerGoneError:
            return None

    def end(self) -> None:
        """End the server."""
        if self._server is not None and self._server.is_there:
            self._server.end()
