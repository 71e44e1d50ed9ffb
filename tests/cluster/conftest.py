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
from captures import STUDIES
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
# Of the studies: one predicts several targets in a pod, once all are trained.
AT_ONCE = {"nine": "0", "tiny": "2"}


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


@pytest.fixture(scope="session")
def captures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of the studies' captures."""
    folder = tmp_path_factory.mktemp("captures")
    return {name: write(folder / name) for name, write in STUDIES.items()}


@pytest.fixture(scope="session")
def studies(lab: Lab, files: Files, captures: dict[str, Path]) -> dict[str, Workflow]:
    """The studies in the cluster, submitted one right after the other."""
    for name, folder in captures.items():
        files.put(folder, f"/data/{name}")
    return {
        name: Workflow(
            lab, "vemseg-study", config=f"/data/{name}/study.yaml", run=f"/data/runs/{name}", at_once=AT_ONCE[name]
        )
        for name in captures
    }


@pytest.fixture(scope="session")
def runs(studies: dict[str, Workflow], captures: dict[str, Path], laptop: Laptop) -> dict[str, Path]:
    """The same studies on the laptop, while the cluster works on its own."""
    runs = {name: folder.with_name(f"{name}-on-a-laptop") for name, folder in captures.items()}
    for name, run in runs.items():
        laptop("study", config=captures[name] / "study.yaml", run=run, at_once=AT_ONCE[name])
    return runs


@pytest.fixture(scope="session")
def teacher(studies: dict[str, Workflow], runs: dict[str, Path]) -> str:
    """The run of the smaller study in the cluster, whose networks other tests use."""
    status = studies["tiny"].wait()
    assert status["phase"] == "Succeeded", status
    return "/data/runs/tiny"


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
