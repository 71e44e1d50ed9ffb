"""A namespace on a real cluster, and the two ways to it; skipped where KUBECONFIG is not set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from small_cluster import SPEC, Line, kubectl

from pipeline.argo.cluster import Workflows, connect


@pytest.fixture(scope="session")
def namespace() -> Iterator[str]:
    """A restricted namespace in which Argo's executor may report, with claims `data` (RWX) and `block` (RWO)."""
    if "KUBECONFIG" not in os.environ:
        pytest.skip("KUBECONFIG is not set")
    name = f"vemseg-cluster-{os.getpid()}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    kubectl(
        "create",
        "-f",
        "-",
        item={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
    )
    try:
        where = ("-n", name)
        kubectl(
            *where, "create", "role", "executor", "--verb=create,patch", "--resource=workflowtaskresults.argoproj.io"
        )
        kubectl(*where, "create", "rolebinding", "executor", "--role=executor", f"--serviceaccount={name}:default")
        for claim, storage_class, mode in (("data", "shared", "ReadWriteMany"), ("block", "standard", "ReadWriteOnce")):
            spec = {
                "storageClassName": storage_class,
                "accessModes": [mode],
                "resources": {"requests": {"storage": "1Gi"}},
            }
            item = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": claim}, "spec": spec}
            kubectl(*where, "create", "-f", "-", item=item)
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The file of the small workflow."""
    path = tmp_path / "small.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture(params=["server", "kubernetes"])
def environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment for each of the two ways to the cluster."""
    if request.param == "kubernetes":
        monkeypatch.delenv("ARGO_SERVER", raising=False)
    elif "ARGO_SERVER" not in os.environ:
        pytest.skip("ARGO_SERVER is not set")
    return dict(os.environ)


@pytest.fixture
def workflows(environment: dict[str, str], namespace: str) -> Iterator[Workflows]:
    with closing(connect(environment, namespace)) as connected:
        yield connected


@pytest.fixture
def line() -> Iterator[Callable[[str], Line]]:
    """Make a line to a host:port."""
    made: list[Line] = []

    def make(address: str) -> Line:
        host, port = address.split(":")
        made.append(Line((host, int(port))))
        return made[-1]

    yield make
    for one in made:
        one.close()
