"""Following a workflow to its end over a connection that may break at any time.

A watch ends for many reasons that say nothing of the workflow: the API server closes it after some minutes or has
forgotten where it was (410 Gone), a proxy falls silent, the server is restarted. All are met in one way: look at the
workflow anew, and watch anew. No change is missed for good, for a Workflow object holds its whole state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from pipeline.errors import ClusterError, InputError
from pipeline.workflow.cluster.api import NotFoundError, Workflows
from pipeline.workflow.cluster.status import Status, status_of

PATIENCE_SECONDS = 900.0  # how long a cluster may be out of reach
_PAUSE_SECONDS = (1.0, 2.0, 5.0, 10.0)


def follow(
    workflows: Workflows,
    name: str,
    *,
    note: Callable[[str], None],
    patience_seconds: float = PATIENCE_SECONDS,
) -> Iterator[Status]:
    """Yield the workflow's status now and at each change, until it has ended.

    `note` is told of lost connections. Raises `ClusterError` when the cluster does not answer for `patience_seconds`,
    `InputError` when there is no such workflow (any more).
    """
    lost_at, failures, seen = time.monotonic(), 0, False
    while True:
        try:
            for status in _until_the_stream_ends(workflows, name):
                if failures:
                    note("the cluster answers again")
                failures, lost_at, seen = 0, time.monotonic(), True
                yield status
                if status.has_ended:
                    return
        except NotFoundError as error:
            raise (InputError(f"workflow {name} was deleted while it ran") if seen else error) from error
        except ClusterError as error:
            if time.monotonic() - lost_at >= patience_seconds:
                raise
            if not failures:
                note(f"{error}; the workflow goes on, and so does the attempt to reach it")
            failures += 1
        time.sleep(_PAUSE_SECONDS[min(failures, len(_PAUSE_SECONDS) - 1)])


def _until_the_stream_ends(workflows: Workflows, name: str) -> Iterator[Status]:
    yield status_of(workflows.get(name))
    try:
        for changed in workflows.changes(name):
            yield status_of(changed)
    except (ClusterError, InputError):
        return  # the next look tells what is really wrong; where watching is not allowed, looking will do
