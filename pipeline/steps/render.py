"""Draw the renders of a run that is scored."""

from __future__ import annotations

from pipeline.errors import RunConflictError
from pipeline.figures.render.scored import draw_renders
from pipeline.run.layout import Run
from pipeline.run.provenance import is_scored
from pipeline.volume.stores import Store


def render(run_url: str) -> Store:
    """Draw what was found, missed and invented of each class; returns the place of the pictures.

    Raises RunConflictError when the run is not scored, and MissingLibraryError where there is no OpenGL.
    """
    run = Run.open(run_url)
    run.refuse_without_labels()
    if not is_scored(run):
        raise RunConflictError(
            f"{run.store.url} has no scores of its present plan and predictions; run the study again, or `vemseg "
            f"evaluate --run {run_url}`"
        )
    with run.reporter("render") as report:
        return draw_renders(run, report)
