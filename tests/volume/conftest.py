"""Places to write to (a directory; an S3 server in this process), and small volumes to write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from objectserver import PublicPlace, serving

from pipeline.volume import objects
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


@pytest.fixture
def public_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PublicPlace]:
    """A server of the folder ``served``; there are no keys, nor a machine with a role."""
    for name in (*objects._AWS_KEYS, *objects._GOOGLE_KEYS, "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    objects._has_role.cache_clear()
    (tmp_path / "served" / "bucket").mkdir(parents=True)
    with serving(tmp_path / "served") as place:
        monkeypatch.setenv("AWS_ENDPOINT_URL", place.url)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", place.url)
        yield place
    objects._has_role.cache_clear()
