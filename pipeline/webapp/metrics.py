"""What Prometheus is told about the application; names as in `pipeline.metrics`."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

import pipeline

QUEUE_BUCKETS = (1, 10, 60, 300, 1800, 7200, 28800, 86400)
_REGISTRY = CollectorRegistry()
_JOBS = Gauge("vemseg_app_jobs", "Jobs that are kept, by state", ("state",), registry=_REGISTRY)
JOBS_ENDED = Counter("vemseg_app_jobs_ended_total", "Jobs that ended, by state", ("state",), registry=_REGISTRY)
for _state in ("done", "failed", "cancelled"):
    JOBS_ENDED.labels(_state)  # from 0, so that the first increase is seen
QUEUE_SECONDS = Histogram(
    "vemseg_app_queue_seconds", "Time from a job's order to its beginning", buckets=QUEUE_BUCKETS, registry=_REGISTRY
)
UPLOAD_BYTES = Counter("vemseg_app_upload_bytes_total", "Bytes of uploads that came", registry=_REGISTRY)
Info("vemseg_build", "Version of vemseg", registry=_REGISTRY).info({"version": pipeline.__version__})


def exposition(jobs: Mapping[str, int]) -> bytes:
    """All series of this process, in Prometheus' text format; `jobs` are as many as there are in each state."""
    for state, count in jobs.items():
        _JOBS.labels(state).set(count)
    return generate_latest(_REGISTRY)
