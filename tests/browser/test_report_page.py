"""The report in a real browser: it opens as a file without a network, says nothing on the console, and can be used by
everyone, in light and dark, on a wide screen and on a phone, and on paper.

Its figures are tested in tests/figures; here it is looked at as a page.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from looking import Alone
from playwright.sync_api import Page, expect
from tinystudy import place
from visiting import window

from pipeline.run.layout import Run
from pipeline.steps.report import report


@pytest.fixture(scope="module")
def written(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a finished run, alone in a folder."""
    run = tmp_path_factory.mktemp("reported") / "run"
    shutil.copytree(place(finished), run)
    report(str(run))
    alone = tmp_path_factory.mktemp("alone") / "report.html"
    shutil.copy(run / "evaluation/report.html", alone)
    return alone


def test_it_opens_offline_without_a_word_and_everyone_can_use_it(written: Path, alone: Alone) -> None:
    alone.page.goto(written.as_uri())
    folded = alone.page.locator("details:not([open]) > summary")
    while folded.count():
        folded.first.click()
    alone.assert_for_everyone("report", whole=True)
    assert alone.page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 50)")


def lightness(page: Page) -> float:
    """Of the page's background, from 0 to 255."""
    color = page.evaluate("getComputedStyle(document.body).backgroundColor")
    channels = [float(channel) for channel in color.removeprefix("rgb(").removesuffix(")").split(",")]
    return sum(channels) / 3


def test_it_is_as_light_as_the_system_until_told_otherwise(written: Path, offline_page: Page) -> None:
    offline_page.emulate_media(color_scheme="light")
    offline_page.goto(written.as_uri())
    assert lightness(offline_page) > 200
    offline_page.emulate_media(color_scheme="dark")
    assert lightness(offline_page) < 50
    offline_page.get_by_role("button", name="Light page").click()
    assert lightness(offline_page) > 200
    offline_page.reload()
    assert lightness(offline_page) > 200


def test_a_measure_is_chosen_by_keyboard(written: Path, offline_page: Page) -> None:
    offline_page.goto(written.as_uri())
    expect(offline_page.locator(".measure-f1")).to_be_visible()
    offline_page.get_by_role("radio", name="F1").focus()
    offline_page.keyboard.press("ArrowRight")
    expect(offline_page.locator(".measure-iou")).to_be_visible()
    expect(offline_page.locator(".measure-f1")).to_be_hidden()


def test_every_section_is_reached_from_the_navigation(written: Path, offline_page: Page) -> None:
    offline_page.goto(written.as_uri())
    links = offline_page.get_by_role("navigation").get_by_role("link").all()
    assert len(links) == 8
    for link in links:
        anchor = link.get_attribute("href")
        link.click()
        expect(offline_page.locator(str(anchor))).to_be_in_viewport()


def test_on_paper_everything_is_unfolded_and_light(written: Path, offline_page: Page, pictures: Path) -> None:
    offline_page.emulate_media(color_scheme="dark")
    offline_page.goto(written.as_uri())
    folded = offline_page.locator("details:not([open])")
    before = folded.count()
    offline_page.emulate_media(media="print", color_scheme="dark")
    offline_page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert folded.count() == 0
    assert lightness(offline_page) == 255
    expect(offline_page.get_by_role("navigation")).to_be_hidden()
    offline_page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert folded.count() == before > 0
    offline_page.pdf(path=pictures / "report.pdf", prefer_css_page_size=True, print_background=True)
    assert (pictures / "report.pdf").read_bytes().startswith(b"%PDF")


def test_it_can_be_read_without_scripts(written: Path, browser, pictures: Path) -> None:
    context = window(browser, java_script_enabled=False)
    page = context.new_page()
    page.goto(written.as_uri())
    expect(page.get_by_role("heading", level=1)).to_have_text("tiny")
    expect(page.locator(".measure-f1 table")).to_be_visible()
    expect(page.get_by_role("button", name="page")).to_have_count(0)
    context.close()
