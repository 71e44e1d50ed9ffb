"""What a step says while it works: lines for people, progress for Argo, metrics for Prometheus, events for machines.

A step writes its events to a file of its own below ``events/``: object stores cannot append, and two pods must never
write one object. A later try of the step adds to the file. Its metrics stay in ``metrics/`` as they were at its end,
for a pod that is gone before it was scraped; that file is the last try's.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pipeline.errors import DataError
from pipeline.run.machine import description
from pipeline.run.metrics import StepMetrics, push, served

if TYPE_CHECKING:
    from pipeline.volume.stores import Store

# Argo reads a pod's progress from the file that this variable names; the local runner does the same.
PROGRESS_VARIABLE = "ARGO_PROGRESS_FILE"
SECONDS_BETWEEN_LINES = 5.0


def read_events(store: Store, key: str) -> list[dict[str, Any]]:
    """The events of a file that a reporter wrote, from the first on; none where there is no file.

    Raises DataError when it is something else.
    """
    try:
        lines = store.read(key).splitlines()
    except FileNotFoundError:
        return []
    try:
        events = [json.loads(line) for line in lines]
        for event in events:
            if not isinstance(event, dict) or not {"time", "step", "event"} <= event.keys():
                raise ValueError(f"{str(event)[:100]} is none")
        return events
    except (ValueError, RecursionError) as error:
        raise DataError(f"{store.url}/{key}: not a list of events ({error}); delete the file") from error


def _as_json(value: Any) -> Any:
    """The same with null for what JSON has no number for: NaN and infinity, as of a loss that left all bounds."""
    if isinstance(value, Mapping):
        return {key: _as_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Reporter:
    """Progress, lines, metrics and events of one step. Use it as a context manager: it records how the step ended.

    Args:
        store: the run.
        step: name of the step.
        target: the network that it works for, where it works for one.
        worker: which of the step's workers it is, where it has several.
    """

    def __init__(self, store: Store, step: str, *, target: str = "", worker: int | None = None) -> None:
        number = "" if worker is None else str(worker)
        item = "-".join(part for part in (target, number) if part)
        self.name = f"{step} {item}".rstrip()
        self.metrics = StepMetrics(step, target, number)
        self._store = store
        self._file = f"{step}-{item}".rstrip("-")
        self._serving = ExitStack()
        self._events: list[str] = []
        self._last_line = 0.0

    def say(self, text: str) -> None:
        """Print a line for the person who watches."""
        print(f"{self.name}: {text}", flush=True)

    def progress(self, done: int, total: int, text: str = "") -> None:
        """Tell how far the step is; lines are thinned out so that a log stays readable."""
        self.metrics.progress(done, total)
        path = os.environ.get(PROGRESS_VARIABLE)
        if path:
            Path(path).write_text(f"{done}/{total}\n", encoding="utf-8")
        now = time.monotonic()
        if done == total or now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            self.say(f"{done}/{total} {text}".rstrip())

    def event(self, kind: str, **facts: Any) -> None:
        """Record that something happened."""
        event = {"time": time.time(), "step": self.name, "event": kind, **facts}
        self._events.append(json.dumps(_as_json(event), allow_nan=False))

    def flush(self) -> None:
        """Write the events since the last flush."""
        if self._events:
            key = f"events/{self._file}.jsonl"
            former = self._store.read(key) if self._store.exists(key) else b""
            self._store.write(key, former + ("\n".join(self._events) + "\n").encode())
            self._events.clear()

    def __enter__(self) -> Self:
        self.event("started", command=sys.argv[1:], pid=os.getpid(), machine=description())
        self.metrics.start()
        try:
            self._serving.enter_context(served(self.metrics.registry))
        except OSError as error:
            self.say(f"metrics are not served: {error}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._serving.close()
        self._keep_metrics()
        # Once more: only now is it known whether torch and a GPU were used.
        self.event("ended", error=str(error) if error else None, machine=description())
        try:
            self.flush()
        except Exception:
            # The step's own error says more than that of its event log.
            if error is None:
                raise

    def _keep_metrics(self) -> None:
        self.metrics.end()
        if not self.metrics.worked:
            return
        try:
            self._store.write(f"metrics/{self._file}.prom", self.metrics.exposition())
            push(self.metrics, self._store.url)
        except Exception as error:
            # To lose them costs a look at the step; an error would cost its result.
            self.event("metrics_lost", error=str(error))


class SilentReporter(Reporter):
    """That of a process that helps another one with its step, which reports for both."""

    def say(self, text: str) -> None:
        """See `Reporter`."""

    def progress(self, done: int, total: int, text: str = "") -> None:
        """See `Reporter`."""

    def event(self, kind: str, **facts: Any) -> None:
        """See `Reporter`."""

    def flush(self) -> None:
        """See `Reporter`."""
