"""Places to write to (a directory; an S3 server in this process), and small volumes to write."""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.volume.labels import ClassMap
from pipeline.volume.stores import Store


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    moto = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_url(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    for name, value in {
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"bucket-{abs(hash(request.node.nodeid))}"
    with urllib.request.urlopen(urllib.request.Request(f"{s3_endpoint}/{bucket}", method="PUT")):
        return f"s3://{bucket}/some/prefix"


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store, once in a directory with an awkward name, once on S3."""
    if request.param == "s3":
        return Store.open(request.getfixturevalue("s3_url"))
    return Store.open(tmp_path / "a run #1 50%", create=True)


@pytest.fixture
def classes() -> ClassMap:
    """Three exclusive classes; ids 1 and 2 are merged, 9 is ignored."""
    return ClassMap(("membrane", "vesicle", "cytosol"), ("#ff0000", "#00ff00", "#0000ff"), ((1, 2), (3,), (0,)), (9,))


@pytest.fixture
def raw() -> np.ndarray:
    """uint8 noise of odd sides (z, y, x)."""
    return np.random.default_rng(0).integers(0, 256, (7, 45, 38), np.uint8)
