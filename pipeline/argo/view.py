"""What the user sees while a workflow runs, here or on a cluster: a live tree on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.argo.nodes import (
    DAG,
    ERROR,
    FAILED,
    OMITTED,
    PENDING,
    POD,
    RETRY,
    RUNNING,
    SKIPPED,
    STOPPED,
    SUCCEEDED,
    TASK_GROUP,
    Node,
)

SYMBOLS = {PENDING: "◷", RUNNING: "●", SUCCEEDED: "✔", FAILED: "✖", ERROR: "⚠", SKIPPED: "○", OMITTED: "○"}
STYLES = {RUNNING: "cyan", SUCCEEDED: "green", FAILED: "bold red", ERROR: "bold red"}
_LINES_SECONDS = 10.0  # between two progress lines of one node
_LIVE_SECONDS = 0.25
_TURNS_SHOWN = 6  # larger loops are summed up
_LOG_LINES = 15


class Logs(Protocol):
    """What the pods have printed."""

    def last_lines(self, node: Node, count: int) -> list[str]:
        """The last lines of a node's log; none where there is no log."""

    def place(self, node: Node) -> str:
        """Where the whole log of a node can be read; empty where it has none."""


class View:
    """Looks on; `show` is called often, `end` once."""

    def __enter__(self) -> View:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return None

    def show(self, nodes: Mapping[str, Node], logs: Logs) -> None:
        """The nodes may have changed."""

    def end(self, nodes: Mapping[str, Node], logs: Logs) -> None:
        """The run is over."""

    def note(self, text: str) -> None:
        """Something to know that is no change of a node, such as a lost connection."""


class Silent(View):
    """Shows nothing."""


def for_console(console: Console) -> View:
    """The live tree where `console` is a terminal, else lines."""
    return LiveTree(console) if console.is_terminal else Lines(console)


class Lines(View):
    """A line for each change of phase, and for progress at most every ten seconds a node."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._phases: dict[str, tuple[str, str]] = {}
        self._progress: dict[str, tuple[float, str]] = {}

    def show(self, nodes: Mapping[str, Node], logs: Logs) -> None:
        for node in list(nodes.values()):
            now = (node.phase, node.message)
            if self._phases.get(node.name) != now and node.phase != PENDING:
                self._phases[node.name] = now
                self._line(node, _duration(node) if node.fulfilled else "")
                if has_failed(node, nodes):
                    self.console.print(failure(node, logs))
            elif node.phase == RUNNING and node.progress:
                self._show_progress(node)

    def note(self, text: str) -> None:
        self.console.print(Text(f"{time.strftime('%H:%M:%S')} {text}"), soft_wrap=True)

    def _show_progress(self, node: Node) -> None:
        at, shown = self._progress.get(node.name, (0.0, ""))
        if node.progress != shown and time.monotonic() - at >= _LINES_SECONDS:
            self._progress[node.name] = (time.monotonic(), node.progress)
            self._line(node, f"{node.progress} {_duration(node)}")

    def _line(self, node: Node, more: str) -> None:
        clock = time.strftime("%H:%M:%S")
        text = f"{clock} {SYMBOLS[node.phase]} {node.name} {node.phase} {more} {node.message}"
        self.console.print(Text(" ".join(text.split())), soft_wrap=True)


class LiveTree(View):
    """The tree of the nodes, redrawn in place; failures are printed above it as they happen."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = Live(console=console, auto_refresh=False, transient=False)
        self._drawn_at = 0.0
        self._reported: set[str] = set()

    def __enter__(self) -> View:
        self.live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.live.stop()

    def show(self, nodes: Mapping[str, Node], logs: Logs) -> None:
        if time.monotonic() - self._drawn_at >= _LIVE_SECONDS:
            self._draw(nodes, logs)

    def end(self, nodes: Mapping[str, Node], logs: Logs) -> None:
        self._draw(nodes, logs)

    def note(self, text: str) -> None:
        self.console.print(Text(text, style="dim"))

    def _draw(self, nodes: Mapping[str, Node], logs: Logs) -> None:
        self._drawn_at = time.monotonic()
        for node in nodes.values():
            if has_failed(node, nodes) and node.name not in self._reported:
                self._reported.add(node.name)
                self.console.print(failure(node, logs))
        self.live.update(tree(nodes, logs, self.console.height - 2), refresh=True)


def tree(nodes: Mapping[str, Node], logs: Logs, height: int) -> Table:
    """The nodes as an indented table, cut to `height` rows: what runs or failed stays, what is done goes first."""
    below: dict[str | None, list[Node]] = {}
    for node in nodes.values():
        below.setdefault(node.parent, []).append(node)
    rows: list[tuple[int, Node, str]] = []
    for root in below.get(None, []):
        _rows(root, below, 0, rows)
    rows = _cut(rows, max(height, 10))
    table = Table.grid(padding=(0, 1))
    for depth, node, more in rows:
        table.add_row(*_cells(depth, node, more, logs))
    return table


def _rows(node: Node, below: dict[str | None, list[Node]], depth: int, rows: list[tuple[int, Node, str]]) -> None:
    children = below.get(node.name, [])
    if node.type == RETRY and len(children) == 1:
        rows.append((depth, children[0] if not node.fulfilled else node, ""))
        children = below.get(children[0].name, [])
    elif node.type == TASK_GROUP and len(children) > _TURNS_SHOWN:
        done = sum(child.fulfilled for child in children)
        rows.append((depth, node, f"{done}/{len(children)} done"))
        children = [child for child in children if child.phase == RUNNING or child.failed][:_TURNS_SHOWN]
    else:
        rows.append((depth, node, ""))
    for child in children:
        _rows(child, below, depth + 1, rows)


def _cut(rows: list[tuple[int, Node, str]], height: int) -> list[tuple[int, Node, str]]:
    surplus = len(rows) - height
    kept = []
    for row in rows:
        if surplus > 0 and row[1].fulfilled and not row[1].failed:
            surplus -= 1
        else:
            kept.append(row)
    return kept[:height]


def _cells(depth: int, node: Node, more: str, logs: Logs) -> tuple[Text, ProgressBar | Text, Text, Text]:
    style = STYLES.get(node.phase, "dim")
    label = node.display_name.rsplit(".", 1)[-1]
    name = Text("  " * depth) + Text(f"{SYMBOLS[node.phase]} {label}", style=style)
    done, _, total = node.progress.partition("/")
    bar: ProgressBar | Text = Text(more)
    if node.phase == RUNNING and total and int(total):
        bar = ProgressBar(total=int(total), completed=int(done), width=20, complete_style="cyan")
    last = node.message
    if node.phase == RUNNING and node.type == POD and not last:
        last = next(iter(logs.last_lines(node, 1)), "")
    return (
        name,
        bar,
        Text(_duration(node), style="dim"),
        Text(last, style="dim", no_wrap=True, overflow="ellipsis"),
    )


def _duration(node: Node) -> str:
    if node.started_at is None:
        return ""
    seconds = int((node.finished_at or time.time()) - node.started_at)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def has_failed(node: Node, nodes: Mapping[str, Node]) -> bool:
    """Whether a process failed for good: not stopped, not tried again, nor the DAG that fails because of it."""
    if node.message.startswith(STOPPED):
        return False
    around = nodes.get(node.parent or "")
    is_tried_again = around is not None and around.type == RETRY and not around.failed
    return node.failed and node.type not in (DAG, RETRY, TASK_GROUP) and not is_tried_again


def failure(node: Node, logs: Logs) -> Group:
    """What to know about a failed node: its name, exit code, last log lines and where the log is."""
    head = Text.from_markup(f"[bold red]{SYMBOLS[node.phase]} {escape(node.name)}[/] {escape(node.message)}")
    lines = [Text(f"    {line}", overflow="fold") for line in logs.last_lines(node, _LOG_LINES)]
    place = logs.place(node)
    where = [Text(f"    {place}", style="dim", overflow="fold")] if place else []
    return Group(head, *lines, *where)
