"""What all pages share: who is there, the way between pages, and errors in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import streamlit as st

from pipeline.errors import VemsegError
from pipeline.webapp import services
from pipeline.webapp.pages.words import plain

if TYPE_CHECKING:
    from streamlit.navigation.page import Page

PAGES: dict[str, Page] = {}
"""The pages by name; filled by the script before one of them is shown."""


def visitor() -> str | None:
    """The owner that the request for this page came from."""
    return services.current().owners.of(st.context.headers, st.context.cookies)


def owner() -> str:
    """The owner, on a page that is shown to somebody only."""
    who = visitor()
    assert who is not None
    return who


def open_job(job_id: str) -> None:
    """Go to the page of a job."""
    st.switch_page(PAGES["job"], query_params={"job": job_id})


@contextmanager
def explained() -> Iterator[None]:
    """Show our own errors where they happen, and keep the rest of the page alive."""
    try:
        yield
    except VemsegError as error:
        st.error(plain(str(error)), icon=":material/error:")
