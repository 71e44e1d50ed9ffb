"""What a step takes of its machine: CPU time, memory, and the GPU it computes on. Looked up when it is asked for.

A step that never imports torch has no GPU, and must not wait for the import to say so.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_STATUS = Path("/proc/self/status")
_PROCESSORS = Path("/proc/cpuinfo")

Facts = dict[str, tuple[str, float]]
"""Name of a gauge -> what it is, and its value."""


class MachineCollector(Collector):
    """Collects the series of this process, each with the given labels."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = labels

    def collect(self) -> Iterator[Metric]:
        """What is known now; what the machine does not say is left out."""
        names, values = list(self._labels), list(self._labels.values())
        cpu = CounterMetricFamily("vemseg_cpu_seconds", "CPU time of this process, all threads", labels=names)
        cpu.add_metric(values, time.process_time())
        yield cpu
        for name, (what, value) in (_memory() | _gpu()).items():
            gauge = GaugeMetricFamily(name, what, labels=names)
            gauge.add_metric(values, value)
            yield gauge


def description() -> dict[str, str | int]:
    """What this process runs on, for its event log: processor, cores and memory that it may use, versions, GPU.

    The GPU is told of once it is in use; what the machine does not say is left out.
    """
    torch = sys.modules.get("torch")
    found: dict[str, str | int] = {
        "host": platform.node(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "python": platform.python_version(),
        "torch": version("torch"),
    }
    with suppress(AttributeError, ValueError):  # Windows
        found["memory_bytes"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if torch is not None:
        with suppress(RuntimeError):  # the GPU is lost
            found |= {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_initialized() else {}
    return found


def _processor() -> str:
    """Its model; where the kernel does not say, its architecture."""
    with suppress(OSError):
        for line in _PROCESSORS.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _memory() -> Facts:
    with suppress(OSError):
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):  # kB, see `man 5 proc`
                return {"vemseg_memory_peak_bytes": ("Largest resident memory so far", 1024.0 * int(line.split()[1]))}
    return {}


def _gpu() -> Facts:
    """Of the device that this process computes on, once it has begun to."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    try:
        free, size = torch.cuda.mem_get_info()
    except RuntimeError:  # the GPU is lost: the step will say so itself
        return {}
    facts = {
        "vemseg_gpu_memory_used_bytes": ("Used memory of the GPU", float(size - free)),
        "vemseg_gpu_memory_size_bytes": ("Memory that the GPU has", float(size)),
    }
    uuid = torch.cuda.get_device_properties(torch.cuda.current_device()).uuid
    percent = utilisation_percent(f"GPU-{uuid}")
    if percent is not None:
        what = "Share of the last second or less in which the GPU computed"
        facts["vemseg_gpu_utilization_ratio"] = (what, percent / 100)
    return facts


class _Utilisation(ctypes.Structure):
    """``nvmlUtilization_t``."""

    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


def utilisation_percent(uuid: str) -> int | None:
    """How busy a GPU is, from NVIDIA's management library (https://docs.nvidia.com/deploy/nvml-api).

    The library comes with the driver. None where it is missing, or does not tell: a MIG slice has no utilisation.
    """
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    device, busy = ctypes.c_void_p(), _Utilisation()

    def done(function: Any, *arguments: Any) -> bool:
        return bool(function(*arguments) == 0)

    known = (
        done(nvml.nvmlInit_v2)
        and done(nvml.nvmlDeviceGetHandleByUUID, uuid.encode(), ctypes.byref(device))
        and done(nvml.nvmlDeviceGetUtilizationRates, device, ctypes.byref(busy))
    )
    return int(busy.gpu) if known else None
