"""What a visitor does in the application, for the tests: words and roles as people and screen readers find them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Frame, Locator, Page, expect

WAITING_MS = 300_000
"""After which a test gives up: far above what any page, scene or job takes, since another test may train beside it."""


def window(browser: Browser, **options: Any) -> BrowserContext:
    """A window without cookies or history, in which pages are waited for as long as it takes."""
    fresh = browser.new_context(**options)
    fresh.set_default_timeout(WAITING_MS)
    return fresh


def give_file(page: Page, url: str, file: Path) -> None:
    """Open the first page and upload a file."""
    page.goto(url)
    expect(page.get_by_role("button", name="Choose a file")).to_be_visible()
    page.locator("input[type=file]").set_input_files(file)


def state_voxel_size(page: Page, size_nm: Sequence[float]) -> None:
    """Fill in z, y, x where the file does not say."""
    z_nm, _, x_nm = size_nm
    for label, value in (("Pixel size in a slice", x_nm), ("Distance between slices", z_nm)):
        field = page.get_by_label(label)
        expect(field).to_be_visible()
        field.fill(f"{value:g}")
        field.press("Enter")


def start(page: Page) -> str:
    """Start the segmentation; the id of the job."""
    button = page.get_by_role("button", name="Start the segmentation")
    expect(button).to_be_enabled()
    button.click()
    page.wait_for_url(re.compile(r"/job\?job="))
    return page.url.rsplit("=", 1)[-1]


def wait_for_result(page: Page) -> None:
    """Until the slices can be looked at."""
    expect(page.get_by_role("tab", name="Slices")).to_be_visible()
    expect(page.locator("canvas[data-drawn]")).to_be_visible()


def open_tab(page: Page, name: str) -> None:
    """Turn to another part of the result."""
    page.get_by_role("tab", name=name).click()


def scene_frame(page: Page) -> Frame:
    """The page with the scene in 3D, once it is drawn."""
    handle = page.locator("iframe").element_handle()
    frame = handle.content_frame()
    assert frame is not None
    frame.wait_for_selector("html[data-ready]", state="attached")
    return frame


def colours(canvas: Locator) -> int:
    """How many different colours, in steps of 32, are seen where a canvas is; greys do not count.

    What is on the screen counts, since a WebGL canvas may forget its picture once that is shown.
    """
    with Image.open(BytesIO(canvas.screenshot())) as picture:
        seen = np.asarray(picture.convert("RGB")) // 32
    coloured = seen[np.ptp(seen, axis=-1) > 1]
    return len(np.unique(coloured, axis=0))


def until(page: Page, holds: Callable[[], bool]) -> None:
    """Wait for what no locator can say. Raises AssertionError when it does not come."""
    end = time.monotonic() + WAITING_MS / 1000
    while not holds():
        assert time.monotonic() < end, "what the test waits for has not come"
        page.wait_for_timeout(100)


def settle(page: Page) -> None:
    """Wait until Streamlit has drawn all of the page."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
