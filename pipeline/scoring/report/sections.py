"""The sections of the page, each with what takes its place where there is nothing to show."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.scoring.report.contents import Contents, Lacking


@dataclass(frozen=True)
class Section:
    """A heading with its anchor; `lacking` says why its body is not there, None where it is."""

    anchor: str
    title: str
    lacking: Lacking | None


TITLES = {
    "scores": "Scores",
    "confusion": "What is taken for what",
    "regions": "Where it errs",
    "training": "Training",
    "boosting": "Super-resolution",
    "renders": "In three dimensions",
    "run": "The run",
}


def sections(contents: Contents) -> list[Section]:
    """Return all sections in their order."""
    lacking = {one.part: one for one in contents.lacking}
    return [Section(anchor, title, lacking.get(anchor)) for anchor, title in TITLES.items()]
