"""The page of one job: how far it is, then what came out."""

from __future__ import annotations

import streamlit as st

from pipeline.errors import InputError
from pipeline.formats import rough_duration
from pipeline.webapp import services
from pipeline.webapp.jobs import Job, Step
from pipeline.webapp.pages.result import show_result
from pipeline.webapp.pages.shared import PAGES, badge, moment, owner, plain, size_zyx, voxel_nm
from pipeline.webapp.stages import seconds_left, step_seconds_left

EVERY_SECONDS = 1.5
ICONS = {
    "waiting": ":material/hourglass_empty:",
    "running": ":material/autorenew:",
    "done": ":material/check_circle:",
    "failed": ":material/error:",
}


def show() -> None:
    """The page."""
    try:
        job = services.current().jobs.get(owner(), st.query_params.get("job", ""))
    except InputError:
        st.error("There is no such segmentation; it may have been deleted, or belong to somebody else.")
        st.page_link(PAGES["history"], label="My segmentations", icon=":material/history:")
        return
    st.title(plain(job.name))
    made = moment(job.record.created_at, st.context.timezone_offset)
    size = f"{size_zyx(job.record.shape_zyx)}; voxels of {voxel_nm(job.record.voxel_size_nm)}"
    st.caption(f"{size}; {plain(job.record.model_name)}; {made}")
    if job.state == "done":
        show_result(job)
    elif job.has_ended:
        _show_end(job)
    else:
        _follow(job.id)


@st.fragment(run_every=EVERY_SECONDS)
def _follow(job_id: str) -> None:
    """How far a job is, until it ends."""
    jobs = services.current().jobs
    job = jobs.get(owner(), job_id)
    if job.has_ended:
        st.rerun()
    st.markdown(badge(job.state))
    if job.state == "queued":
        _show_queue(job.queue_position or 0)
    _show_steps(job)
    if job.message:
        st.write(plain(job.message))
    st.write("You may close this page: the work goes on, and *My segmentations* leads back here.")
    if st.button("Cancel", icon=":material/cancel:", disabled=job.cancel_requested):
        jobs.cancel(owner(), job_id)
        st.rerun(scope="fragment")


def _show_queue(before: int) -> None:
    st.write(
        "It is next in the queue."
        if before == 0
        else f"{before} {'segmentation waits' if before == 1 else 'segmentations wait'} before it."
    )


def _show_steps(job: Job) -> None:
    if job.steps:
        with st.container(border=True):
            for step in job.steps:
                _show_step(step)
            left = None if job.has_ended else seconds_left(job.steps)
            if left is not None:
                st.caption(f"About {rough_duration(left)} left in all.")


def _show_step(step: Step) -> None:
    words, bar = st.columns([2, 3], vertical_alignment="center")
    took = f", {rough_duration(step.seconds)}" if step.seconds is not None else ""
    words.markdown(f"{ICONS[step.state]} **{step.label}**: {step.state}{took}")
    if step.state == "done":
        bar.progress(1.0)
    elif step.total:
        left = step_seconds_left(step)
        foreseen = "" if left is None else f", about {rough_duration(left)} left"
        bar.progress(min(1.0, step.done / step.total), text=f"{step.done} of {step.total} pieces{foreseen}")
    else:
        bar.progress(0.0)


def _show_end(job: Job) -> None:
    if job.state == "failed":
        st.error(plain(job.message) or "The segmentation failed.", icon=":material/error:")
    else:
        st.info("It was cancelled.", icon=":material/cancel:")
    _show_steps(job)
    if job.record.log_tail:
        with st.expander("What the failed step said last"):
            st.code("\n".join(job.record.log_tail), language=None, wrap_lines=True)
    st.page_link(PAGES["start"], label="Segment another volume", icon=":material/add_circle:")
