"""Who runs the workflows of jobs: this machine (`local`) or a cluster (`cluster`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.webapp.executors.base import Executor, Handle, Look

if TYPE_CHECKING:
    from pipeline.webapp.settings import Settings

__all__ = ["Executor", "Handle", "Look", "executor_of"]


def executor_of(settings: Settings) -> Executor:
    """The executor that the settings ask for."""
    if settings.executor == "cluster":
        from pipeline.webapp.executors.cluster import ClusterExecutor

        return ClusterExecutor.connected(settings)
    from pipeline.webapp.executors.local import LocalExecutor

    return LocalExecutor(settings)
