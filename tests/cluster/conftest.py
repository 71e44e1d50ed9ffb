"""A laboratory's namespace with the chart installed, for all tests against a real cluster; the laptop to compare with.

Skipped where KUBECONFIG is not set. The image must be on the cluster's nodes: `make e2e` sees to both.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from captures import write_tiny
from lab import CHART, IMAGE, REPOSITORY, SLOTS, Files, Lab, Laptop, administrator, working_node
from observing import Workflow

# What the steps of such small studies need, on a machine of two cores; at most one, for as many threads as on the
# laptop. Three trainings and one step without a GPU have room at once.
PARAMETERS = {
    "image": IMAGE,
    "light-cpu": "900m",
    "light-memory": "1Gi",
    "augment-cpu": "700m",
    "augment-memory": "1Gi",
    "train-cpu": "350m",
    "train-memory": "1Gi",
    "infer-cpu": "350m",
    "infer-memory": "1Gi",
    "evaluate-cpu": "350m",
    "evaluate-memory": "1Gi",
    "gpus": "1",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that is here needs a cluster."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.skipif("KUBECONFIG" not in os.environ, reason="KUBECONFIG is not set"))


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A namespace in which its user has installed the chart."""
    _advertise_gpus(working_node())
    made = Lab(tmp_path_factory.mktemp("lab"))
    try:
        settings = {f"parameters.{name}": value for name, value in PARAMETERS.items()}
        settings |= {"gpuSlots": str(SLOTS), "storage.claim.size": "1Gi", **_storage(working_node())}
        made.helm("install", "vemseg", CHART, *(f"--set={key}={value}" for key, value in settings.items()))
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="session")
def files(lab: Lab) -> Files:
    """The files of the lab's claim."""
    return lab.open_files()


@pytest.fixture(scope="session")
def teacher(lab: Lab, files: Files, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The run of a study in the cluster, whose networks other tests use."""
    folder = write_tiny(tmp_path_factory.mktemp("teacher") / "capture")
    files.put(folder, "/data/teacher")
    study = Workflow(lab, "vemseg-study", config="/data/teacher/study.yaml", run="/data/runs/teacher")
    assert study.wait()["phase"] == "Succeeded"
    return "/data/runs/teacher"


@pytest.fixture(scope="session")
def laptop() -> Laptop:
    """Runs a workflow without any cluster, with one thread."""

    def run(workflow: str, **parameters: str | Path) -> None:
        given = [word for name, value in parameters.items() for word in ("-p", f"{name.replace('_', '-')}={value}")]
        command = [sys.executable, "-m", "pipeline", "run", str(REPOSITORY / f"workflows/{workflow}.yaml"), *given]
        done = subprocess.run(
            command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr

    return run


def _advertise_gpus(node: str) -> None:
    """Have the scheduler count four GPUs on the node; no device comes with them."""
    changes = [
        {"op": "add", "path": f"/status/{state}/nvidia.com~1gpu", "value": "4"} for state in ("capacity", "allocatable")
    ]
    administrator("patch", "node", node, "--subresource", "status", "--type", "json", "--patch", json.dumps(changes))


def _storage(node: str) -> dict[str, str]:
    """A claim for many nodes where there is a class of them, else one that is tied to the node."""
    if "storageclass.storage.k8s.io/shared" in administrator("get", "storageclass", "--output", "name"):
        return {"storage.claim.storageClassName": "shared"}
    return {"storage.mode": "rwo", "storage.node": node}
