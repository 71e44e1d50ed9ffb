"""What there is to show of a run: plain results and facts, gathered by whoever knows where they lie.

Everything but its plan may be lacking; `lacking` then says why, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pipeline.figures.chartdata import History
from pipeline.figures.report.pictures import Picture
from pipeline.objects.table import ClassSummary
from pipeline.run.plan import CapturePlan
from pipeline.run.worklog import Machine, Work
from pipeline.scoring.ablation import Ablation
from pipeline.scoring.confusion import BinaryConfusion
from pipeline.scoring.object_scores import ObjectScores
from pipeline.scoring.tables import ScoreTable
from pipeline.volume.geometry import Geometry
from pipeline.volume.split import Part

Kind = Literal["study", "segmentation", "boosting"]
Standing = Literal["worst", "best"]


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


class Place(NamedTuple):
    """A tile of one slice of a capture, in voxels."""

    capture: str
    z: int
    top: int
    left: int
    rows: int
    columns: int

    @property
    def column(self) -> tuple[str, int, int]:
        """The same for all tiles above and below."""
        return self.capture, self.top, self.left


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
class ObjectView:
    """One object, pictured."""

    standing: str
    """Why it is shown: worst, largest or typical."""
    words: str
    place: Place
    width_nm: float
    pictures: tuple[tuple[str, Picture], ...]
    """Each with what stands above it."""


@dataclass(frozen=True)
class ClassObjects:
    """The objects of one class."""

    color: str
    summary: ClassSummary
    scores: ObjectScores | None
    """Against the truth; None where there is none."""
    views: tuple[ObjectView, ...]

    @property
    def name(self) -> str:
        """Of the class."""
        return self.summary.name


@dataclass(frozen=True)
class ClassVolume:
    """How much of a segmented volume is of a class."""

    target: str
    name: str
    voxels: int
    share: float
    """Of what was predicted."""
    volume_um3: float


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
    colors: Mapping[str, str]
    """#rrggbb of each class of the configuration, by its name."""
    captures: tuple[CapturePlan, ...]
    targets: tuple[TargetFacts, ...]
    facts: Mapping[str, str]
    """What was planned, in words: title and value."""
    digests: Mapping[str, str]
    work: tuple[Work, ...]
    machines: tuple[Machine, ...]
    scores: ScoreTable | None = None
    scores_outdated: bool = False
    regions: tuple[ClassRegions, ...] = ()
    objects: tuple[ClassObjects, ...] = ()
    ablation: Ablation | None = None
    links: tuple[Link, ...] = ()
    lacking: tuple[Lacking, ...] = ()
    failures: tuple[str, ...] = ()
    """Why the workflow that made the run failed, if it did and the run is not complete."""
    kind: Kind = "study"
    own_grid: Geometry | None = None
    """Of a segmented volume as it came, where it was resampled for the model."""
    class_volumes: tuple[ClassVolume, ...] = ()
    previews: tuple[Picture, ...] = ()
    """Of a segmented or boosted volume: the slice in its middle."""

    @property
    def grids(self) -> tuple[tuple[str, Geometry], ...]:
        """Name, shape and voxel size of each capture, as it came."""
        if self.own_grid:
            return ((self.captures[0].name, self.own_grid),)
        return tuple((each.name, Geometry(each.shape_zyx, each.voxel_size_nm)) for each in self.captures)

    def part_voxels(self, part: Part) -> int:
        """How many voxels a part has, over all captures."""
        return sum(block.voxels for capture in self.captures for block in capture.split().of(part))
