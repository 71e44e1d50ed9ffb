"""The best and the worst regions of each class, found in one pass over the confusion volumes and then pictured.

A confusion volume holds truth and prediction of what was scored. It is read in pieces of a few slices, so that no more
than a piece is in memory, however large the test part is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.config import MULTILABEL
from pipeline.scoring.confusion import BinaryConfusion, ClasswiseConfusion, Confusion, ConfusionMatrix
from pipeline.scoring.report.contents import ClassRegions, RegionView, Standing
from pipeline.scoring.report.mistakes import in_words
from pipeline.scoring.report.panels import Seen, draw_panels
from pipeline.scoring.report.pictures import picture
from pipeline.scoring.report.regions import Place, Ranking, Region, average_voxels, even_side
from pipeline.scoring.tables import ScoreTable
from pipeline.scoring.volumes import decode
from pipeline.steps.evaluate import CONFUSION
from pipeline.steps.run import Run, class_map
from pipeline.telemetry import Reporter
from pipeline.volume.geometry import Block, tile
from pipeline.volume.omezarr import Volume, open_labels

TILE_VOXELS = 96
"""Side that tiles come near to: a few objects, and every voxel large enough to be seen."""
WORST, BEST = 2, 1

Ids = NDArray[np.uint8]


@dataclass(frozen=True)
class Compared:
    """A confusion volume's question: which of its classes are looked for in it."""

    view: str
    target: str
    names: tuple[str, ...]
    """Of all its classes, in the order of their ids from 1."""
    wanted: tuple[str, ...]


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
    """Return the regions of every class, of the multilabel network where there is one; the weakest class first."""
    colors = dict(zip(class_map(run.config).names, class_map(run.config).colors, strict=True))
    found: dict[str, ClassRegions] = {}
    questions = compared(run)
    for number, question in enumerate(questions):
        report.progress(number, len(questions), f"looking for regions: {question.view}")
        totals = _totals(question, table)
        for name, ranking in rank(run, question, totals).items():
            views = [_pictured(run, question, name, colors[name], "worst", region) for region in ranking.worst]
            views += [_pictured(run, question, name, colors[name], "best", region) for region in ranking.best]
            found[name] = ClassRegions(name, colors[name], question.target, totals[name].scores(name).f1, tuple(views))
    return tuple(sorted(found.values(), key=lambda one: one.f1 or 0.0))


def compared(run: Run) -> list[Compared]:
    """The confusion volumes that tell of every class once."""
    classes = class_map(run.config)
    if MULTILABEL not in run.plan.targets:
        return [Compared(name, name, (name, "rest"), (name,)) for name in run.plan.targets]
    if classes.exclusive:
        return [Compared(MULTILABEL, MULTILABEL, classes.names, classes.names)]
    return [Compared(f"{MULTILABEL}_{name}", MULTILABEL, (name, "rest"), (name,)) for name in classes.names]


def rank(run: Run, question: Compared, totals: Mapping[str, BinaryConfusion]) -> dict[str, Ranking]:
    """The rankings of the classes of one confusion volume, from one pass over it; `totals` are their counts in it."""
    tiles = sum(
        block.shape_zyx[0] for capture in run.plan.captures for block in _columns_of_tiles(capture.split().test)
    )
    rankings = {
        name: Ranking(average_voxels(totals[name], tiles), worst_places=WORST, best_places=BEST) for name in totals
    }
    for piece in _pieces(run, question):
        for place, truth, predicted in piece.tiles():
            counts = ConfusionMatrix(question.names)
            counts.update(truth, predicted)
            by_class = counts.one_vs_rest().by_class
            for name, ranking in rankings.items():
                ranking.add(Region(place, by_class[name]))
    return rankings


def _totals(question: Compared, table: ScoreTable) -> dict[str, BinaryConfusion]:
    side: Confusion | None = table.multilabel if question.target == MULTILABEL else table.binary
    assert side is not None
    classwise = side if isinstance(side, ClasswiseConfusion) else side.one_vs_rest()
    return {name: classwise.by_class[name] for name in question.wanted}


def _pieces(run: Run, question: Compared) -> Iterator[Piece]:
    for capture in run.plan.captures:
        volume = _opened(run, question, capture.name)
        for column in _columns_of_tiles(capture.split().test):
            # Chunks are read whole, so that none is read twice for its slices.
            size = (volume.chunk_zyx[0], *column.shape_zyx[1:])
            for block in tile(column, size, (0, *column.start_zyx[1:])):
                truth, predicted = decode(volume.read(block), len(question.names))
                yield Piece(capture.name, block, truth, predicted)


def _columns_of_tiles(test: Iterable[Block]) -> Iterator[Block]:
    """The test part, cut in y and x into tiles of nearly one size; z is whole."""
    for region in test:
        depth, rows, columns = region.shape_zyx
        size = (depth, even_side(rows, TILE_VOXELS), even_side(columns, TILE_VOXELS))
        yield from tile(region, size, region.start_zyx)


def _pictured(run: Run, question: Compared, name: str, color: str, standing: Standing, region: Region) -> RegionView:
    place = region.place
    block = Block((place.z, place.top, place.left), (place.z + 1, place.top + place.rows, place.left + place.columns))
    values = _opened(run, question, place.capture).read(block)
    truth, predicted = (ids[0] for ids in decode(values, len(question.names)))
    class_id = question.names.index(name) + 1
    voxel_size_nm = run.plan.capture(place.capture).voxel_size_nm
    seen = Seen(truth == class_id, predicted == class_id, truth > 0)
    panels = draw_panels(run.image(place.capture).read(block)[0], seen, color=color, voxel_size_nm=voxel_size_nm)
    where = f"slice {place.z} of {place.capture}, {standing} region of {name}"
    counts = ConfusionMatrix(question.names)
    counts.update(truth, predicted)
    return RegionView(
        standing=standing,
        place=place,
        counts=region.counts,
        mistakes=in_words(counts, name) if len(question.names) > 2 else "",
        width_nm=place.columns * voxel_size_nm[2],
        pictures=(
            picture(panels.raw, f"Raw image: {where}"),
            picture(panels.truth, f"{name} as it was labelled: {where}"),
            picture(panels.prediction, f"{name} as it was predicted: {where}"),
            picture(panels.errors, f"Errors: {region.counts.fn} voxels missed, {region.counts.fp} invented: {where}"),
        ),
    )


def _opened(run: Run, question: Compared, capture: str) -> Volume:
    return open_labels(run.evaluation_store.child(CONFUSION, question.view, capture), CONFUSION)
