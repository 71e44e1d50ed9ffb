"""The state directory of a run: what has been done, and who may go on with it.

state.json   every node, rewritten whole at each change
lock         held by the runner and, through the open file that they inherit, by its processes
logs/        one file a node
forks.log    what the server of `forks` has to say, which is nothing
progress/    one file a node, written by its process
pods/        directories that live as long as a pod
volumes/     a directory for each claim that was not mapped elsewhere
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from pipeline.argo.nodes import Node
from pipeline.errors import RunConflictError

fcntl: Any = None  # on Windows, where a lock is not handed on to other processes
with suppress(ImportError):
    import fcntl

_FORMAT = 1
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
"""Windows knows one way to end a process."""


@dataclass(frozen=True)
class Saved:
    """What a run leaves for the next one."""

    name: str
    uid: str
    phase: str
    nodes: dict[str, Node]


def file_name(node_name: str) -> str:
    """A file name for a node: readable, safe in a shell, and unique even where characters had to go."""
    plain = re.sub(r"[^\w.-]+", "_", node_name)[:150]
    return plain if plain == node_name else f"{plain}-{hashlib.sha256(node_name.encode()).hexdigest()[:8]}"


def log_file(state_dir: Path, node_name: str) -> Path:
    """Where a node's log is."""
    return state_dir / "logs" / f"{file_name(node_name)}.log"


class StateDirectory:
    """One runner's hold on a state directory; use it as a context manager.

    Entering ends the processes that a killed runner left behind (SIGTERM, after `grace_seconds` SIGKILL), so that
    no node runs twice at once, and raises `RunConflictError` while another runner is at work.
    """

    def __init__(self, path: Path, grace_seconds: float) -> None:
        self.path, self.grace_seconds = path.absolute(), grace_seconds
        self.lock_fd = -1
        self._without_fcntl = FileLock(self.path / "lock.held")

    def __enter__(self) -> StateDirectory:
        for folder in ("logs", "progress", "pods", "volumes"):
            (self.path / folder).mkdir(parents=True, exist_ok=True)
        self.lock_fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._lock()
        except BaseException:
            os.close(self.lock_fd)
            raise
        os.ftruncate(self.lock_fd, 0)
        os.write(self.lock_fd, str(os.getpid()).encode())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self.lock_fd)
        self._without_fcntl.release()

    def log(self, node_name: str) -> Path:
        return log_file(self.path, node_name)

    @property
    def forks_log(self) -> Path:
        return self.path / "forks.log"

    def last_lines(self, node: Node, count: int) -> list[str]:
        """The last lines of a node's log, from its last 16 kB; none where there is no log."""
        try:
            with self.log(node.name).open("rb") as file:
                file.seek(max(0, file.seek(0, 2) - 16384))
                text = file.read().decode("utf-8", errors="replace")
        except OSError:
            return []
        lines = (line.rstrip() for line in text.replace("\r", "\n").splitlines() if line.strip())
        return list(deque(lines, maxlen=count))

    def place(self, node: Node) -> str:
        """Where the whole log of a node can be read; empty where it has none."""
        log = self.log(node.name)
        return f"log: {log}" if log.exists() else ""

    def read(self) -> Saved | None:
        """The state of the last run here; `None` where there is none that can be read."""
        try:
            content = json.loads((self.path / "state.json").read_text(encoding="utf-8"))
            if content["format"] != _FORMAT:
                return None
            nodes = {fields["name"]: Node(**fields) for fields in content["nodes"]}
            return Saved(content["name"], content["uid"], content["phase"], nodes)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, saved: Saved) -> None:
        """Replace the state in one step: a reader, or a crash, sees the old or the new one."""
        content = {"format": _FORMAT, "name": saved.name, "uid": saved.uid, "phase": saved.phase}
        content |= {"nodes": [asdict(node) for node in saved.nodes.values()]}
        new = self.path / "state.json.new"
        new.write_text(json.dumps(content, indent=1), encoding="utf-8")
        new.replace(self.path / "state.json")

    def _lock(self) -> None:
        if self._try_lock():
            return
        owner = (self.path / "lock").read_text() or "0"
        left = set(self._holders())
        if int(owner) in left or not left:
            raise RunConflictError(
                f"{self.path}: another run is at work here (process {owner}); wait for it, or use another directory"
            )
        for number in (signal.SIGTERM, KILL):
            for pid in self._holders():
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            if self._try_lock(self.grace_seconds):
                return
        raise RunConflictError(f"{self.path}: processes of an earlier run do not end: {sorted(self._holders())}")

    def _try_lock(self, patience_seconds: float = 0.0) -> bool:
        if fcntl is None:
            with suppress(Timeout):
                self._without_fcntl.acquire(timeout=patience_seconds)
            return self._without_fcntl.is_locked
        end = time.monotonic() + patience_seconds
        while True:
            try:
                fcntl.flock(self.lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() >= end:
                    return False
                time.sleep(0.05)

    def _holders(self) -> Iterable[int]:
        """The processes that have the lock open (found on Linux only), but for this one."""
        lock = str(self.path / "lock")
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it ended, or belongs to someone else
                files = [str(fd.readlink()) for fd in (entry / "fd").iterdir()]
                if lock in files and int(entry.name) != os.getpid():
                    yield int(entry.name)
