"""Places to write to (a directory; an S3 server in this process), and small volumes to write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.volume.labels import ClassMap
from pipeline.volume.stores import Store


@pytest.fixture
def s3_url(bucket: str) -> str:
    return f"{bucket}/some/prefix"


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
