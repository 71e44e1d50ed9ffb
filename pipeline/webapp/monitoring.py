"""What Prometheus is told about the application, at a port of its own; names of series as in `pipeline.run.metrics`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, generate_latest, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import pipeline
from pipeline.errors import ConfigError, StorageError

JobCounts = Callable[[], Mapping[str, int]]
"""How many jobs there are in each state."""
QUEUE_BUCKETS = (1, 10, 60, 300, 1800, 7200, 28800, 86400)
_REGISTRY = CollectorRegistry()
JOBS_ENDED = Counter("vemseg_app_jobs_ended_total", "Jobs that ended, by state", ("state",), registry=_REGISTRY)
for _state in ("done", "failed", "cancelled"):
    JOBS_ENDED.labels(_state)  # from 0, so that the first increase is seen
QUEUE_SECONDS = Histogram(
    "vemseg_app_queue_seconds", "Time from a job's order to its beginning", buckets=QUEUE_BUCKETS, registry=_REGISTRY
)
UPLOAD_BYTES = Counter("vemseg_app_upload_bytes_total", "Bytes of uploads that came", registry=_REGISTRY)
Info("vemseg_build", "Version of vemseg", registry=_REGISTRY).info({"version": pipeline.__version__})
logger = logging.getLogger(__name__)


class _Application(Collector):
    """All series: the jobs that are kept, counted when they are asked for, and what this process has counted."""

    def __init__(self, job_counts: JobCounts) -> None:
        self._job_counts = job_counts

    def collect(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily("vemseg_app_jobs", "Jobs that are kept, by state", labels=("state",))
        try:
            for state, count in self._job_counts().items():
                jobs.add_metric((state,), count)
        except StorageError as error:  # the other series are still worth something
            logger.warning("jobs cannot be counted: %s", error)
        yield jobs
        yield from _REGISTRY.collect()


def exposition(job_counts: JobCounts) -> bytes:
    """All series of this process, in Prometheus' text format."""
    return generate_latest(_registry(job_counts))


def serve_metrics(host: str, port: int, job_counts: JobCounts) -> int:
    """Serve them from now on at an address and port (0 takes a free one); returns the port.

    Raises ConfigError when another process is there.
    """
    try:
        server, _ = start_http_server(port, host, _registry(job_counts))
    except OSError as error:
        raise ConfigError(f"--metrics-port {port} (VEMSEG_APP_METRICS_PORT): {error.strerror or error}") from error
    return int(server.server_port)


def _registry(job_counts: JobCounts) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(_Application(job_counts))
    return registry
