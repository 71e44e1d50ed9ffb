"""A visitor of a result with objects sorts their list, picks one, is shown where it lies, and takes the table home."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import pyvista
from appserver import AppServer, serving, zip_of_slices
from looking import Look, Violations
from playwright.sync_api import Page, expect
from tinystudy import VOXEL_SIZE_NM, place, tissue
from visiting import give_file, open_tab, settle, start, state_voxel_size, wait_for_result

from pipeline.run.layout import Run
from pipeline.run.objecttables import read_table

HEAD_PX, ROW_PX, MARK_PX = 35, 35, 20
"""Of the list, which is drawn on a canvas: its head, a row, and where in a row one ticks it."""


@pytest.fixture(scope="module")
def served(with_objects: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    with serving(place(with_objects), tmp_path_factory.mktemp("app")) as running:
        yield running


@pytest.mark.slow
def test_a_picked_object_is_shown_and_all_are_taken_home(
    served: AppServer, tmp_path: Path, page: Page, console_errors: list[str], axe: Violations, pictures: Path
) -> None:
    grey, _ = tissue((4, 64, 96), seed=3)
    give_file(page, served.url, zip_of_slices(tmp_path / "stack.zip", grey))
    state_voxel_size(page, VOXEL_SIZE_NM)
    job = start(page)
    wait_for_result(page)
    open_tab(page, "Objects")
    viewer = page.locator("canvas[data-drawn]")
    expect(viewer).to_have_attribute("data-framed", "false")
    (folder,) = served.folder.rglob(job)
    run = Run.open(folder / "run")
    largest = max((row for row in read_table(run, "objects").to_pylist() if row["class"] == "grey"), key=_voxels)
    grid = page.get_by_test_id("stDataFrame")
    grid.click(position={"x": MARK_PX, "y": HEAD_PX + ROW_PX / 2})
    expect(viewer).to_have_attribute("data-framed", "true")
    expect(viewer).to_have_attribute("data-drawn", f"z {round(largest['centroid_z_voxel'])}")
    settle(page)
    Look(page, axe, pictures)("objects")
    with page.expect_download() as coming:
        page.get_by_role("link", name="Mesh (PLY)").click()
    mesh = pyvista.read(coming.value.path().rename(tmp_path / "object.ply"))
    assert mesh.center == pytest.approx([largest[f"centroid_{axis}_nm"] for axis in "xyz"], abs=100)
    open_tab(page, "Download")
    with page.expect_download() as coming:
        page.get_by_role("link", name="Objects (CSV)").click()
    assert coming.value.path().read_bytes() == run.evaluation_store.read("objects.csv")
    rows = list(csv.DictReader(io.StringIO(coming.value.path().read_text())))
    ids = run.objects("bright", "volume").read(run.objects("bright", "volume").geometry.block)
    assert sum(row["class"] == "bright" for row in rows) == len(set(np.unique(ids)) - {0})
    assert not console_errors


def _voxels(row: dict[str, object]) -> int:
    return int(str(row["voxels"]))
