"""Showing a workflow of a cluster while it runs, as the local runner shows its own."""

from __future__ import annotations

import queue
import threading
import time

from pipeline.argo.cluster.api import Workflows
from pipeline.argo.cluster.logs import PodLogs
from pipeline.argo.cluster.status import PATIENCE_SECONDS, Status, follow, status_of
from pipeline.argo.nodes import Outcome
from pipeline.argo.view import View

_DRAW_SECONDS = 0.5  # durations grow, though nothing changes
_NOBODY_SECONDS = 30.0


def watch(workflows: Workflows, name: str, view: View, *, patience_seconds: float = PATIENCE_SECONDS) -> Outcome:
    """Show a workflow until it has ended, and return how; Ctrl-C ends the watching, not the workflow.

    Raises `InputError` when there is no such workflow, `ClusterError` when the cluster is out of reach for
    `patience_seconds`.
    """
    status = status_of(workflows.get(name))
    news: queue.SimpleQueue[Status | str | Exception] = queue.SimpleQueue()
    thread = threading.Thread(target=_pump, args=(workflows, name, news, patience_seconds), daemon=True)
    thread.start()
    logs, waiting_since = PodLogs(workflows), time.monotonic()
    with view:
        try:
            while not status.has_ended:
                item = _next(news)
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, str):
                    view.note(item)
                status = item if isinstance(item, Status) else status
                logs.status = status
                view.show(status.nodes, logs)
                if not status.nodes and time.monotonic() - waiting_since > _NOBODY_SECONDS:
                    waiting_since = float("inf")
                    view.note(
                        f"{name}: {status.message or 'no Argo controller has taken it up'}; is there one for namespace "
                        f"{workflows.namespace}?"
                    )
        except KeyboardInterrupt:
            return status.outcome(interrupted=True)
        view.end(status.nodes, logs)
    return status.outcome()


def _pump(
    workflows: Workflows, name: str, news: queue.SimpleQueue[Status | str | Exception], patience_seconds: float
) -> None:
    try:
        for status in follow(workflows, name, note=news.put, patience_seconds=patience_seconds):
            news.put(status)
    except Exception as error:  # shown by the thread that draws
        news.put(error)


def _next(news: queue.SimpleQueue[Status | str | Exception]) -> Status | str | Exception | None:
    try:
        return news.get(timeout=_DRAW_SECONDS)
    except queue.Empty:
        return None
