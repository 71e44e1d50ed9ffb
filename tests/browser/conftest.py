"""A real browser for the tests: Debian's Chromium, driven by Playwright, with software rendering of WebGL.

Tests that ask for it are skipped where Chromium is not installed; `containers/system-packages` installs it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from appserver import AppServer, serving, train_tiny_model
from axe_playwright_python.sync_playwright import Axe
from looking import THEMES, WIDE, Alone, Theme, Violations
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright
from visiting import WAITING_MS, window

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--no-sandbox",  # root in a container has none
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",  # /dev/shm of a container is too small for large canvases
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)
SERIOUS = ("serious", "critical")
WINDOWS = {"wide": WIDE, "phone": (375, 844)}
OWN_SCHEMES = ("file:", "data:", "blob:", "about:")


expect.set_options(timeout=WAITING_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for the tests of a file; Playwright's event loop must not outlast them in a shared process."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: containers/system-packages installs it")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A window without cookies or history, closed with the test."""
    fresh = window(browser, viewport={"width": WIDE[0], "height": WIDE[1]})
    yield fresh
    fresh.close()


@pytest.fixture
def console_errors(context: BrowserContext) -> list[str]:
    """What the pages of the test write to the console as errors, and what they throw; fills as they run."""
    found: list[str] = []
    context.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    context.on("weberror", lambda thrown: found.append(str(thrown.error)))
    return found


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """An empty page."""
    return context.new_page()


@pytest.fixture
def offline_page(context: BrowserContext) -> Iterator[Page]:
    """A page that reads files alone; asking for anything else fails the test at its end."""
    asked: list[str] = []

    def only_files(route: Route) -> None:
        if route.request.url.startswith(OWN_SCHEMES):
            route.continue_()
        else:
            asked.append(route.request.url)
            route.abort()

    context.route("**/*", only_files)
    yield context.new_page()
    assert not asked, f"the page asked for {asked}"


@pytest.fixture(scope="session")
def axe() -> Violations:
    """A function that lists the serious and critical violations of accessibility on a page, by axe-core."""
    checker = Axe()

    def violations(page: Page) -> list[str]:
        return [_described(found) for found in checker.run(page).response["violations"] if found["impact"] in SERIOUS]

    return violations


def _described(violation: dict[str, Any]) -> str:
    places = [" ".join(map(str, node["target"])) for node in violation["nodes"]]
    return f"{violation['id']} ({violation['impact']}): {violation['help']}: {', '.join(places)}"


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a multilabel model, trained for a few seconds."""
    return train_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """A server for the tests of a file."""
    with serving(model, tmp_path_factory.mktemp("app")) as running:
        yield running


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where a test leaves its screenshots: the folder that VEMSEG_SCREENSHOTS names, or a passing one."""
    folder = Path(os.environ.get("VEMSEG_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(params=THEMES)
def theme(request: pytest.FixtureRequest) -> Theme:
    """Each theme that a visitor may prefer."""
    chosen: Theme = request.param
    return chosen


@pytest.fixture(params=WINDOWS)
def alone(
    request: pytest.FixtureRequest,
    theme: Theme,
    offline_page: Page,
    axe: Violations,
    pictures: Path,
    console_errors: list[str],
) -> Alone:
    """An empty page in each window and theme, for a file that stands alone."""
    width, height = WINDOWS[request.param]
    offline_page.set_viewport_size({"width": width, "height": height})
    offline_page.emulate_media(color_scheme=theme)
    return Alone(offline_page, f"{request.param}-{theme}", axe, pictures, console_errors)
