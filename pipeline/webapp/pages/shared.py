"""What all pages share: who is there, the way between pages, errors, numbers and times as people write them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone

import streamlit as st
from streamlit.navigation.page import Page

from pipeline.errors import VemsegError
from pipeline.webapp import services
from pipeline.webapp.executors.base import without_paths
from pipeline.webapp.owners import network_of

PAGES: dict[str, Page] = {}
"""The pages by name; filled by the script before one of them is shown."""
STATES = {
    "queued": ("waiting", ":material/hourglass_empty:", "gray"),
    "running": ("running", ":material/autorenew:", "blue"),
    "done": ("done", ":material/check_circle:", "green"),
    "failed": ("failed", ":material/error:", "red"),
    "cancelled": ("cancelled", ":material/cancel:", "gray"),
}
"""Word, icon and colour of each state of a job."""
CHIP = "display:inline-flex;align-items:center;gap:.35em;margin:0 .8em .2em 0"
SWATCH = "width:.85em;height:.85em;border-radius:.2em;border:1px solid"


def visitor() -> str | None:
    """The owner that the request for this page came from."""
    return services.current().owners.of(st.context.headers, st.context.cookies)


def owner() -> str:
    """The owner, on a page that is shown to somebody only."""
    who = visitor()
    assert who is not None
    return who


def address() -> str:
    """What stands for the browser's network where users are not signed in."""
    signed_in = services.current().owners.user_header is not None
    return "" if signed_in else network_of(st.context.ip_address or "127.0.0.1")


def open_job(job_id: str) -> None:
    """Go to the page of a job."""
    st.switch_page(PAGES["job"], query_params={"job": job_id})


def _for_users(text: str) -> str:
    """A message without folders of the server, but for those that users may name."""
    named = services.current().settings.folders
    return text if any(place in text for place in named) else without_paths(text)


@contextmanager
def explained() -> Iterator[None]:
    """Show our own errors where they happen, and keep the rest of the page alive."""
    try:
        yield
    except VemsegError as error:
        st.error(plain(_for_users(str(error))), icon=":material/error:")


def badge(state: str) -> str:
    """A job's state as Markdown."""
    word, icon, color = STATES[state]
    return f":{color}-badge[{icon} {word}]"


def plain(text: str) -> str:
    """A user's own words for Markdown that is to show them as they are."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)  # ASCII's punctuation: Markdown knows no other


def size_zyx(shape_zyx: Sequence[int]) -> str:
    """Slices and their size; pixels in the order in which pictures are described, width first."""
    depth, height, width = shape_zyx
    return f"{depth} {'slice' if depth == 1 else 'slices'} of {width} × {height} pixels"


def voxel_nm(voxel_size_nm: Sequence[float]) -> str:
    """A voxel's size, x and y first."""
    z, y, x = (f"{edge:g}" for edge in voxel_size_nm)
    return f"{x} × {y} nm in a slice, {z} nm between slices"


def moment(at: float, offset_minutes: int | None) -> str:
    """A time of day where the user is. The offset is JavaScript's: minutes from local time to UTC."""
    zone = UTC if offset_minutes is None else timezone(timedelta(minutes=-offset_minutes))
    return f"{datetime.fromtimestamp(at, zone):%d %b %Y, %H:%M}"


def spaced(name: str) -> str:
    """A name of the configuration as words."""
    return name.replace("_", " ")


def chips(classes: Sequence[tuple[str, str]]) -> str:
    """Names of classes, each beside its colour, as HTML."""
    return " ".join(
        f'<span style="{CHIP}"><span style="{SWATCH};background:{html.escape(color)}"></span>'
        f"{html.escape(spaced(name))}</span>"
        for name, color in classes
    )
