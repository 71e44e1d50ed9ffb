"""What tests have done by a confined process: harmless attempts at what it must not be able to do."""

from __future__ import annotations

import os
import resource
import signal
import socket
import stat
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import DataError


def attempts(canary: str, given: str, writable: str) -> dict[str, Any]:
    """Whether each thing can be done: "done", or the name of the error."""

    def write_beside() -> None:
        Path(canary).with_name("made by a stranger").write_text("x")

    def write_given() -> None:
        with Path(given).open("a") as file:
            file.write("x")

    def fork() -> None:
        if os.fork() == 0:
            os._exit(0)

    tries = {
        "read what is given": lambda: Path(given).read_text(),
        "write where it may": lambda: (Path(writable) / "new").write_text("x"),
        "read a canary": lambda: Path(canary).read_text(),
        "list its folder": lambda: os.listdir(Path(canary).parent),  # noqa: PTH208
        "write beside it": write_beside,
        "write what is given": write_given,
        "read users": lambda: Path("/etc/passwd").read_text(),
        "read the server's environment": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
        "open it to others": lambda: Path(canary).chmod(0o644),
        "give it away": lambda: os.chown(canary, -1, -1),
        "cut it off": lambda: os.truncate(canary, 0),
        "mark it": lambda: os.setxattr(canary, "user.mark", b"x"),
        "limit the server": lambda: resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE),
        "slow the server down": lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19),
        "bind the server to a core": lambda: os.sched_setaffinity(os.getppid(), {0}),
        "put the server last": lambda: os.sched_setscheduler(os.getppid(), os.SCHED_BATCH, os.sched_param(0)),
        "change its times": lambda: os.utime(canary, (0, 0)),
        "link it in": lambda: os.link(canary, Path(writable) / "linked"),
        "lead the server to it": lambda: (Path(writable) / "led").symlink_to(canary),
        "have the server wait": lambda: os.mkfifo(Path(writable) / "pipe"),
        "connect": lambda: socket.socket().connect(("127.0.0.1", 9)),
        "send a datagram": lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
        "run a program": lambda: subprocess.run(["/bin/true"], check=True),
        "outlive its time": fork,
        "signal the server": lambda: os.kill(os.getppid(), 0),
    }
    return {name: _outcome(attempt) for name, attempt in tries.items()}


def _outcome(attempt: Any) -> str:
    try:
        attempt()
    except OSError as error:
        return type(error).__name__
    return "done"


def environment() -> dict[str, Any]:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    return {"variables": sorted(os.environ), "threads": threading.active_count()}


def arrays() -> dict[str, Any]:
    return {"text": "µm", "grey": np.arange(6, dtype=np.uint8).reshape(2, 3), "sizes": np.array([0.5, 2.0])}


def refuses() -> None:
    raise DataError("stack.tif: made up")


def surprises() -> None:
    raise KeyError("no such thing")


def takes_memory() -> None:
    np.ones(2**30)


def computes() -> None:
    while True:
        pass


def waits() -> None:
    time.sleep(600)


def dies() -> None:
    os.abort()


def kills_itself() -> None:
    signal.raise_signal(signal.SIGSEGV)


def answers(text: str) -> None:
    """Answer in the place of what calls this, as code that took the process over could."""
    pipes = [number for number in range(3, 20) if _is_pipe(number)]
    os.write(pipes[-1], text.encode())
    os._exit(0)


def _is_pipe(descriptor: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def not_a_number() -> dict[str, Any]:
    return {"voxel_size_nm": [float("nan"), 8.0, 8.0]}


def chatters() -> dict[str, Any]:
    print("{} is no answer")
    return {"said": True}
