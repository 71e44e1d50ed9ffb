"""Processes that share the training of one network, a device each: how they are started, watched and ended.

The step's own process is the first rank; it alone writes anything. Where it dies, the others end by themselves; where
one of them dies, or meets an error that the first does not, it ends as that one did, so that a retry rule sees why.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import connection, get_context, parent_process
from multiprocessing.process import BaseProcess
from threading import Event, Thread

from pipeline.errors import ConfigError, Preempted, VemsegError, told
from pipeline.run.events import Reporter

HOST = "127.0.0.1"
# What a rank still has to do once the first one is through.
_LAST_WORDS_S = 30.0
# What one rank meets, such as a state that is damaged, the first one mostly meets, too, and says so itself.
_OWN_WORDS_S = 5.0
# Until the death of a rank is noticed.
_NOTICED_S = 1.0


@contextmanager
def ranks_joined(devices: int, help_out: Callable[[], None], report: Reporter) -> Iterator[None]:
    """Be the first of so many ranks while this is open; a single one needs no group.

    Args:
        devices: GPUs, or processes where there is none.
        help_out: what the others do; it can be pickled.

    Raises:
        ConfigError: there are fewer GPUs than devices.
    """
    if devices == 1:
        yield
        return
    import torch
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    from pipeline.nn.ranks import joined

    _refuse_missing_devices(devices)
    store = TCPStore(HOST, 0, devices, is_master=True, wait_for_workers=False)
    context = get_context("spawn")
    helpers: dict[connection.Connection, BaseProcess] = {}
    for rank in range(1, devices):
        heard, line = context.Pipe(duplex=False)
        arguments = (rank, devices, store.port, line, help_out)
        helpers[heard] = context.Process(target=_rank, args=arguments, name=f"rank {rank}", daemon=True)
        helpers[heard].start()
        line.close()  # so that it ends with the process
    over = Event()
    Thread(target=_watch, args=(helpers, over), daemon=True).start()
    try:
        with joined(0, devices, store):
            kind = "GPUs" if torch.cuda.is_available() else f"processes of {torch.get_num_threads()} threads (no GPU)"
            report.say(f"shares each batch among {devices} {kind}")
            yield
    finally:
        if isinstance(sys.exception(), RuntimeError):
            over.wait(_NOTICED_S)  # as where a connection is lost since another one has died
        over.set()
        for helper in helpers.values():
            helper.join(_LAST_WORDS_S if sys.exception() is None else 1.0)
            helper.kill()


def _refuse_missing_devices(devices: int) -> None:
    import torch

    found = torch.cuda.device_count()
    if found and found < devices:
        raise ConfigError(
            f"training.devices is {devices}, but there are {found} GPUs here; ask for a pod with {devices}, or lower it"
        )


def _rank(rank: int, ranks: int, port: int, line: connection.Connection, help_out: Callable[[], None]) -> None:
    """The life of a rank that is not the first, which hears through a line why it cannot go on."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    from pipeline.nn.ranks import joined

    Thread(target=_end_with_parent, daemon=True).start()
    store = TCPStore(HOST, port, ranks, is_master=False)
    with joined(rank, ranks, store):
        try:
            help_out()
        except Preempted:
            pass  # and so is the first
        except (VemsegError, OSError) as error:
            line.send(told(error))
            Event().wait()  # the first one ends both; it would say no more than that this one has left


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _watch(helpers: Mapping[connection.Connection, BaseProcess], over: Event) -> None:
    """End this process when one of the others has died or cannot go on: it would wait for it without end."""
    lines = list(helpers)
    while lines:
        for line in connection.wait(lines):
            assert isinstance(line, connection.Connection)
            lines.remove(line)
            try:
                reason, code = line.recv()
                over.wait(_OWN_WORDS_S)
            except EOFError:
                helper = helpers[line]
                helper.join()
                code = helper.exitcode
                reason = f"{helper.name} of the training ended with code {code}"
            if code and not over.is_set():
                print(f"vemseg: {reason}", file=sys.stderr, flush=True)
                os._exit(128 - code if code < 0 else code)
