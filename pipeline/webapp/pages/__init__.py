"""The pages that people see. `main` is the script that Streamlit runs; each page is a function in its own module."""

HISTORY, JOB = "history", "job"
NAMED = (HISTORY, JOB)
"""Paths of the pages beside the first one, below the base path."""
OPEN = "open"
"""The parameter by which the root shows one of them."""
