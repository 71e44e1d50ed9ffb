"""What a step takes of its machine: memory and CPU time grow with what is taken; a GPU is told of where there is one.

No GPU is needed: torch.cuda and NVIDIA's library are stood in for, the latter by a real shared library with the
functions of its documented interface, so that names, types and units are those that a driver sees.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from pipeline.run.machine import MachineCollector, description

NVML = r"""
#include <string.h>
typedef struct { unsigned int gpu, memory; } nvmlUtilization_t;
static int begun;
int nvmlInit_v2(void) { begun = 1; return 0; }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
    if (!begun) return 1;
    if (strcmp(uuid, "GPU-11112222-3333-4444-5555-666677778888")) return 6;
    *device = &begun;
    return 0;
}
int nvmlDeviceGetUtilizationRates(void *device, nvmlUtilization_t *rates) {
    if (device != &begun) return 2;
    rates->gpu = 37;
    rates->memory = 12;
    return 0;
}
"""
WITH_GPU = """
import json, sys
from types import SimpleNamespace
uuid, initialized = sys.argv[1], sys.argv[2] == "begun"
sys.modules["torch"] = SimpleNamespace(cuda=SimpleNamespace(
    is_initialized=lambda: initialized,
    mem_get_info=lambda: (30 * 2**30, 40 * 2**30),
    current_device=lambda: 0,
    get_device_properties=lambda device: SimpleNamespace(uuid=uuid),
))
from pipeline.run.machine import MachineCollector
families = MachineCollector({"step": "train"}).collect()
print(json.dumps({s.name: s.value for family in families for s in family.samples if "gpu" in s.name}))
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the stand-in for NVIDIA's library."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("driver")
    (folder / "nvml.c").write_text(NVML)
    library = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, folder / "nvml.c"], check=True)
    return folder


def gpu_series(uuid: str, state: str, library_folder: Path | None) -> dict[str, float]:
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library_folder or "")}
    asked = subprocess.run(
        [sys.executable, "-c", WITH_GPU, uuid, state], env=environment, capture_output=True, text=True, check=True
    )
    series: dict[str, float] = json.loads(asked.stdout)
    return series


MEMORY = {"vemseg_gpu_memory_used_bytes": 10 * 2**30, "vemseg_gpu_memory_size_bytes": 40 * 2**30}


def test_a_gpu_is_told_of_with_the_load_that_the_driver_gives(driver: Path) -> None:
    series = gpu_series("11112222-3333-4444-5555-666677778888", "begun", driver)
    assert series == {**MEMORY, "vemseg_gpu_utilization_ratio": 0.37}


def test_a_slice_of_a_gpu_has_memory_and_no_load(driver: Path) -> None:
    assert gpu_series("99992222-3333-4444-5555-666677778888", "begun", driver) == MEMORY


def test_a_gpu_without_the_drivers_library_has_memory_and_no_load() -> None:
    assert gpu_series("99992222-3333-4444-5555-666677778888", "begun", None) == MEMORY


def test_a_gpu_that_the_step_does_not_use_is_not_told_of(driver: Path) -> None:
    assert gpu_series("11112222-3333-4444-5555-666677778888", "idle", driver) == {}


def value(name: str) -> float:
    registry = CollectorRegistry()
    registry.register(MachineCollector({"step": "train"}))
    found = registry.get_sample_value(name, {"step": "train"})
    assert found is not None
    return found


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_peak_memory_grows_with_what_is_taken_and_stays() -> None:
    before = value("vemseg_memory_peak_bytes")
    taken = bytearray(b"\1") * int(before)
    assert value("vemseg_memory_peak_bytes") >= before + 0.5 * len(taken)
    del taken
    assert value("vemseg_memory_peak_bytes") >= 1.5 * before


def test_cpu_time_grows_with_work_and_not_with_waiting() -> None:
    before = value("vemseg_cpu_seconds_total")
    time.sleep(0.2)
    rested = value("vemseg_cpu_seconds_total")
    assert rested - before < 0.1
    while value("vemseg_cpu_seconds_total") < rested + 0.1:
        pass


def test_a_machine_is_described_by_what_this_process_may_use() -> None:
    told = description()
    assert told["cores"] == len(os.sched_getaffinity(0))
    total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal:"))
    assert told["memory_bytes"] == 1024 * int(total.split()[1])
    assert told["python"] == ".".join(map(str, sys.version_info[:3]))
    assert told["processor"]


def test_a_step_without_torch_does_not_import_it_to_describe_its_machine() -> None:
    code = "import sys; from pipeline.run.machine import description; assert description()['torch']; "
    subprocess.run([sys.executable, "-c", f"{code} assert 'torch' not in sys.modules"], check=True)
