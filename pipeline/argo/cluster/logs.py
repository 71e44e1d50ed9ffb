"""What the pods of a workflow have printed, and go on printing."""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from pipeline.argo.cluster.api import NotFoundError, Workflows
from pipeline.argo.cluster.status import Status, follow, status_of
from pipeline.argo.nodes import PENDING, Node
from pipeline.errors import ClusterError, InputError

_OF_ARGO = re.compile(r"time=\S+ level=\S+ .*\bargo=true\b.*")  # what the executor says of itself
_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z ?")
_FRESH_SECONDS = 5.0  # how old a line of a running pod may be that is shown beside it
_OVERLAP_SECONDS = 5  # asked for again after a lost connection
_TRIES, _SHORT_SECONDS = 5, 10.0  # so many connections in a row that break at once are too many
_NEVER = ("", -1.0)


class PodLogs:
    """The logs for the view: asked for anew only after a while, and never a reason to stop watching."""

    def __init__(self, workflows: Workflows) -> None:
        self.workflows = workflows
        self.status: Status | None = None
        self._known: dict[tuple[str, int], tuple[float, list[str]]] = {}

    def last_lines(self, node: Node, count: int) -> list[str]:
        at, lines = self._known.get((node.name, count), (0.0, []))
        if self.status is not None and node.name in self.status.pods and time.monotonic() - at > _FRESH_SECONDS:
            lines = self._asked(self.status, node, count)
            self._known[node.name, count] = (time.monotonic(), lines)
        return lines

    def place(self, node: Node) -> str:
        if self.status is None or node.name not in self.status.pods:
            return ""
        return f"log: vemseg logs {self.status.name} '{_short(self.status, node.name)}'"

    def _asked(self, status: Status, node: Node, count: int) -> list[str]:
        try:
            pod, more = status.pods[node.name], count + 5  # Argo's own lines stand among the last ones
            entries = self.workflows.log(status.name, pod, follow=False, last=more, seconds=None)
            said = [text for _stamp, text in map(_parted, entries) if not _OF_ARGO.match(text)]
            return [line for line in said if line.strip()][-count:]
        except (ClusterError, InputError):
            return []


def print_logs(
    workflows: Workflows,
    name: str,
    node: str | None,
    write: Callable[[str], None],
    *,
    follow_on: bool,
    note: Callable[[str], None],
) -> None:
    """Give `write` each line of the logs of the nodes called `node` (of all where that is `None`).

    Where several nodes are meant, each line begins with its node. `follow_on` stays until the workflow has ended and
    reads pods that start meanwhile, too. `note` is told what cannot be read. Raises `InputError` where nothing is
    called so.
    """
    status = status_of(workflows.get(name))
    chosen = chosen_pods(status, node)
    if not chosen and not (follow_on and not status.has_ended):
        raise InputError(_no_such_node(status, node))
    alone = len(chosen) == 1 and (node in (chosen[0], _short(status, chosen[0])))

    def out(pod_node: str, text: str) -> None:
        write(text if alone else f"{_short(status, pod_node)}: {text}")

    if follow_on and not status.has_ended:
        _follow_all(workflows, name, node, out, note)
        return
    for pod_node in chosen:
        try:
            for text in _log(workflows, name, status.pods[pod_node], follow_on=False):
                out(pod_node, text)
        except NotFoundError:
            note(f"{_short(status, pod_node)}: its pod is gone, and the log with it")


def chosen_pods(status: Status, node: str | None) -> list[str]:
    """The nodes meant by `node`: its name, with or without that of the workflow, its task, its template; in order."""
    started = [name for name in status.pods if status.nodes[name].phase != PENDING]
    if node is None:
        return started
    return [name for name in started if node in _names(status, name)]


def _names(status: Status, name: str) -> Iterator[str]:
    """Everything that a pod's node may be called by: itself and all that it is part of."""
    found: Node | None = status.nodes[name]
    yield found.template if found else ""
    while found is not None:
        yield from (found.name, _short(status, found.name), found.display_name)
        found = status.nodes.get(found.parent or "")


def _short(status: Status, node: str) -> str:
    return node.removeprefix(f"{status.name}.")


def _no_such_node(status: Status, node: str | None) -> str:
    known = sorted({_short(status, name) for name in chosen_pods(status, None)})
    there = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "") or "none"
    return f"{status.name} has no started node {node!r}; it has {there}"


def _follow_all(
    workflows: Workflows, name: str, node: str | None, out: Callable[[str, str], None], note: Callable[[str], None]
) -> None:
    """One thread watches the workflow, one a pod reads its log; lines are handed out here, one after the other."""
    news: queue.SimpleQueue[tuple[str, str] | Exception | None] = queue.SimpleQueue()

    def read(pod_node: str, pod: str) -> None:
        try:
            for text in _log(workflows, name, pod, follow_on=True):
                news.put((pod_node, text))
        except NotFoundError:
            note(f"{pod_node}: its pod is gone, and the log with it")
        except (ClusterError, InputError) as error:
            note(str(error))

    def look() -> None:
        readers: dict[str, threading.Thread] = {}
        try:
            for status in follow(workflows, name, note=note):
                for pod_node in chosen_pods(status, node):
                    if pod_node not in readers:
                        target = (pod_node, status.pods[pod_node])
                        readers[pod_node] = threading.Thread(target=read, args=target, daemon=True)
                        readers[pod_node].start()
            for reader in readers.values():
                reader.join()
            news.put(None)
        except Exception as error:  # raised by the thread that writes
            news.put(error)

    threading.Thread(target=look, daemon=True).start()
    while (item := news.get()) is not None:
        if isinstance(item, Exception):
            raise item
        out(*item)


def _log(workflows: Workflows, name: str, pod: str, *, follow_on: bool) -> Iterator[str]:
    """The lines of one pod, each once, over connections that may break, or be cut because the pod is silent."""
    seen, failures = _NEVER, 0
    while True:
        opened_at = time.monotonic()
        try:
            known = seen
            seconds = None if known == _NEVER else int(time.time() - _epoch(known[0])) + _OVERLAP_SECONDS
            for line in workflows.log(name, pod, follow=follow_on, last=None, seconds=seconds):
                stamp, text = _parted(line)
                if stamp > known:
                    seen = stamp
                    if not _OF_ARGO.match(text):
                        yield text
            return
        except ClusterError:
            failures = failures + 1 if time.monotonic() - opened_at < _SHORT_SECONDS else 0
            if failures > _TRIES or not follow_on:
                raise
            time.sleep(failures)


def _parted(line: str) -> tuple[tuple[str, float], str]:
    """A line's time, so that times compare, and its text."""
    match = _STAMP.match(line)
    return ((match[1], float(match[2] or 0)), line[match.end() :]) if match else (("", 0.0), line)


def _epoch(stamp: str) -> float:
    return datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp()
