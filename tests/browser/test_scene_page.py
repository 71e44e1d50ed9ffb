"""The scene in a real browser: it opens as a file without a network, says nothing on the console, can be used by
everyone, is drawn in more than one colour, and shows what its boxes say.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from looking import Alone
from PIL import Image
from playwright.sync_api import Page, expect

from pipeline.figures.render import write_scene_html
from pipeline.figures.render.outcomes import outcome_styles, outcomes
from pipeline.figures.render.surfaces import surfaces

COLORS = {"mitochondria": "#3cb44b", "vesicles": "#ffe119"}
VOXEL_NM = (40.0, 8.0, 8.0)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, each found, missed and invented; the first is shown."""
    z, y, x = np.indices((12, 80, 80))
    found = []
    for class_id, (name, color) in enumerate(COLORS.items(), start=1):
        middle = 20 + 40 * (class_id - 1)
        truth = ((((z - 6) * 5) ** 2 + (y - middle) ** 2 + (x - 34) ** 2) < 18**2).astype(np.uint8)
        predicted = np.roll(truth, 8, axis=2)
        kinds = outcomes(truth + 1, predicted + 1, 2)
        found += surfaces(kinds, outcome_styles(name, color, shown=class_id == 1), VOXEL_NM)
    path = tmp_path_factory.mktemp("scene") / "scene.html"
    return write_scene_html(found, path, title="Two classes", size_nm=(480.0, 640.0, 640.0), note="A test.")


def opened(page: Page, scene: Path) -> Page:
    page.goto(scene.as_uri())
    page.wait_for_selector("html[data-ready]")
    return page


def seen(page: Page) -> np.ndarray:
    """The drawn scene, (y, x, 3); once two pictures of it are the same."""
    before = None
    for _ in range(40):
        page.wait_for_timeout(150)
        now = page.locator("#view").screenshot()
        if now == before:
            break
        before = now
    return np.asarray(Image.open(io.BytesIO(now)).convert("RGB"), np.int16)


def differs(one: np.ndarray, other: np.ndarray) -> bool:
    return bool((np.abs(one - other).max(axis=2) > 30).mean() > 0.002)


def test_it_opens_offline_without_a_word_and_everyone_can_use_it(scene: Path, alone: Alone) -> None:
    opened(alone.page, scene)
    alone.assert_for_everyone("scene")


def test_what_is_found_missed_and_invented_differs_in_colour(scene: Path, offline_page: Page) -> None:
    picture = seen(opened(offline_page, scene)).reshape(-1, 3)
    red, green, blue = picture.T
    hues = {
        "found": (green > red + 15) & (green > blue + 15),
        "missed": (red > green + 60) & (red > blue + 60),
        "invented": (blue > red + 60) & (blue > green + 20),
    }
    assert {name: bool(here.sum() > 100) for name, here in hues.items()} == dict.fromkeys(hues, True)


def test_boxes_show_and_hide_what_they_name(scene: Path, offline_page: Page) -> None:
    page = opened(offline_page, scene)
    at_first = seen(page)
    groups = {name: page.get_by_role("group", name=name) for name in COLORS}
    missed = groups["mitochondria"].get_by_role("checkbox", name="missed")
    whole = groups["mitochondria"].get_by_role("checkbox", name="mitochondria", exact=True)
    expect(whole).to_be_checked()
    missed.uncheck()
    without = seen(page)
    assert differs(at_first, without)
    assert whole.evaluate("box => box.indeterminate")
    whole.check()
    expect(missed).to_be_checked()
    assert not differs(at_first, seen(page))
    groups["vesicles"].get_by_role("checkbox", name="vesicles", exact=True).check()
    assert differs(at_first, seen(page))
    page.get_by_role("button", name="Hide all").click()
    expect(page.locator("#legend input:checked")).to_have_count(0)
    assert differs(at_first, seen(page))


def test_it_turns_and_comes_back_by_keyboard(scene: Path, offline_page: Page) -> None:
    page = opened(offline_page, scene)
    page.locator("#view").focus()
    at_first = seen(page)
    page.keyboard.press("ArrowRight")
    assert differs(at_first, seen(page))
    page.keyboard.press("0")
    assert not differs(at_first, seen(page))
