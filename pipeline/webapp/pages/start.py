"""The first page: give a volume, see what was found in it, choose a model, start."""

from __future__ import annotations

import streamlit as st

from pipeline.formats import file_size
from pipeline.volume.geometry import ZyxNm
from pipeline.volume.sources.cut import Cut, cut_text
from pipeline.webapp import services
from pipeline.webapp.intake import Found, inspect_upload, permitted
from pipeline.webapp.jobs import is_voxel_size
from pipeline.webapp.pages.modelcards import choose_model
from pipeline.webapp.pages.shared import address, explained, open_job, owner, plain, size_zyx, voxel_nm
from pipeline.webapp.uploads import Upload
from pipeline.webapp.widgets import upload_widget

KINDS = "A zip of PNG, TIFF or JPEG slices, a TIFF stack, MRC, HDF5, Imaris, NRRD or NIfTI; up to {limit}."


def show() -> None:
    """The page."""
    st.title("Segment a volume")
    st.write(
        "Give a stack of electron microscopy slices; a trained network marks the structures in it. You can look at the "
        "result here, turn it around in 3D, and download it."
    )
    if "upload" not in st.query_params and "location" not in st.session_state:
        _ask_for_volume()
        return
    with explained():
        found, upload = _given()
        voxel_size_nm = _describe(found)
        _ask_for_part(upload)
        _segment(found, upload, voxel_size_nm)
    st.button("Use another file", icon=":material/undo:", on_click=_forget, type="tertiary")


def _ask_for_volume() -> None:
    settings = services.current().settings
    st.header("1. Your volume", divider="gray")
    kinds = KINDS.format(limit=file_size(settings.upload_bytes))
    identifier = upload_widget(f"{settings.base_path}/api/uploads", kinds=kinds, key="upload")
    if identifier:
        st.query_params["upload"] = identifier
        st.rerun()
    if settings.example is not None and st.button("Try it with an example", icon=":material/science:", type="tertiary"):
        st.session_state["location"] = str(settings.example)
        st.rerun()
    if settings.folders:
        _ask_for_location()


def _ask_for_location() -> None:
    settings = services.current().settings
    with st.expander("Too large to upload? Name a place that this server can read"), st.form("place", border=False):
        text = st.text_input("Folder, file or s3:// URL", help=f"Below {', '.join(settings.folders)}")
        if st.form_submit_button("Look at it"):
            with explained():
                st.session_state["location"] = permitted(text, settings)
                st.rerun()


def _given() -> tuple[Found, Upload | None]:
    """What the user gave, looked at once."""
    location: str | None = st.session_state.get("location")
    upload = None if location else services.current().uploads.get(owner(), st.query_params["upload"])
    if st.session_state.get("looked_at") != _place(upload):
        _look(upload, "")
    return st.session_state["found"], upload


def _place(upload: Upload | None) -> str:
    return str(upload.path) if upload else str(st.session_state["location"])


def _look(upload: Upload | None, cut: str) -> None:
    """Look at what the user gave, or at the part of it that a cut takes."""
    shared = services.current()
    with st.spinner("Looking at your file"):
        room = shared.uploads.room_to_unpack_bytes(upload) if upload else None
        st.session_state["found"] = inspect_upload(_place(upload), shared.settings.policy, room, cut)
    st.session_state["looked_at"] = _place(upload)


def _ask_for_part(upload: Upload | None) -> None:
    with st.expander("Only a part of it"), st.form("part", border=False):
        box = st.text_input(
            "Box, z0:z1,y0:y1,x0:x1",
            placeholder="0:50,1000:2000,1000:2000",
            help="Voxels, or nanometres with nm behind them; a stop is not included. Empty: all of it.",
        )
        level = st.number_input("Level of a pyramid", 0, 20, 0, help="0 is the finest.")
        if st.form_submit_button("Look at this part"):
            with explained():
                _look(upload, cut_text(int(level), box.strip()))
                st.rerun()


def _forget() -> None:
    """Start anew; a file that was uploaded goes."""
    _forget_what_was_given()
    identifier = st.query_params.pop("upload", None)
    if identifier:
        with explained():
            services.current().uploads.discard(owner(), identifier)


def _describe(found: Found) -> ZyxNm | None:
    """Show what was found; the voxel size in nm, z, y, x, or None until it is known."""
    st.header("1. Your volume", divider="gray")
    stated_nm = found.voxel_size_nm if is_voxel_size(found.voxel_size_nm) else None
    words, picture = st.columns([3, 2], gap="large")
    with words:
        st.subheader(plain(found.name))
        rows = {name: plain(text) for name, text in found.rows.items()}
        if part := Cut.split(found.location)[1].text:
            rows["Part"] = part
        rows["Size"] = size_zyx(found.shape_zyx)
        rows["Voxel size"] = voxel_nm(stated_nm) if stated_nm else "the file does not say"
        st.table(rows, border="horizontal")
        for note in found.notes:
            st.info(note, icon=":material/info:")
        voxel_size_nm = stated_nm or _ask_voxel_size()
    if found.preview is not None:
        picture.image(found.preview, caption="The slice in the middle", alt="The slice in the middle", width="stretch")
    return voxel_size_nm


def _ask_voxel_size() -> ZyxNm | None:
    st.write("**How large is a voxel?** The file does not say; your microscope's settings do.")
    in_plane, across = st.columns(2)
    x_nm = in_plane.number_input("Pixel size in a slice (x and y), nm", 0.1, 1e5, None, step=0.1, format="%.2f")
    z_nm = across.number_input("Distance between slices (z), nm", 0.1, 1e5, None, step=1.0, format="%.2f")
    return (z_nm, x_nm, x_nm) if x_nm and z_nm else None


def _segment(found: Found, upload: Upload | None, voxel_size_nm: ZyxNm | None) -> None:
    st.header("2. The model", divider="gray")
    choice = choose_model(voxel_size_nm, found.grey_values)
    st.header("3. Segment", divider="gray")
    if voxel_size_nm is None:
        st.info("Enter the voxel size above, then you can start.", icon=":material/straighten:")
    if st.button("Start the segmentation", type="primary", disabled=not choice.fits, icon=":material/play_arrow:"):
        created = services.current().jobs.create(
            owner(),
            found,
            choice.card,
            voxel_size_nm=voxel_size_nm,
            treatment=choice.treatment,
            intensity=choice.intensity,
            upload=upload,
            address=address(),
        )
        _forget_what_was_given()
        open_job(created.id)


def _forget_what_was_given() -> None:
    for name in ("location", "looked_at", "found"):
        st.session_state.pop(name, None)
