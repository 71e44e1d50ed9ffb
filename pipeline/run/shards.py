"""The loop of every step that fills shards: it skips what is done, and stops where its state is whole.

Computing a shard and writing the one before it overlap. A shard is written whole by one worker, so that two pods never
write one object.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from numpy.typing import NDArray

from pipeline.errors import Preempted
from pipeline.run.events import Reporter
from pipeline.run.markers import Marker
from pipeline.run.works import ShardWork

if TYPE_CHECKING:
    from pipeline.volume.omezarr import Volume


class Work(Protocol):
    """Something to fill, with its done-marker."""

    @property
    def marker(self) -> Marker: ...


AnyWork = TypeVar("AnyWork", bound=Work)
Write = Callable[[], dict[str, Any]]
"""Writes what was computed for a work; returns what its marker is to say."""


def fill(
    works: Sequence[AnyWork],
    compute: Callable[[Sequence[AnyWork]], Iterator[Write]],
    report: Reporter,
    name: str,
    *,
    followed: bool = False,
) -> int:
    """Do the works that are not done yet.

    Args:
        works: those of this worker.
        compute: called with the works to do, if there are any; gives for each of them, in order, what writes it.
        report: the step's.
        name: what stops when it is asked to, as the message calls it.
        followed: whether the step goes on with other works.

    Returns:
        The number of works that were done.

    Raises:
        Preempted: asked to stop (SIGTERM, SIGINT); what was begun is whole.
    """
    todo = [work for work in works if not work.marker.intact]
    report.event("found", shards=len(works), done=len(works) - len(todo))
    report.say(f"{len(works) - len(todo)} of {len(works)} shards are done")
    if not todo:
        return 0
    metrics = report.metrics
    write = metrics.timed("write", _write)
    with stop_requested() as stop, ThreadPoolExecutor(max_workers=1, thread_name_prefix="write") as writer:
        written: Future[None] | None = None
        for number, (work, content) in enumerate(zip(todo, compute(todo), strict=True), start=1):
            if written:
                metrics.timed("queue", written.result)()
            written = writer.submit(write, work.marker, content)
            report.progress(number, len(todo), "shards")
            if stop() and number < len(todo):
                written.result()
                raise Preempted(f"{name}: asked to stop after {number} of {len(todo)} shards")
        if written:
            written.result()
        if followed and stop():
            raise Preempted(f"{name}: asked to stop after all of its shards; others are still to be done")
    return len(todo)


def _write(marker: Marker, content: Write) -> None:
    with marker.making() as facts:
        facts.update(content())


def write_shard(volume: Volume, work: ShardWork, values: NDArray[Any]) -> dict[str, Any]:
    """Write all of a shard; its marker has nothing to add."""
    volume.write(work.shard, values)
    return {}


@contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """While this is open, SIGTERM and SIGINT do not end the process: the function given says that one has come."""
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    former = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
