"""The page with all of a user's jobs."""

from __future__ import annotations

import streamlit as st

from pipeline.webapp import services
from pipeline.webapp.jobs import Job
from pipeline.webapp.pages.shared import PAGES, badge, explained, moment, open_job, owner, plain, size_zyx

EVERY_SECONDS = 3


def show() -> None:
    """The page."""
    st.title("My segmentations")
    _list()


@st.fragment(run_every=EVERY_SECONDS)
def _list() -> None:
    jobs = services.current().jobs.history(owner())
    if not jobs:
        st.write("Nothing yet.")
        st.page_link(PAGES["start"], label="Segment a volume", icon=":material/add_circle:")
    for job in jobs:
        with st.container(border=True):
            _row(job)
    st.caption(f"Results are kept for {services.current().settings.retention_days:g} days after they were made.")


def _row(job: Job) -> None:
    words, actions = st.columns([4, 2], vertical_alignment="center")
    with words:
        st.markdown(f"**{plain(job.name)}** {badge(job.state)}")
        made = moment(job.record.created_at, st.context.timezone_offset)
        st.caption(f"{size_zyx(job.record.shape_zyx)}; {plain(job.record.model_name)}; {made}")
    with actions, st.container(horizontal=True, horizontal_alignment="right"), explained():
        if st.button("Open", key=f"open {job.id}"):
            open_job(job.id)
        if job.has_ended:
            _offer_deletion(job)
        elif st.button("Cancel", key=f"cancel {job.id}", icon=":material/cancel:"):
            services.current().jobs.cancel(owner(), job.id)
            st.rerun(scope="fragment")


def _offer_deletion(job: Job) -> None:
    if st.button("Delete", key=f"delete {job.id}", icon=":material/delete:"):
        _confirm(job)


@st.dialog("Delete this segmentation?")
def _confirm(job: Job) -> None:
    st.write(f"{plain(job.name)}, its result and the uploaded file are removed from the server.")
    if st.button("Delete for good", type="primary"):
        with explained():
            services.current().jobs.delete(owner(), job.id)
            st.rerun()
