"""Links by which other programs open a result without downloading all of it."""

from __future__ import annotations

from urllib.parse import urlsplit

import streamlit as st

from pipeline.webapp import services
from pipeline.webapp.jobs import Job
from pipeline.webapp.neuroglancer import neuroglancer_url
from pipeline.webapp.results import Result


def show_viewers(job: Job, result: Result) -> None:
    """The links, and who may use them."""
    volumes = f"{_address()}/volumes/{services.current().links.token(job.owner, job.id)}"
    raw, labels = f"{volumes}/raw", f"{volumes}/labels"
    st.header("Look at it elsewhere")
    link = neuroglancer_url(raw, labels, result.classes, result.geometry)
    st.link_button("Open in Neuroglancer", link, icon=":material/open_in_new:")
    st.write("In napari, with its plugin *napari-ome-zarr*:")
    st.code(f'napari --plugin napari-ome-zarr "{raw}" "{labels}"', language=None, wrap_lines=True)
    st.caption("Whoever has such a link can look at this one result, without signing in, until it is deleted.")


def _address() -> str:
    """Where the browser found this application."""
    page = urlsplit(st.context.url or "")
    return f"{page.scheme}://{page.netloc}{services.current().settings.base_path}"
