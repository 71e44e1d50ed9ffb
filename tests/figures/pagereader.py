"""Reading a page as its reader does: tables by their captions, text, and what it would load."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

LOADING = ("src", "href", "srcset", "data", "poster", "action")


@dataclass
class Page(HTMLParser):
    """Call `of`. Cells of tables hold their text, with single spaces."""

    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    addresses: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    text: str = ""
    _captions: list[str] = field(default_factory=list)
    _open: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, html: str) -> Page:
        """The page read to its end."""
        page = cls()
        HTMLParser.__init__(page)
        page.feed(html)
        page.close()
        page.text = " ".join(page.text.split())
        page.tables = {
            " ".join(caption.split()): [[" ".join(cell.split()) for cell in row] for row in rows]
            for caption, rows in page.tables.items()
        }
        return page

    def table(self, caption: str) -> list[list[str]]:
        """The rows of the one table whose caption starts so."""
        (found,) = (rows for name, rows in self.tables.items() if name.startswith(caption))
        return found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in LOADING]
        if tag == "caption":
            self._captions.append("")
        if tag == "tr":
            self.tables.setdefault(self._captions[-1], []).append([])
        if tag in ("td", "th"):
            self.tables[self._captions[-1]][-1].append("")
        if tag not in ("meta", "img", "input", "wbr", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        if "style" in self._open or "script" in self._open:
            return
        self.text += data
        if "caption" in self._open:
            self._captions[-1] += data
        elif "td" in self._open or "th" in self._open:
            self.tables[self._captions[-1]][-1][-1] += data
