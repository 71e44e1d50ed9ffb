"""What Prometheus is told about a step: served while it works, handed over when it ends.

Names follow https://prometheus.io/docs/practices/naming: base units, ``_total`` for what only grows. Speeds are not
kept: they are ``rate()`` of a counter, over whatever time the reader asks for. Every series carries the step, its
target and its worker, and nothing whose number grows with the data.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Literal, ParamSpec, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Info,
    disable_created_metrics,
    generate_latest,
    pushadd_to_gateway,
    start_http_server,
)

import pipeline
from pipeline.errors import ConfigError
from pipeline.run.foresight import Pace
from pipeline.run.machine import MachineCollector

PORT_VARIABLE = "VEMSEG_METRICS_PORT"
"""Port to serve on, from 1 to 65535. The pods set it; without it, as with many processes on one machine, none is."""
PUSHGATEWAY_VARIABLE = "VEMSEG_PUSHGATEWAY"
"""host:port or URL of a Prometheus Pushgateway, for steps that end before they are scraped."""
PUSH_TIMEOUT_SECONDS = 5.0
LABELS = ("step", "target", "worker")
# A second series for every counter, which the text format has no use for.
disable_created_metrics()  # type: ignore[no-untyped-call]

Phase = Literal["read", "compute", "write", "queue"]
"""What a thread of a step does; ``queue`` is the main one waiting for what another thread reads or writes."""
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Item = TypeVar("Item")


class StepMetrics:
    """The metrics of one step, in a registry of their own; all methods may be called from any thread."""

    def __init__(self, step: str, target: str = "", worker: str = "") -> None:
        self.registry = CollectorRegistry()
        self.labels = dict(zip(LABELS, (step, target, worker), strict=True))
        self.worked = False
        """Whether there is anything to tell: a step whose work was done before has counted nothing."""
        self._running = self._gauge("vemseg_step_running", "1 while the step is at work, 0 once it has ended")
        self._ratio = self._gauge("vemseg_progress_ratio", "Share of the step's work that is done")
        self._left = self._gauge("vemseg_left_seconds", "Time that the step still takes, about, from how fast it went")
        self._pace, self._began = Pace(), time.monotonic()
        self._alive = self._gauge("vemseg_progress_timestamp_seconds", "Unix time of the step's last sign of progress")
        self._voxels = Counter("vemseg_voxels_total", "Voxels done, by this process", LABELS, registry=self.registry)
        self._seconds = Counter(
            "vemseg_phase_seconds_total", "Seconds spent on each phase", (*LABELS, "phase"), registry=self.registry
        )
        self._loss = self._gauge("vemseg_loss", "Loss of the last training step")
        scored = "F1 on the validation part (step train) or the test part (step evaluate)"
        self._f1 = self._gauge("vemseg_f1_ratio", scored, "network", "average")
        self._saved = self._gauge("vemseg_checkpoint_timestamp_seconds", "Unix time of the last checkpoint, or start")
        self._saves = self._gauge("vemseg_checkpoint_interval_seconds", "Time between checkpoints, as configured")
        Info("vemseg_build", "Version of vemseg", registry=self.registry).info({"version": pipeline.__version__})
        self.registry.register(MachineCollector(self.labels))

    def start(self) -> None:
        """The step is at work."""
        self._set(self._running, 1)
        self._set(self._alive, time.time())
        self._voxels.labels(**self.labels)  # from 0, so that the first rate is right

    def end(self) -> None:
        """The step is over, one way or another."""
        self._set(self._running, 0)
        self._set(self._left, 0)

    def progress(self, done: int, total: int) -> None:
        """So much of the work is done."""
        self._set(self._ratio, done / total if total else 1.0)
        left = 0.0 if done >= total else self._pace.seconds_left(time.monotonic() - self._began, done, total)
        if left is not None:
            self._set(self._left, left)
        self._came_on()

    def voxels(self, count: int) -> None:
        """So many more voxels are done."""
        self._voxels.labels(**self.labels).inc(count)
        self._came_on()

    def loss(self, value: float) -> None:
        """The loss of a training step."""
        self._set(self._loss, value)

    def f1(self, value: float | None, *, network: str, average: str) -> None:
        """A ``macro`` or ``weighted`` average over classes, of the network of a target or of all ``binary`` ones.

        None, for what is defined for no class, is not told.
        """
        if value is not None:
            self._set(self._f1, value, network=network, average=average)

    def checkpoint(self, *, interval_seconds: float) -> None:
        """A checkpoint is written, or training starts; the next is due within the interval."""
        self._set(self._saved, time.time())
        self._set(self._saves, interval_seconds)

    @contextmanager
    def seconds(self, phase: Phase) -> Iterator[None]:
        """Count the time that passes within."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds.labels(**self.labels, phase=phase).inc(time.perf_counter() - started)

    def timed(self, phase: Phase, function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        """The function, with the time of its calls counted."""

        def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            with self.seconds(phase):
                return function(*args, **kwargs)

        return call

    def each(self, phase: Phase, items: Iterable[Item]) -> Iterator[Item]:
        """The items, with the time until each of them is there counted."""
        following = self.timed(phase, iter(items).__next__)
        while True:
            try:
                yield following()
            except StopIteration:
                return

    def exposition(self) -> bytes:
        """All series, in Prometheus' text format."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, what: str, *more_labels: str) -> Gauge:
        return Gauge(name, what, (*LABELS, *more_labels), registry=self.registry)

    def _set(self, gauge: Gauge, value: float, **more_labels: str) -> None:
        gauge.labels(**self.labels, **more_labels).set(value)

    def _came_on(self) -> None:
        self.worked = True
        self._set(self._alive, time.time())


@contextmanager
def served(registry: CollectorRegistry) -> Iterator[None]:
    """Serve a registry over HTTP while this is open, if `PORT_VARIABLE` asks for it.

    Raises OSError when the port is taken, ConfigError when it is none.
    """
    port = _port()
    if port is None:
        yield
        return
    server, thread = start_http_server(port, registry=registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def push(metrics: StepMetrics, run_url: str) -> None:
    """Hand the metrics of a step to the Pushgateway, if `PUSHGATEWAY_VARIABLE` names one."""
    gateway = os.environ.get(PUSHGATEWAY_VARIABLE)
    if gateway:
        group = {"run": run_url, **metrics.labels}
        pushadd_to_gateway(gateway, "vemseg", metrics.registry, group, timeout=PUSH_TIMEOUT_SECONDS)


def _port() -> int | None:
    text = os.environ.get(PORT_VARIABLE)
    if not text:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise ConfigError(f"{PORT_VARIABLE} is {text!r}; set it to a port, 1 to 65535, or unset it to serve no metrics")
    return int(text)
