"""How soon a visitor sees something: from the end of the upload to the first picture of the segmentation.

With VEMSEG_TEST_MODEL the run of a study, such as the demo's, stands for the tiny model; `pytest -s` shows the times.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from appserver import AppServer, zip_of_slices
from playwright.sync_api import Page
from visiting import give_file, start, state_voxel_size

from pipeline.phantom import make_phantom
from pipeline.run.layout import Run

SHAPE_ZYX = (25, 700, 700)
MOST_SECONDS, MOST_SECONDS_A_PAGE = 120, 1


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom and its mirror images, in a zip."""
    quarter = make_phantom((SHAPE_ZYX[0], SHAPE_ZYX[1] // 2, SHAPE_ZYX[2] // 2), seed=0).raw
    slices = np.pad(quarter, [(0, 0), *((0, side) for side in quarter.shape[1:])], "symmetric")
    return zip_of_slices(tmp_path_factory.mktemp("stack") / "stack.zip", slices)


@pytest.fixture(scope="session")
def model(model: Path) -> Path:
    """The run whose model is used."""
    return Path(os.environ.get("VEMSEG_TEST_MODEL", model))


@pytest.mark.slow
def test_the_first_picture_comes_soon_and_pages_meanwhile(
    server: AppServer, model: Path, stack: Path, page: Page
) -> None:
    voxel_size_nm = Run.open(str(model)).plan.captures[0].voxel_size_nm
    give_file(page, server.url, stack)
    while not list(server.folder.glob(f"uploads/*/{stack.name}")):
        page.wait_for_timeout(50)
    uploaded = time.monotonic()
    state_voxel_size(page, voxel_size_nm)
    start(page)
    longest = 0.0
    while not page.locator("canvas[data-drawn]").count():
        assert time.monotonic() - uploaded < MOST_SECONDS
        asked = time.monotonic()
        server.fetch("/")
        longest = max(longest, time.monotonic() - asked)
        page.wait_for_timeout(500)
    print(f"first picture {time.monotonic() - uploaded:.1f} s after the upload; a page took {longest:.2f} s at most")
    assert longest < MOST_SECONDS_A_PAGE
