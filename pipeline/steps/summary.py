"""Leave in the run how its workflow ended, and why: the exit handler, which runs whatever happened.

The Workflow object is deleted after a week and the pods before that; the run is what stays.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.errors import InputError, RunConflictError
from pipeline.formats import markdown_table
from pipeline.run.layout import SUMMARY_JSON, Run
from pipeline.run.progress import TargetState, target_states

SUMMARY_MD = "summary.md"
# What Argo says, where it says anything, of a node that failed because of another one.
CONSEQUENCES = ("child ", "retryStrategy.expression evaluated to false", "No more retries left")


@dataclass(frozen=True)
class Failure:
    """A try of a node that failed; `finished` as Argo states it (RFC 3339)."""

    node: str
    message: str
    finished: str


@dataclass(frozen=True)
class Summary:
    """How a workflow ended (`status` is Argo's). One that Succeeded has failures too: tries that were made again."""

    workflow: str
    status: str
    duration_s: float
    ended: str
    version: str
    failures: tuple[Failure, ...]
    targets: tuple[TargetState, ...]


def summary(run_url: str, *, workflow: str, status: str, duration_s: float, failures: str) -> Summary:
    """Write ``summary.json`` and ``summary.md`` into the run, which is made if need be.

    Args:
        run_url: the run that the workflow worked on.
        workflow: name of the Workflow.
        status: Argo's ``workflow.status``.
        duration_s: how long the workflow took.
        failures: Argo's ``workflow.failures``, JSON.

    Raises:
        InputError: the failures are not what Argo writes.
    """
    run = Run.open(run_url, create=True)
    found = Summary(
        workflow=workflow,
        status=status,
        duration_s=duration_s,
        ended=datetime.now(UTC).isoformat(timespec="seconds"),
        version=__version__,
        failures=_failures(failures),
        targets=_targets(run),
    )
    run.store.write(SUMMARY_JSON, json.dumps(asdict(found), indent=1).encode())
    run.store.write(SUMMARY_MD, _markdown(found).encode())
    return found


def _failures(text: str) -> tuple[Failure, ...]:
    """The failures that are none's consequence, the earliest first."""
    if text.startswith("@"):  # Argo puts an argument that is too long for a command line into a file
        text = Path(text[1:]).read_text(encoding="utf-8")
    try:
        listed: Any = json.loads(text) if text else []
        if isinstance(listed, str):  # Argo quotes its JSON once more
            listed = json.loads(listed)
        found = [Failure(node["displayName"], node["message"], node["finishedAt"]) for node in listed or []]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"--failures: not a list of failed nodes as Argo's workflow.failures is: {text[:200]}"
        ) from error
    first_causes = [each for each in found if each.message and not each.message.startswith(CONSEQUENCES)]
    return tuple(sorted(first_causes, key=lambda failure: failure.finished))


def _targets(run: Run) -> tuple[TargetState, ...]:
    """How far each target is; nothing where the workflow ended before there was a plan."""
    try:
        return tuple(target_states(run))
    except RunConflictError:
        return ()


def _markdown(found: Summary) -> str:
    parts = [
        f"# {found.workflow}: {found.status}",
        f"Ended {found.ended} after {found.duration_s:.0f} s, with vemseg {found.version}.",
    ]
    if found.failures:
        rows = [(failure.node, failure.finished, failure.message) for failure in found.failures]
        parts.append(markdown_table(("failed", "when", "why"), rows, text_columns=3))
    if found.targets:
        states = [(state.target, state.trained, state.shards_text) for state in found.targets]
        parts.append(markdown_table(("target", "trained", "shards predicted"), states, text_columns=2))
    return "\n\n".join(parts) + "\n"
