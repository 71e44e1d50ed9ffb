"""Where a class is segmented best and worst: tiles of slices, ranked by the F1 of the class within them.

A class is hardly there in most tiles, and one lost voxel out of one would make the worst of them all. So only tiles
compete that hold at least as many voxels of it, found, missed or invented, as the average tile does. There always is
one, and what the average is follows from the counts of the whole: one pass is enough, and no more tiles are kept than
are asked for. Neighbouring slices look alike: of the tiles above one another, only the first in rank is kept.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline.scoring.confusion import BinaryConfusion


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


Rank = tuple[float, int, Place]


@dataclass(frozen=True)
class Region:
    """A tile and how one class fares in it."""

    place: Place
    counts: BinaryConfusion

    @property
    def concerned(self) -> int:
        """Voxels of the class: found, missed or invented."""
        return concerned(self.counts)

    @property
    def f1(self) -> float | None:
        """F1 of the class within the tile; None where it is neither in the truth nor predicted."""
        return self.counts.scores("").f1


@dataclass
class Ranking:
    """The best and the worst regions of a class among those that are added, each of another column of tiles.

    Of regions with one F1, the one with more voxels of the class comes first, then the one that comes first in space:
    the order in which they are added does not matter.
    """

    least_voxels: int
    """Regions with fewer voxels of the class do not compete."""
    worst_places: int
    best_places: int
    """How many to keep at either end."""
    _worst: list[Region] = field(default_factory=list)
    _best: list[Region] = field(default_factory=list)

    def add(self, region: Region) -> None:
        """Rank a region."""
        if region.concerned < max(1, self.least_voxels):
            return
        _keep(self._worst, region, self.worst_places, _from_worst)
        # Of few regions, the worst are among the best as well.
        _keep(self._best, region, self.worst_places + self.best_places, _from_best)

    @property
    def worst(self) -> tuple[Region, ...]:
        """From the lowest F1 upwards."""
        return tuple(self._worst)

    @property
    def best(self) -> tuple[Region, ...]:
        """From the highest F1 downwards, without the worst."""
        return tuple(region for region in self._best if region not in self._worst)[: self.best_places]


def concerned(counts: BinaryConfusion) -> int:
    """Voxels of the class: found, missed or invented."""
    return counts.tp + counts.fp + counts.fn


def average_voxels(counts: BinaryConfusion, tiles: int) -> int:
    """How many voxels of a class the average tile holds, rounded down, from the counts of all of them."""
    return concerned(counts) // max(1, tiles)


def even_side(length: int, wanted: int) -> int:
    """The side of tiles that share out a length evenly, as near to the wanted one as that allows."""
    pieces = max(1, round(length / wanted))
    return -(-length // pieces)


def _from_worst(region: Region) -> Rank:
    return region.f1 or 0.0, -region.concerned, region.place


def _from_best(region: Region) -> Rank:
    return -(region.f1 or 0.0), -region.concerned, region.place


def _keep(ranked: list[Region], region: Region, places: int, rank: Callable[[Region], Rank]) -> None:
    """Add a region to the first ones in rank, each of another column of tiles."""
    rival = next((one for one in ranked if one.place.column == region.place.column), None)
    if rival is not None:
        if rank(rival) <= rank(region):
            return
        ranked.remove(rival)
    insort(ranked, region, key=rank)
    del ranked[places:]
