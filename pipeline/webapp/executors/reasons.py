"""Why a stage failed, in words for its user, out of what its steps and its runner have printed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.workflow.nodes import POD, Node
from pipeline.workflow.view import Logs

TAIL_LINES = 20
_END = re.compile(r"^vemseg: (?P<reason>.+)$")  # how the command line ends with an error that a user can mend
_KILLED = 137
_NO_MEMORY = "It needed more memory than there is. Try a smaller volume, or ask whoever runs this server for more."


def reason_of(
    nodes: Mapping[str, Node], logs: Logs, around: Sequence[str], folder: Path
) -> tuple[str, tuple[str, ...]]:
    """The reason, and the last lines of the log that tells it; both without the server's folders.

    nodes and logs: of the workflow. around: what whoever runs it has said, for one that failed before any node.
    folder: the job's, as its steps see it.
    """
    failed = [node for node in nodes.values() if node.type == POD and node.failed]
    failed.sort(key=lambda node: node.finished_at or 0.0)
    tail = logs.last_lines(failed[-1], TAIL_LINES) if failed else list(around)
    ends = [match["reason"] for line in tail if (match := _END.match(line))]
    if ends:
        reason = ends[-1]
    elif failed and failed[-1].exit_code == _KILLED:
        reason = _NO_MEMORY
    else:
        last = next((line for line in (failed[-1].message if failed else "", *tail[-1:]) if line), "it says no more")
        reason = f"Something went wrong in vemseg itself ({last})."
    return without_folder(reason, folder), tuple(without_folder(line, folder) for line in tail)


def without_folder(text: str, folder: Path) -> str:
    """A text in which files of a job are named from its folder."""
    for place in (f"{folder}/upload/unpacked/", f"{folder}/upload/", f"{folder}/", str(folder)):
        text = text.replace(f"file://{place}", "").replace(place, "")
    return text


def last_lines(log: Path) -> list[str]:
    """The last lines of a file; none where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 16384))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-TAIL_LINES:]
