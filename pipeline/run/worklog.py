"""What the steps have noted: when they were at work, how much they did, on which machines and with what error."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from pipeline.formats import memory
from pipeline.run.events import read_events
from pipeline.volume.stores import Store

WITH_WORKERS = ("augment", "infer", "separate", "merge", "boost-apply")
"""Steps whose items end in the number of a worker."""
REPORT = "report"
NOT_ENDED = "did not end: it was killed, or is still at work"

Event = Mapping[str, Any]


@dataclass(frozen=True)
class Work:
    """What a step did for one item, all its workers and tries together; times in seconds since the epoch."""

    step: str
    item: str
    spans: tuple[tuple[float, float], ...]
    """When at least one worker was at work: apart from each other, in order."""
    workers: int
    tries: int
    error: str
    """Of the last try; empty when it ended well."""
    voxels: int
    voxels_per_second: float | None
    """Of all workers together, each over its own time."""
    cpu_seconds: float
    peak_bytes: int
    """Of the worker that took most."""

    @property
    def seconds(self) -> float:
        """Time in which at least one worker was at work."""
        return sum(stop - start for start, stop in self.spans)


@dataclass(frozen=True)
class Machine:
    """Machines of one kind, and the steps that ran on them."""

    description: str
    hosts: int
    steps: tuple[str, ...]


@dataclass(frozen=True)
class Try:
    """One time that a step was started; `error` is None when it ended well."""

    start: float
    stop: float
    error: str | None
    machine: Mapping[str, Any]


@dataclass(frozen=True)
class Measured:
    """What the metrics say of the last try that had anything to do; 0 for what they do not say."""

    progressed_at: float = 0.0
    voxels: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: float = 0.0


@dataclass(frozen=True)
class Worker:
    """One worker of a step, over all its tries."""

    step: str
    item: str
    tries: tuple[Try, ...]
    measured: Measured

    @property
    def voxels_per_second(self) -> float | None:
        """Over the try that the metrics are of."""
        for one in self.tries:
            if one.start <= self.measured.progressed_at <= one.stop and self.measured.voxels and one.stop > one.start:
                return self.measured.voxels / (one.stop - one.start)
        return None


def read_workers(run: Store) -> list[Worker]:
    """All workers of all steps but the report itself."""
    workers = []
    for key in run.list("events"):
        events = read_events(run, key)
        started = next((event for event in events if event["event"] == "started"), None)
        if started is None:
            continue
        step, item = _named(started["step"])
        if step == REPORT:
            continue
        measured = _measured(run, key)
        tries = tuple(_worked(_tries(events), measured))
        workers.append(Worker(step, item, tries, measured))
    return workers


def work(workers: Iterable[Worker]) -> tuple[Work, ...]:
    """What each step did for each item, all workers together."""
    groups: dict[tuple[str, str], list[Worker]] = defaultdict(list)
    for worker in workers:
        groups[worker.step, worker.item].append(worker)
    return tuple(_together(step, item, group) for (step, item), group in groups.items())


def machines(workers: Iterable[Worker]) -> tuple[Machine, ...]:
    """The machines that the steps say they ran on, alike ones together."""
    hosts: dict[str, set[str]] = defaultdict(set)
    steps: dict[str, dict[str, None]] = defaultdict(dict)
    for worker in workers:
        for one in worker.tries:
            if one.machine:
                description = _described(one.machine)
                hosts[description].add(str(one.machine.get("host", "")))
                steps[description][worker.step] = None
    return tuple(Machine(description, len(hosts[description]), tuple(steps[description])) for description in hosts)


def _named(name: str) -> tuple[str, str]:
    """Step and item of a reporter's name, such as "infer multilabel-0"; without the worker's number."""
    step, _, item = name.partition(" ")
    if step in WITH_WORKERS:
        item = item.rpartition("-")[0]
    return step, item


def _tries(events: Sequence[Event]) -> Iterator[Try]:
    """A try that says nothing of its end lasted until its last event, as far as is known."""
    starts = [i for i, event in enumerate(events) if event["event"] == "started"]
    for first, following in zip(starts, [*starts[1:], len(events)], strict=True):
        mine = events[first:following]
        last = mine[-1]
        has_ended = last["event"] == "ended"
        machine = {**mine[0].get("machine", {}), **last.get("machine", {})}
        yield Try(mine[0]["time"], last["time"], last["error"] if has_ended else NOT_ENDED, machine)


def _worked(tries: Iterable[Try], measured: Measured) -> Iterator[Try]:
    """Without the tries that found everything done: those that began after the last sign of progress."""
    for one in tries:
        if not measured.progressed_at or one.start <= measured.progressed_at or one.error:
            yield one


def _measured(run: Store, events_key: str) -> Measured:
    """From the file of metrics beside that of the events; nothing where it is missing, or damaged."""
    key = events_key.replace("events/", "metrics/", 1).removesuffix(".jsonl") + ".prom"
    try:
        families = list(text_string_to_metric_families(run.read(key).decode()))
    except (FileNotFoundError, ValueError):
        return Measured()
    values = {sample.name: sample.value for family in families for sample in family.samples}
    return Measured(
        progressed_at=values.get("vemseg_progress_timestamp_seconds", 0.0),
        voxels=values.get("vemseg_voxels_total", 0.0),
        cpu_seconds=values.get("vemseg_cpu_seconds_total", 0.0),
        peak_bytes=values.get("vemseg_memory_peak_bytes", 0.0),
    )


def _together(step: str, item: str, group: Sequence[Worker]) -> Work:
    tries = sorted((one for worker in group for one in worker.tries), key=lambda one: one.start)
    speeds = [speed for worker in group if (speed := worker.voxels_per_second) is not None]
    errors = [error for worker in group if (error := worker.tries[-1].error)]
    return Work(
        step=step,
        item=item,
        spans=tuple(_merged((one.start, one.stop) for one in tries)),
        workers=len(group),
        tries=len(tries),
        error=errors[-1] if errors else "",
        voxels=round(sum(worker.measured.voxels for worker in group)),
        voxels_per_second=sum(speeds) or None,
        cpu_seconds=sum(worker.measured.cpu_seconds for worker in group),
        peak_bytes=round(max(worker.measured.peak_bytes for worker in group)),
    )


def _merged(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Spans that overlap as one; they come in the order of their starts."""
    merged: list[tuple[float, float]] = []
    for start, stop in spans:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


def _described(machine: Mapping[str, Any]) -> str:
    parts = [
        str(machine.get("processor") or "unknown processor"),
        f"{machine['cores']} core{'s' * (machine['cores'] != 1)}" if "cores" in machine else "",
        memory(machine["memory_bytes"]) if "memory_bytes" in machine else "",
        str(machine.get("gpu") or ""),
        f"Python {machine['python']}" if "python" in machine else "",
        f"torch {machine['torch']}" if machine.get("torch") else "",
    ]
    return ", ".join(part for part in parts if part)
