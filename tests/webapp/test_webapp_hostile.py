"""Of every kind of hostile upload none is taken: each is refused in plain words, quickly, and opens nothing else.

What the kinds are stands in `hostile`, which this runs in a process of its own to see what its children took.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hostile import CANARY, KINDS, external, external_link, hdf5, virtual

from pipeline.errors import DataError
from pipeline.volume import confined
from pipeline.volume.sources import TRUSTED

SECONDS, MEMORY_BYTES = 10, 512 * 2**20


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the canary, whose time of last access tells whether it was read."""
    folder = tmp_path_factory.mktemp("hostile")
    with h5py.File(folder / CANARY, "w") as file:
        file["volume"] = np.ones((3, 8, 8), np.uint8)
    for path in (folder / CANARY, folder / "probe"):
        path.touch()
        os.utime(path, (0, time.time()))
    return folder


@pytest.fixture(scope="module")
def told(place: Path) -> dict[str, dict[str, Any]]:
    """What the application said to each."""
    script = Path(__file__).with_name("hostile.py")
    paths = os.pathsep.join([str(script.parent), *(path for path in sys.path if path)])
    done = subprocess.run(
        [sys.executable, script, place], env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return {line["kind"]: line for line in map(json.loads, done.stdout.splitlines())}


@pytest.fixture
def unread(place: Path) -> Iterator[Path]:
    """The canary; fails where it has been read meanwhile."""
    yield place / CANARY
    (place / "probe").read_bytes()
    if (place / "probe").stat().st_atime:  # else the file system does not keep it
        assert (place / CANARY).stat().st_atime == 0


def test_there_are_sixty_kinds_and_more() -> None:
    assert len(KINDS) >= 60


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_refused_in_plain_words(told: dict[str, dict[str, Any]], kind: str, place: Path) -> None:
    line = told[kind]
    assert line["refused"], line["said"]
    assert len(line["said"]) < 400
    for not_for_users in (str(place), "/data/", "unpacked", "Traceback", "Error"):
        assert not_for_users not in line["said"].replace(str(place / CANARY), "")
    assert line["seconds"] < SECONDS
    assert line["bytes"] < MEMORY_BYTES


def test_none_has_opened_the_canary(told: dict[str, dict[str, Any]], unread: Path) -> None:
    assert told
    assert unread.exists()


@pytest.mark.parametrize("write", [external, external_link, virtual])
def test_the_wall_stands_where_the_check_does_not(write: Any, place: Path, unread: Path, tmp_path: Path) -> None:
    """A reader that is let follow references meets the process's own limits."""
    (tmp_path / "v.h5").write_bytes(hdf5(write)(place))
    arguments = {"place": str(tmp_path / "v.h5"), "policy": TRUSTED.as_json(), "formats": []}
    inspect = "pipeline.volume.description:inspect"
    with suppress(DataError):  # HDF5 refuses some references that it cannot open, and fills others with zeros
        found = confined.run(inspect, arguments, what="v.h5", readable=[tmp_path / "v.h5"])
        assert not found["preview"].any()
    assert unread.exists()
