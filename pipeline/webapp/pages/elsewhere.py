"""Links by which other programs open a result without downloading all of it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlsplit

import streamlit as st

from pipeline.webapp import services
from pipeline.webapp.jobs import Job
from pipeline.webapp.results import Result

NEUROGLANCER = "https://neuroglancer-demo.appspot.com/"


def show_viewers(job: Job, result: Result) -> None:
    """The links, and who may use them."""
    volumes = f"{_address()}/volumes/{services.current().links.token(job.owner, job.id)}"
    st.subheader("Look at it elsewhere")
    st.link_button("Open in Neuroglancer", neuroglancer_url(volumes, result), icon=":material/open_in_new:")
    st.write("In napari, with its plugin *napari-ome-zarr*:")
    st.code(f'napari --plugin napari-ome-zarr "{volumes}/raw" "{volumes}/labels"', language=None, wrap_lines=True)
    st.caption("Whoever has such a link can look at this one result, without signing in, until it is deleted.")


def neuroglancer_url(volumes: str, result: Result) -> str:
    """Neuroglancer with image and classes, in the classes' colours; its state is JSON behind the #."""
    layers: list[dict[str, Any]] = [
        {"type": "image", "name": "image", "source": f"zarr3://{volumes}/raw"},
        {
            "type": "segmentation",
            "name": "classes",
            "source": f"zarr3://{volumes}/labels",
            "segments": [str(value) for value, _, _ in result.classes],
            "segmentColors": {str(value): color for value, _, color in result.classes},
        },
    ]
    state = {"layers": layers, "layout": "4panel", "selectedLayer": {"visible": True, "layer": "classes"}}
    return f"{NEUROGLANCER}#!{quote(json.dumps(state))}"


def _address() -> str:
    """Where the browser found this application."""
    page = urlsplit(st.context.url or "")
    return f"{page.scheme}://{page.netloc}{services.current().settings.base_path}"
