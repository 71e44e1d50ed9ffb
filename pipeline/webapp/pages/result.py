"""What came out of a job: its slices, its surfaces in 3D, what there is of each class, and files to take home."""

from __future__ import annotations

import html
from typing import Any
from urllib.parse import urlsplit

import streamlit as st

from pipeline.formats import file_size, percent_phrase, volume_um3
from pipeline.objects.columns import Table
from pipeline.volume.viewers import LabelLayer, neuroglancer_url
from pipeline.webapp import services
from pipeline.webapp.downloads import MESH_TYPES, Download, object_mesh
from pipeline.webapp.jobs import Job
from pipeline.webapp.pages.shared import explained, spaced
from pipeline.webapp.results import SPECK_VOXELS, ClassCount, Result, Whereabouts
from pipeline.webapp.widgets import viewer_widget

SCENE_HEIGHT_PX = 680
LIST_HEIGHT_PX = 320
MEASURES = {
    "Volume, µm³": ("volume_nm3", 1e-9),
    "Surface, µm²": ("surface_nm2", 1e-6),
    "Length, nm": ("axis_major_nm", 1.0),
    "Sphericity": ("sphericity", 1.0),
    "To membrane, nm": ("membrane_distance_nm", 1.0),
}
"""Of the list: a title, the column of the table, and by what it is multiplied."""
MOST_OBJECTS = 20_000
"""In the list: more would take long to send."""


def show_result(job: Job) -> None:
    """The result of a job that is done; what takes long is made when its tab is opened."""
    with explained():
        result = Result.open(job)
        listed = ["Objects"] if result.object_classes else []
        slices, scene, numbers, *objects, files = st.tabs(
            ["Slices", "3D", "Numbers", *listed, "Download"], on_change="rerun", key=f"part of {job.id}"
        )
        with slices:
            if slices.open:
                _show_slices(job, result)
        with scene:
            if scene.open:
                _show_scene(job, result)
        with numbers:
            if numbers.open:
                _show_numbers(result)
        for tab in objects:
            with tab:
                if tab.open:
                    _show_objects(job, result)
        with files:
            if files.open:
                _show_downloads(job, result)
                _show_viewers(job, result)


def _api(job: Job) -> str:
    return f"{services.current().settings.base_path}/api/jobs/{job.id}"


def _show_slices(job: Job, result: Result, at: Whereabouts | None = None, name: str = "viewer") -> None:
    viewer_widget(
        f"{_api(job)}/slices",
        shape_zyx=result.shape_zyx,
        voxel_size_nm=result.voxel_size_nm,
        classes=[(spaced(name), color) for _, name, color in result.classes],
        background=result.background,
        at=at,
        key=f"{name} {job.id}",
    )


def _show_scene(job: Job, result: Result) -> None:
    with st.spinner(f"Drawing the surfaces of {len(result.classes)} classes", show_time=True):
        result.scene()
    st.iframe(f"{_api(job)}/scene.html", height=SCENE_HEIGHT_PX, alt="Surfaces of the classes in 3D")


def _show_numbers(result: Result) -> None:
    with st.spinner("Counting", show_time=True):
        counts = result.class_counts()
    st.table([_row(count) for count in counts], hide_index=True, border="horizontal", alt="What there is of each class")
    st.caption(
        f"A piece is a connected part of a class of at least {SPECK_VOXELS} voxels; smaller ones "
        "are mostly noise, and only the CSV table counts them. Where two objects of a class touch they count as one."
    )


def _show_objects(job: Job, result: Result) -> None:
    """A list to sort, and the slices, which go to the object that is picked."""
    name = st.segmented_control(
        "Class", result.object_classes, default=result.object_classes[0], format_func=spaced, key=f"objects of {job.id}"
    )
    table = result.objects(name or result.object_classes[0])
    shown = table.slice(0, MOST_OBJECTS)
    picked = st.dataframe(
        _listed(shown),
        hide_index=True,
        height=LIST_HEIGHT_PX,
        column_config={title: st.column_config.NumberColumn(format="%.3g") for title in MEASURES},
        on_select="rerun",
        selection_mode="single-row",
        key=f"list of {name} {job.id}",
    )
    rest = table.num_rows - shown.num_rows
    more = f" The {rest:,} smallest are in the tables to download only." if rest else ""
    st.caption(f"Pick an object to see it; a click on a title sorts.{more} Objects at the end may go on beyond it.")
    rows = picked.selection.rows
    row = shown.slice(rows[0], 1).to_pylist()[0] if rows else None
    at = None if row is None else result.whereabouts(row)
    if row is not None:
        meshes = [object_mesh(row["class"], row["id"], ending) for ending in MESH_TYPES]
        place = f"{_api(job)}/objects/{row['class']}/{row['id']}"
        links = "".join(_link(f"{place}.{e}", each, None) for e, each in zip(MESH_TYPES, meshes, strict=True))
        st.html(f'<ul style="padding-left:1.2em">{links}</ul>')
    _show_slices(job, result, at, "objects' viewer")


def _listed(table: Table) -> dict[str, list[Any]]:
    """What the list shows of a table of objects, in its order."""
    measures = {
        title: [None if value is None else value * scale for value in table[name].to_pylist()]
        for title, (name, scale) in MEASURES.items()
    }
    ends = {"Touches": table["contacts"].to_pylist(), "At the end": table["touches_face"].to_pylist()}
    return {"Object": table["id"].to_pylist(), **measures, **ends}


def _row(count: ClassCount) -> dict[str, Any]:
    return {
        "Class": spaced(count.name),
        "Share": percent_phrase(count.share),
        "Volume, µm³": volume_um3(count.volume_um3),
        "Pieces": f"{count.pieces:,}",
        "Median piece, µm³": volume_um3(count.median_piece_um3) if count.pieces else "",
    }


def _show_downloads(job: Job, result: Result) -> None:
    sizes = {kind: result.download_size(kind) for kind in result.downloads}
    rows = "".join(_link(f"{_api(job)}/downloads/{kind}", each, sizes[kind]) for kind, each in result.downloads.items())
    st.html(f'<ul style="padding-left:1.2em">{rows}</ul>')
    st.caption("A file is made when it is asked for the first time; of a large volume that takes a while.")


def _link(url: str, download: Download, size: int | None) -> str:
    label, explanation = html.escape(download.label), html.escape(download.explanation)
    told = f" ({file_size(size)})" if size is not None else ""
    link = f'<a style="color:inherit" href="{url}" download>{label}</a>'
    return f'<li style="margin:.5em 0">{link}: {explanation}{told}</li>'


def _show_viewers(job: Job, result: Result) -> None:
    """Links by which other programs open a result without downloading all of it, and who may use them."""
    volumes = f"{_address()}/volumes/{services.current().links.token(job.owner, job.id)}"
    raw, labels = f"{volumes}/raw", f"{volumes}/labels"
    st.header("Open it in another viewer")
    link = neuroglancer_url(raw, [LabelLayer("classes", labels, result.classes)], result.geometry)
    st.link_button("Open in Neuroglancer", link, icon=":material/open_in_new:")
    st.write("In napari, with its plugin *napari-ome-zarr*:")
    st.code(f'napari --plugin napari-ome-zarr "{raw}" "{labels}"', language=None, wrap_lines=True)
    st.caption("Whoever has such a link can look at this one result, without signing in, until it is deleted.")


def _address() -> str:
    """Where the browser found this application."""
    page = urlsplit(st.context.url or "")
    return f"{page.scheme}://{page.netloc}{services.current().settings.base_path}"
