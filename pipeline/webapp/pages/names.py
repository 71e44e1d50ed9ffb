"""The paths of the pages beside the first one, below the base path; and the parameter by which the root shows them."""

HISTORY, JOB = "history", "job"
NAMED = (HISTORY, JOB)
OPEN = "open"
