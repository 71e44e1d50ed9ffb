"""Looking at a page as different people do: in both themes, in a wide window and on a phone, with axe's rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Page
from visiting import settle

Violations = Callable[[Page], list[str]]
Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")
WIDE, PHONE = (1280, 860), (390, 844)
"""Widths and heights of a window in CSS pixels."""


@dataclass
class Look:
    """Call it with the page's name: it leaves pictures, and asserts that nothing on the page shuts anybody out."""

    page: Page
    axe: Violations
    pictures: Path

    def __call__(self, name: str) -> None:
        """Leave the window wide and light."""
        for theme in THEMES:
            self.page.emulate_media(color_scheme=theme)
            for size, kind in ((PHONE, "phone"), (WIDE, "wide")):
                self.page.set_viewport_size({"width": size[0], "height": size[1]})
                settle(self.page)
                self.page.screenshot(path=self.pictures / f"{name}-{theme}-{kind}.png")
            found = self.axe(self.page)
            assert not found, f"{name}, {theme}: {found}"
        self.page.emulate_media(color_scheme="light")


@dataclass
class Alone:
    """A page that may read files alone, in a window of some size and theme."""

    page: Page
    window: str
    axe: Violations
    pictures: Path
    console_errors: list[str]

    def assert_for_everyone(self, name: str, *, whole: bool = False) -> None:
        """Leave a picture, of the whole page or of what is seen first; assert that nothing shuts anybody out."""
        self.page.screenshot(path=self.pictures / f"{name}-{self.window}.png", full_page=whole)
        assert not self.axe(self.page)
        assert not self.console_errors
        assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
