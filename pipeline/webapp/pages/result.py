"""What came out of a job: its slices, its surfaces in 3D, what there is of each class, and files to take home."""

from __future__ import annotations

import html

import streamlit as st

from pipeline.webapp import services
from pipeline.webapp.jobs import Job
from pipeline.webapp.pages.words import percent
from pipeline.webapp.results import DOWNLOADS, Result
from pipeline.webapp.widgets import viewer_widget

NEUROGLANCER = "https://neuroglancer-demo.appspot.com/"
SCENE_HEIGHT_PX = 640


def show_result(job: Job) -> None:
    """The result of a job that is done."""
    result = Result.open(job)
    slices, scene, numbers, files = st.tabs(
        ["Slices", "3D", "Numbers", "Download"],
    )
    with slices:
        _show_slices(job, result)
    with scene:
        _show_scene(job)
    with numbers:
        _show_numbers(result)
    with files:
        _show_downloads(job)
        _show_viewers(job, result)


def _api(job: Job) -> str:
    return f"{services.current().settings.base_path}/api/jobs/{job.id}"


def _show_slices(job: Job, result: Result) -> None:
    shares = {share.name: share.share for share in result.class_shares()}
    viewer_widget(
        f"{_api(job)}/slices",
        shape_zyx=result.shape_zyx,
        voxel_size_nm=result.voxel_size_nm,
        classes=[
            {
                "id": each.value,
                "name": each.name.replace("_", " "),
                "color": each.color,
                "share": percent(shares[each.name]),
            }
            for each in result.classes
        ],
        overlapping=result.overlapping,
        key=f"viewer {job.id}",
    )


def _show_scene(job: Job) -> None:
    st.write("Drag to turn, scroll to come nearer. The class that fills the volume is hidden at first.")
    st.iframe(f"{_api(job)}/scene.html", height=SCENE_HEIGHT_PX, alt="Surfaces of the classes in 3D")


def _show_numbers(result: Result) -> None:
    st.dataframe(
        [
            {
                "class": each.name.replace("_", " "),
                "share of the volume, %": 100 * each.share,
                "voxels": each.voxels,
                "connected pieces": each.instances,
            }
            for each in result.class_shares()
        ],
        hide_index=True,
        width="stretch",
    )


def _show_downloads(job: Job) -> None:
    rows = "".join(
        f'<li style="margin:.4em 0"><a href="{_api(job)}/downloads/{kind}" download>{html.escape(each.label)}</a>: '
        f"{html.escape(each.explanation)}</li>"
        for kind, each in DOWNLOADS.items()
    )
    st.html(f"<ul>{rows}</ul>")


def _show_viewers(job: Job, result: Result) -> None:
    """Links that viewers elsewhere can read the volumes by."""
    st.subheader("Open it elsewhere")
