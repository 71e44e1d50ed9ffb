"""A program that has imported all it needs and forks itself: the server's side of `forks`.

The program calls `serve` with its command, where it would else do the command. Each fork is what the program would be
had it been started with these words; it ends as Python ends, but takes nothing apart before it does: all that was
imported would be copied for that, page by page, which costs more than the rest of a start.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

LINK_VARIABLE = "VEMSEG_FORK_LINK"
"""The environment variable that makes a program a server: the number of the open socket to its runner."""
STARTED, REFUSED, ENDED, CODE = "started", "refused", "ended", "code"
"""Keys of what a server tells: the process that it started, or why it did not; which ended, and with which code."""
DESCRIPTORS = 5
"""What comes with an order: the order itself, standard output and error, the runner's lock, the line of life."""
_NOT_FLUSHED = 120  # Python's exit code where the last of the output cannot be written
_NAME_BYTES = 15  # Linux keeps so many of a process's name


def serve(link_number: int, import_for: Callable[[Sequence[str]], None], command: Callable[[], object]) -> NoReturn:
    """Fork a process for each order, which does the command, until the runner has gone.

    Args:
        link_number: the socket to the runner.
        import_for: imports what a command of these words will need. It must start no thread, open no file that stays
            open and compute nothing: forks would have half of it.
        command: what the program does with the words of `sys.argv`.
    """
    link = socket.socket(fileno=link_number)
    link.set_inheritable(False)
    forks: set[int] = set()  # some imports start processes of their own, whose ends are theirs to see

    def tell_ends(*_: object) -> None:
        for fork in tuple(forks):
            with suppress(ChildProcessError):  # it was told when this was interrupted
                ended, status = os.waitpid(fork, os.WNOHANG)
                if ended:
                    forks.discard(fork)
                    _tell(link, {ENDED: fork, CODE: os.waitstatus_to_exitcode(status)})

    signal.signal(signal.SIGCHLD, tell_ends)
    while True:
        order, descriptors = _next_order(link)
        try:
            import_for(order["words"])
            os.chdir(order["directory"])
            gc.freeze()  # what is shared is left alone, and stays shared
            process = os.fork()
        except OSError as error:
            _tell(link, {REFUSED: str(error)})
        else:
            if process == 0:
                _become(link, order, descriptors)
                _do(command)
            forks.add(process)
            tell_ends()  # it may have ended before it was known
        for descriptor in descriptors:
            os.close(descriptor)


def _next_order(link: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Wait for an order; where there is no runner any more, end without a trace."""
    try:
        message, descriptors, _, _ = socket.recv_fds(link, 1, DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    except ConnectionError:
        message = b""
    if not message:
        os._exit(0)
    with os.fdopen(descriptors[0], "rb", closefd=False) as file:
        return json.load(file), descriptors


def _tell(link: socket.socket, what: dict[str, Any]) -> None:
    """Send a message; it arrives whole, whoever else sends one."""
    try:
        link.send(json.dumps(what).encode())
    except ConnectionError:
        os._exit(0)


def _become(link: socket.socket, order: dict[str, Any], descriptors: Sequence[int]) -> None:
    """Make this fork the process that was ordered, as leader of a session of its own."""
    order_file, out, errors, lock, life = descriptors
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.dup2(out, 1)
    os.dup2(errors, 2)
    for descriptor in (order_file, out, errors):
        os.close(descriptor)
    os.set_inheritable(lock, True)
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv[1:] = order["words"]
    if "numpy.random" in sys.modules:  # Python sees to its own generator
        sys.modules["numpy.random"].seed()
    with suppress(OSError):
        name = os.fsencode(" ".join([Path(sys.argv[0]).name, *order["words"]]))
        Path("/proc/self/comm").write_bytes(name[:_NAME_BYTES])
    _tell(link, {STARTED: os.getpid()})
    link.close()
    if not os.read(life, 1):  # the runner has gone, and does not know of this process
        os._exit(0)


def _do(command: Callable[[], object]) -> NoReturn:
    """Do the command, and end with the code, the words and the handlers with which Python would."""
    code, interrupted = 0, False
    try:
        command()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if code and not isinstance(ended.code, int):
            print(ended.code, file=sys.stderr)
    except BaseException as error:
        code, interrupted = 1, isinstance(error, KeyboardInterrupt)
        sys.excepthook(type(error), error, error.__traceback__)
    threading._shutdown()  # type: ignore[attr-defined] # waits for threads; multiprocessing calls it, too
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is None or stream.closed:
            continue
        try:
            stream.flush()
        except OSError as error:
            print(f"{stream.name}: {error}", file=sys.__stderr__, flush=True)
            code = code or _NOT_FLUSHED
    if interrupted:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code & 0xFF)
