"""What a step says while it works: lines for people, progress for Argo, events for machines.

A step writes its events to a file of its own below ``events/``: object stores cannot append, and two pods must never
write one object. A later try of the step adds to the file.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

# Argo reads a pod's progress from the file that this variable names; the local runner does the same.
PROGRESS_VARIABLE = "ARGO_PROGRESS_FILE"
SECONDS_BETWEEN_LINES = 5.0


class Reporter:
    """Progress, lines and events of one step. Use it as a context manager: it records how the step ended."""

    def __init__(self, name: str, append_events: Callable[[bytes], None] | None = None) -> None:
        self.name = name
        self._append_events = append_events
        self._events: list[str] = []
        self._last_line = 0.0

    def say(self, text: str) -> None:
        """Print a line for the person who watches."""
        print(f"{self.name}: {text}", flush=True)

    def progress(self, done: int, total: int, text: str = "") -> None:
        """Tell how far the step is; lines are thinned out so that a log stays readable."""
        path = os.environ.get(PROGRESS_VARIABLE)
        if path:
            Path(path).write_text(f"{done}/{total}\n", encoding="utf-8")
        now = time.monotonic()
        if done == total or now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            self.say(f"{done}/{total} {text}".rstrip())

    def event(self, kind: str, **facts: Any) -> None:
        """Record that something happened."""
        self._events.append(json.dumps({"time": time.time(), "step": self.name, "event": kind, **facts}))

    def flush(self) -> None:
        """Write the events since the last flush."""
        if self._append_events and self._events:
            self._append_events(("\n".join(self._events) + "\n").encode())
            self._events.clear()

    def __enter__(self) -> Self:
        self.event("started", command=sys.argv[1:], pid=os.getpid())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.event("ended", error=str(error) if error else None)
        try:
            self.flush()
        except Exception:
            # The step's own error says more than that of its diary.
            if error is None:
                raise
