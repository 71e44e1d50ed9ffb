"""Where a class is segmented best and worst: tiles of slices, ranked by the F1 of the class within them.

A class is hardly there in most tiles, and one lost voxel out of one would make the worst of them all. So only tiles
compete that hold at least as many voxels of it, found, missed or invented, as the average tile does. There always is
one, and what the average is follows from the counts of the whole: one pass is enough, and no more tiles are kept than
are asked for. Neighbouring slices look alike: of the tiles above one another, only the first in rank is kept.

A confusion volume holds truth and prediction of what was scored. It is read in pieces of a few slices, so that no more
than a piece is in memory, however large the test part is.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.config.model import MULTILABEL
from pipeline.figures.report.contents import ClassRegions, Place, RegionView, Standing
from pipeline.figures.report.findings import mistakes
from pipeline.figures.report.pictures import Seen, draw_panels, picture
from pipeline.run.events import Reporter
from pipeline.run.layout import Run
from pipeline.run.plan import CapturePlan
from pipeline.run.views import View, refuse_incomplete, views_to_draw
from pipeline.scoring.confusion import BinaryConfusion, ClasswiseConfusion, Confusion, ConfusionMatrix, decode
from pipeline.scoring.tables import ScoreTable
from pipeline.volume.geometry import Block, tile

TILE_VOXELS = 96
"""Side that tiles come near to: a few objects, and every voxel large enough to be seen."""
WORST, BEST = 2, 1

Ids = NDArray[np.uint8]
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


@dataclass(frozen=True)
class Piece:
    """Truth and prediction of some slices of the test part, cut into one tile a slice."""

    capture: str
    block: Block
    truth: Ids
    predicted: Ids

    def tiles(self) -> Iterator[tuple[Place, Ids, Ids]]:
        """Each slice: where it is, its truth and its prediction (y, x)."""
        _, top, left = self.block.start_zyx
        _, rows, columns = self.block.shape_zyx
        for offset, (truth, predicted) in enumerate(zip(self.truth, self.predicted, strict=True)):
            yield Place(self.capture, self.block.start_zyx[0] + offset, top, left, rows, columns), truth, predicted


def class_regions(run: Run, table: ScoreTable, report: Reporter) -> tuple[ClassRegions, ...]:
    """Return the regions of every class, of the multilabel network where there is one; the weakest class first.

    Raises DataError where a confusion volume is not there or does not hold what was scored.
    """
    found: list[ClassRegions] = []
    asked = views_to_draw(run)
    for number, view in enumerate(asked):
        report.progress(number, len(asked), f"looking for regions: {view.name}")
        totals = _totals(view, table)
        for (name, ranking), color in zip(rank(run, view, totals).items(), view.colors, strict=False):
            pictures = [_pictured(run, view, name, color, "worst", region) for region in ranking.worst]
            pictures += [_pictured(run, view, name, color, "best", region) for region in ranking.best]
            found.append(ClassRegions(name, color, view.target, totals[name].scores(name).f1, tuple(pictures)))
    return tuple(sorted(found, key=lambda one: one.f1 or 0.0))


def rank(run: Run, view: View, totals: Mapping[str, BinaryConfusion]) -> dict[str, Ranking]:
    """The rankings of the classes of one confusion volume, from one pass over it; `totals` are their counts in it.

    Raises DataError where it does not hold what was labelled.
    """
    captures = [capture for capture in run.plan.captures if capture.split().test]
    tiles = sum(block.shape_zyx[0] for capture in captures for block in _columns_of_tiles(capture.split().test))
    rankings = {
        name: Ranking(average_voxels(totals[name], tiles), worst_places=WORST, best_places=BEST) for name in totals
    }
    for capture in captures:
        voxels = dict.fromkeys(totals, 0)
        for piece in _pieces(run, view, capture):
            for place, truth, predicted in piece.tiles():
                counts = ConfusionMatrix(view.classes)
                counts.update(truth, predicted)
                by_class = counts.one_vs_rest().by_class
                for name, ranking in rankings.items():
                    ranking.add(Region(place, by_class[name]))
                    voxels[name] += by_class[name].tp + by_class[name].fn
        refuse_incomplete(run, view, capture, voxels)
    return rankings


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


def _totals(view: View, table: ScoreTable) -> dict[str, BinaryConfusion]:
    side: Confusion | None = table.multilabel if view.target == MULTILABEL else table.binary
    assert side is not None
    classwise = side if isinstance(side, ClasswiseConfusion) else side.one_vs_rest()
    return {name: classwise.by_class[name] for name in view.sought}


def _pieces(run: Run, view: View, capture: CapturePlan) -> Iterator[Piece]:
    volume = run.confusion(view.name, capture.name)
    for column in _columns_of_tiles(capture.split().test):
        # Chunks are read whole, so that none is read twice for its slices.
        size = (volume.chunk_zyx[0], *column.shape_zyx[1:])
        for block in tile(column, size, (0, *column.start_zyx[1:])):
            truth, predicted = decode(volume.read(block), len(view.classes))
            yield Piece(capture.name, block, truth, predicted)


def _columns_of_tiles(test: Iterable[Block]) -> Iterator[Block]:
    """The test part, cut in y and x into tiles of nearly one size; z is whole."""
    for region in test:
        depth, rows, columns = region.shape_zyx
        size = (depth, even_side(rows, TILE_VOXELS), even_side(columns, TILE_VOXELS))
        yield from tile(region, size, region.start_zyx)


def _pictured(run: Run, view: View, name: str, color: str, standing: Standing, region: Region) -> RegionView:
    place = region.place
    block = Block((place.z, place.top, place.left), (place.z + 1, place.top + place.rows, place.left + place.columns))
    values = run.confusion(view.name, place.capture).read(block)
    truth, predicted = (ids[0] for ids in decode(values, len(view.classes)))
    class_id = view.classes.index(name) + 1
    voxel_size_nm = run.plan.capture(place.capture).voxel_size_nm
    seen = Seen(truth == class_id, predicted == class_id, truth > 0)
    panels = draw_panels(run.image(place.capture).read(block)[0], seen, color=color, voxel_size_nm=voxel_size_nm)
    where = f"slice {place.z} of {place.capture}, {standing} region of {name}"
    counts = ConfusionMatrix(view.classes)
    counts.update(truth, predicted)
    return RegionView(
        standing=standing,
        place=place,
        counts=region.counts,
        mistakes=mistakes(counts, name) if len(view.classes) > 2 else "",
        width_nm=place.columns * voxel_size_nm[2],
        pictures=(
            picture(panels.raw, f"Raw image: {where}"),
            picture(panels.truth, f"{name} as it was labelled: {where}"),
            picture(panels.prediction, f"{name} as it was predicted: {where}"),
            picture(panels.errors, f"Errors: {region.counts.fn} voxels missed, {region.counts.fp} invented: {where}"),
        ),
    )


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
