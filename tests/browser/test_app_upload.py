"""The upload widget: by keyboard, by drag and drop; paused, offline, and after the page was loaded anew it goes on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from appserver import AppServer
from playwright.sync_api import BrowserContext, Page, expect
from visiting import until

BYTES = 20 << 20  # three pieces of the widget
SLOW = 1e6
"""Bytes a second."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that takes a while; it is no TIFF, but that is seen when it has arrived."""
    path = tmp_path / "large.tif"
    path.write_bytes(os.urandom(BYTES))
    return path


@pytest.mark.slow
def test_an_upload_goes_on_after_all_that_may_happen(
    server: AppServer, context: BrowserContext, page: Page, file: Path
) -> None:
    page.on("dialog", lambda dialog: dialog.accept())  # whether to leave while a file is uploaded
    page.goto(server.url)
    line = Line(context, page)
    line.is_now(upload_bytes_per_second=SLOW)
    _choose_by_keyboard(page, file)
    _wait_for_progress(page, above=0.0)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused.")).to_be_visible()
    (folder,) = (server.folder / "uploads").iterdir()
    page.wait_for_timeout(500)
    paused_at = (folder / "part").stat().st_size
    page.wait_for_timeout(1000)
    assert (folder / "part").stat().st_size == paused_at

    page.get_by_role("button", name="Resume").click()
    _wait_for_progress(page, above=paused_at / BYTES)
    line.is_now(offline=True)
    expect(page.get_by_text("The connection was lost")).to_be_visible()
    line.is_now(upload_bytes_per_second=SLOW)
    _wait_for_progress(page, above=_progress(page))

    page.reload()
    line.is_now()
    _choose_by_keyboard(page, file)
    expect(page.get_by_role("alert").filter(has_text=file.name)).to_be_visible()
    assert [entry.name for entry in (server.folder / "uploads").iterdir()] == [folder.name]
    assert (folder / file.name).read_bytes() == file.read_bytes()


@pytest.mark.slow
def test_files_are_dropped_one_at_a_time(server: AppServer, page: Page) -> None:
    page.goto(server.url)
    zone = page.locator(".drop")
    expect(zone).to_be_visible()
    zone.dispatch_event("drop", {"dataTransfer": _dropped(page, "a.png", "b.png")})
    expect(page.get_by_text("One file, please")).to_be_visible()
    zone.dispatch_event("drop", {"dataTransfer": _dropped(page, "a.tif")})
    expect(page.get_by_role("alert").filter(has_text="a.tif")).to_be_visible()


@pytest.mark.slow
def test_a_cancelled_upload_leaves_nothing(server: AppServer, context: BrowserContext, page: Page, file: Path) -> None:
    page.goto(server.url)
    line = Line(context, page)
    line.is_now(upload_bytes_per_second=SLOW)
    _choose_by_keyboard(page, file)
    _wait_for_progress(page, above=0.0)
    before = set((server.folder / "uploads").iterdir())
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Choose a file")).to_be_visible()
    line.is_now()
    until(page, lambda: len(set((server.folder / "uploads").iterdir())) == len(before) - 1)


def _choose_by_keyboard(page: Page, file: Path) -> None:
    button = page.get_by_role("button", name="Choose a file")
    expect(button).to_be_visible()
    with page.expect_file_chooser() as opened:
        button.press("Enter")
    opened.value.set_files(file)


def _progress(page: Page) -> float:
    value: float = page.get_by_role("progressbar", name="Uploaded so far").evaluate("bar => bar.value")
    return value


def _wait_for_progress(page: Page, *, above: float) -> None:
    until(page, lambda: _progress(page) > above)


class Line:
    """The connection of a page. One session of the protocol: conditions that two of them set do not add up."""

    def __init__(self, context: BrowserContext, page: Page) -> None:
        self._session = context.new_cdp_session(page)
        self._session.send("Network.enable")

    def is_now(self, *, upload_bytes_per_second: float = -1, offline: bool = False) -> None:
        """Change it; -1 is as fast as it goes."""
        conditions = {"offline": offline, "latency": 0, "downloadThroughput": -1}
        conditions["uploadThroughput"] = upload_bytes_per_second
        self._session.send("Network.emulateNetworkConditions", conditions)


def _dropped(page: Page, *names: str) -> object:
    return page.evaluate_handle(
        """names => {
            const transfer = new DataTransfer();
            names.forEach((name) => transfer.items.add(new File(['no slices'], name)));
            return transfer;
        }""",
        list(names),
    )
