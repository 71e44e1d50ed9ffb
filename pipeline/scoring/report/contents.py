"""What there is to show of a study: plain results and facts, gathered by whoever knows where they lie.

Everything but the study itself may be lacking; `lacking` then says why, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.scoring.ablation import Ablation
from pipeline.scoring.confusion import BinaryConfusion
from pipeline.scoring.report.pictures import Picture
from pipeline.scoring.report.regions import Place
from pipeline.scoring.tables import ScoreTable

History = Sequence[Mapping[str, float | None]]
"""Records of a training: "step", and any of "loss" and "validation_macro_f1"."""

Standing = Literal["worst", "best"]
Zyx = tuple[int, int, int]


@dataclass(frozen=True)
class ClassFacts:
    """A class of the configuration; `color` is #rrggbb."""

    name: str
    color: str


@dataclass(frozen=True)
class CaptureFacts:
    """A capture, and how many voxels each part of it has."""

    name: str
    shape_zyx: Zyx
    voxel_size_nm: tuple[float, float, float]
    digest: str
    part_voxels: Mapping[str, int]


@dataclass(frozen=True)
class TargetFacts:
    """A network that is, or will be, trained."""

    name: str
    trained: str
    """"450 steps", or "no"."""
    shards: str
    """Shards predicted, as in "3 of 4"."""
    history: History
    is_training: bool
    """Whether `history` is that of a training that has not ended."""
    weights_sha256: str = ""


@dataclass(frozen=True)
class RegionView:
    """One region, pictured: what went wrong in it, for one class."""

    standing: Standing
    place: Place
    counts: BinaryConfusion
    mistakes: str
    """What the voxels of the class were mostly taken for, and what is invented of it mostly is; may be empty."""
    width_nm: float
    pictures: tuple[Picture, Picture, Picture, Picture]
    """Raw, truth, prediction, errors."""

    @property
    def f1(self) -> float | None:
        """F1 of the class within the region."""
        return self.counts.scores("").f1


@dataclass(frozen=True)
class ClassRegions:
    """The regions of one class, the worst first."""

    name: str
    color: str
    network: str
    """Whose prediction is looked at."""
    f1: float | None
    """Of the class over the whole test part, by that network."""
    regions: tuple[RegionView, ...]


@dataclass(frozen=True)
class Work:
    """What a step did for one item, all its workers and tries together; times in seconds since the epoch."""

    step: str
    item: str
    spans: tuple[tuple[float, float], ...]
    """When at least one worker was at work: apart from each other, in order."""
    workers: int
    tries: int
    error: str
    """Of the last try; empty when it ended well."""
    voxels: int
    voxels_per_second: float | None
    """Of all workers together, each over its own time."""
    cpu_seconds: float
    peak_bytes: int
    """Of the worker that took most."""

    @property
    def seconds(self) -> float:
        """Time in which at least one worker was at work."""
        return sum(stop - start for start, stop in self.spans)


@dataclass(frozen=True)
class Machine:
    """Machines of one kind, and the steps that ran on them."""

    description: str
    hosts: int
    steps: tuple[str, ...]


@dataclass(frozen=True)
class Link:
    """A file beside the report; `href` is relative to it."""

    href: str
    title: str
    kind: Literal["scene", "film", "picture", "other"]
    preview: Picture | None = None


@dataclass(frozen=True)
class Lacking:
    """A part of the report that cannot be shown yet."""

    part: str
    """Anchor of its section."""
    reason: str
    remedy: str = ""
    """A command; empty where nothing is to be done."""
    is_expected: bool = True
    """Whether the study was to have it."""


@dataclass(frozen=True)
class Contents:
    """All of it."""

    name: str
    version: str
    classes: tuple[ClassFacts, ...]
    captures: tuple[CaptureFacts, ...]
    targets: tuple[TargetFacts, ...]
    facts: Mapping[str, str]
    """What was planned, in words: title and value."""
    digests: Mapping[str, str]
    work: tuple[Work, ...]
    machines: tuple[Machine, ...]
    scores: ScoreTable | None = None
    scores_outdated: bool = False
    regions: tuple[ClassRegions, ...] = ()
    ablation: Ablation | None = None
    links: tuple[Link, ...] = ()
    lacking: tuple[Lacking, ...] = ()
    failures: tuple[str, ...] = ()
    """Why the workflow that made the run failed, if it did and the run is not complete."""
