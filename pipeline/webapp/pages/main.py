"""The script that Streamlit runs for every visit and every click: find out who it is, then show the page."""

from pathlib import Path

import streamlit as st

from pipeline.webapp.pages import HISTORY, JOB, NAMED, OPEN, history, job, start
from pipeline.webapp.pages.shared import PAGES, visitor

DARK_TEXT_ON_BRIGHT_BUTTONS = """<style>
@media (prefers-color-scheme: dark) { [data-testid="stBaseButton-primary"]:enabled { color: #10151a; } }
</style>"""
"""Streamlit writes white on the primary colour, which is bright in the dark theme."""

st.set_page_config(page_title="vemseg", page_icon=Path(__file__).with_name("icon.png"), layout="wide")
PAGES.update(
    start=st.Page(start.show, title="New segmentation", icon=":material/add_circle:", default=True),
    history=st.Page(history.show, title="My segmentations", icon=":material/history:", url_path=HISTORY),
    job=st.Page(job.show, title="Segmentation", url_path=JOB, visibility="hidden"),
)
st.html(DARK_TEXT_ON_BRIGHT_BUTTONS)
page = st.navigation(list(PAGES.values()), position="top")
if st.query_params.get(OPEN) in NAMED:
    wanted = st.query_params.to_dict()
    st.switch_page(PAGES[wanted.pop(OPEN)], query_params=wanted)
if visitor() is None:
    st.error(
        "Nobody is signed in. Come through your institution's sign-on page, and allow this site to set cookies; then "
        "load the page again."
    )
else:
    page.run()
