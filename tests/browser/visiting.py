"""What a visitor does in the application, for the tests: words and roles as people and screen readers find them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Frame, Locator, Page, expect

LOOKING_MS, DRAWING_MS, SEGMENTING_MS = 60_000, 180_000, 300_000
"""Most that a page, a scene drawn without a GPU, and a job may take on a busy machine before a test gives up."""


def give_file(page: Page, url: str, file: Path) -> None:
    """Open the first page and upload a file."""
    page.goto(url, timeout=LOOKING_MS)
    expect(page.get_by_role("button", name="Choose a file")).to_be_visible(timeout=LOOKING_MS)
    page.locator("input[type=file]").set_input_files(file)


def state_voxel_size(page: Page, size_nm: Sequence[float]) -> None:
    """Fill in z, y, x where the file does not say."""
    z_nm, _, x_nm = size_nm
    for label, value in (("Pixel size in a slice", x_nm), ("Distance between slices", z_nm)):
        field = page.get_by_label(label)
        expect(field).to_be_visible(timeout=LOOKING_MS)
        field.fill(f"{value:g}")
        field.press("Enter")


def start(page: Page) -> str:
    """Start the segmentation; the id of the job."""
    button = page.get_by_role("button", name="Start the segmentation")
    expect(button).to_be_enabled(timeout=LOOKING_MS)
    button.click()
    page.wait_for_url(re.compile(r"/job\?job="), timeout=LOOKING_MS)
    return page.url.rsplit("=", 1)[-1]


def wait_for_result(page: Page) -> None:
    """Until the slices can be looked at."""
    expect(page.get_by_role("tab", name="Slices")).to_be_visible(timeout=SEGMENTING_MS)
    expect(page.locator("canvas[data-drawn]")).to_be_visible(timeout=LOOKING_MS)


def open_tab(page: Page, name: str) -> None:
    """Turn to another part of the result."""
    page.get_by_role("tab", name=name).click()


def scene_frame(page: Page) -> Frame:
    """The page with the scene in 3D, once it is drawn."""
    handle = page.locator("iframe").element_handle(timeout=DRAWING_MS)
    frame = handle.content_frame()
    assert frame is not None
    frame.wait_for_selector("html[data-ready]", state="attached", timeout=DRAWING_MS)
    return frame


def colours(canvas: Locator) -> int:
    """How many different colours, in steps of 32, are seen where a canvas is; greys do not count.

    What is on the screen counts, since a WebGL canvas may forget its picture once that is shown.
    """
    with Image.open(BytesIO(canvas.screenshot(timeout=DRAWING_MS))) as picture:
        seen = np.asarray(picture.convert("RGB")) // 32
    coloured = seen[np.ptp(seen, axis=-1) > 1]
    return len(np.unique(coloured, axis=0))


def settle(page: Page) -> None:
    """Wait until Streamlit has drawn all of the page."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning", timeout=LOOKING_MS)
