"""The whole way of a visitor: upload a zipped stack, see what was found, segment it, look at it, take it home.

The labels that come down are those of `vemseg run workflows/segment.yaml` on the same stack, byte for byte. Each page
is looked at by axe in both themes, and pictures of it are left where VEMSEG_SCREENSHOTS says. What the tiny model finds
is of no scientific worth: it tells dark, grey and bright apart.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from appserver import VOXEL_SIZE_NM, AppServer, sections, zip_of_slices
from looking import Look, Violations
from numpy.typing import NDArray
from playwright.sync_api import BrowserContext, Page, expect
from visiting import (
    colours,
    give_file,
    open_tab,
    scene_frame,
    settle,
    start,
    state_voxel_size,
    until,
    wait_for_result,
)

WORKFLOW = Path(__file__).parents[2] / "workflows" / "segment.yaml"
SLICES, SIDE = 20, 512


def slices() -> NDArray[np.uint8]:
    """What is segmented (z, y, x)."""
    return sections(SLICES)[:, :SIDE, :SIDE]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of slices."""
    return zip_of_slices(tmp_path_factory.mktemp("stack") / "stack.zip", slices())


@pytest.mark.slow
def test_from_a_zip_to_the_labels_of_the_command_line(
    server: AppServer, model: Path, stack: Path, page: Page, console_errors: list[str], axe: Violations, pictures: Path
) -> None:
    look = Look(page, axe, pictures)
    give_file(page, server.url, stack)
    state_voxel_size(page, VOXEL_SIZE_NM)
    expect(page.get_by_text(f"{SLICES} slices of")).to_be_visible()
    expect(page.get_by_role("button", name="Start the segmentation")).to_be_enabled()
    look("found")
    start(page)
    expect(page.get_by_text("Reading the volume")).to_be_visible()
    look("running")
    wait_for_result(page)
    _try_slices(page)
    look("slices")
    open_tab(page, "3D")
    frame = scene_frame(page)
    assert colours(frame.locator("canvas").first) > 1
    told = [int(text.replace(",", "")) for text in frame.locator(".count").all_inner_texts()]
    assert sum(told) == slices().size  # of the data, though what is drawn is coarser
    look("scene")
    open_tab(page, "Numbers")
    expect(page.get_by_role("row", name="grey")).to_be_visible()
    look("numbers")
    open_tab(page, "Download")
    expect(page.get_by_role("link", name="TIFF")).to_be_visible()
    look("download")
    with page.expect_download() as coming:
        page.get_by_role("link", name="TIFF").click()
    assert coming.value.path().read_bytes() == _labels_of_the_command_line(model, stack)
    page.get_by_role("link", name="My segmentations").click()
    expect(page.get_by_role("button", name="Open")).to_be_visible()
    look("history-of-one")
    assert not console_errors


def _try_slices(page: Page) -> None:
    """Each control of the viewer changes the picture, and the picture is in colour until no class is shown."""
    canvas = page.locator("canvas")
    seen = [canvas.screenshot()]
    assert colours(canvas) > 1

    def changed() -> None:
        until(page, lambda: canvas.screenshot() not in seen)
        seen.append(canvas.screenshot())

    page.get_by_role("slider", name="Slice").fill("3")
    expect(canvas).to_have_attribute("data-drawn", "z 3")
    changed()
    canvas.press("ArrowRight")
    expect(canvas).to_have_attribute("data-drawn", "z 4")
    changed()
    page.get_by_role("slider", name="Strength of the colours").fill("90")
    changed()
    for name, value in (("Brightness", "40"), ("Contrast", "-40")):
        page.get_by_role("slider", name=name).fill(value)
        changed()
    page.get_by_role("checkbox", name="grey", exact=True).click()
    changed()
    page.get_by_role("checkbox", name="Image alone").check()
    changed()
    assert colours(canvas) == 0
    page.get_by_role("checkbox", name="Image alone").uncheck()
    until(page, lambda: colours(canvas) > 0)
    page.get_by_role("button", name="Hide all").click()
    until(page, lambda: colours(canvas) == 0)
    page.get_by_role("button", name="Show all").click()
    page.get_by_text("x–z").click()
    expect(canvas).to_have_attribute("data-drawn", re.compile("y "))
    changed()
    page.get_by_text("x–y").click()


def _labels_of_the_command_line(model: Path, stack: Path) -> bytes:
    """The same stack through the workflow, exported as TIFF."""
    run, size = stack.parent / "run", ",".join(map(str, VOXEL_SIZE_NM))
    parameters = {"model": model / "models/multilabel", "input": stack, "run": run, "voxel-size-nm": size}
    parameters["intensity"] = "match"  # what the page proposes for a stack as far as this one
    _vemseg("run", WORKFLOW, *(f"--parameter={name}={value}" for name, value in parameters.items()))
    tiff = run / "labels.tif"
    _vemseg("export", run / "volume.zarr/volume/labels/segmentation", tiff)
    return tiff.read_bytes()


def _vemseg(*words: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "pipeline", *map(str, words)], check=True, capture_output=True)


@pytest.mark.slow
def test_first_page_and_history_are_accessible_and_quiet(
    server: AppServer, page: Page, console_errors: list[str], axe: Violations, pictures: Path
) -> None:
    look = Look(page, axe, pictures)
    page.goto(server.url)
    expect(page.get_by_role("button", name="Choose a file")).to_be_visible()
    look("start")
    page.goto(f"{server.url}/history")
    expect(page.get_by_text("Nothing yet")).to_be_visible()
    look("history")
    assert not console_errors


@pytest.mark.slow
def test_nothing_is_asked_of_other_sites(server: AppServer, context: BrowserContext, page: Page) -> None:
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page.goto(server.url)
    expect(page.get_by_role("button", name="Choose a file")).to_be_visible()
    settle(page)
    assert [url for url in asked if not url.startswith((server.url, "data:", "blob:"))] == []
