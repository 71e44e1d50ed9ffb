"""Objects of a class on the page: how many and how large they are, and pictures of some.

Pictured are those that went worst (of a study: by IoU, and of equal ones the larger first, so that a large object that
was missed comes before a small one), the largest, and one of median volume, each in the slice that holds most of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.figures.report.contents import ClassObjects, ObjectView, Place
from pipeline.figures.report.pictures import Seen, draw_panels, picture
from pipeline.formats import decimals, volume_um3, whole
from pipeline.objects.columns import Table
from pipeline.objects.table import of_class, summary
from pipeline.run.layout import Run
from pipeline.run.objecttables import MATCHES, OBJECTS, read_table
from pipeline.scoring.object_matches import INVENTED, MISSED
from pipeline.scoring.object_scores import ObjectScores
from pipeline.volume.geometry import Block, tile
from pipeline.volume.omezarr import Volume

WORST = 2
LEAST_SIDE, MOST_SIDE = 96, 512
"""Of a picture, in voxels."""

Row = Mapping[str, object]


def class_objects(run: Run, scores: Mapping[str, ObjectScores]) -> tuple[ClassObjects, ...]:
    """What there is to show of each class whose objects are told apart.

    Raises RunConflictError when there is no table of objects yet.
    """
    objects = read_table(run, OBJECTS)
    matches = read_table(run, MATCHES).to_pylist() if scores else []
    return tuple(_of_class(run, name, objects, matches, scores.get(name)) for name in run.instances.values())


def _of_class(run: Run, name: str, objects: Table, matches: Sequence[Row], scores: ObjectScores | None) -> ClassObjects:
    own, found = of_class(objects, name), summary(objects, name)
    order = np.argsort(found.volumes_nm3, kind="stable")
    chosen = {"largest": order[-1:], "typical": order[(len(order) - 1) // 2 :][:1]}
    views = [*_worst(run, name, [row for row in matches if row["class"] == name])]
    for standing, places in chosen.items():
        views += [_pictured(run, name, standing, own.slice(place, 1).to_pylist()[0]) for place in places.tolist()]
    return ClassObjects(_color(run, name), found, scores, tuple(views))


def _worst(run: Run, name: str, matches: Sequence[Row]) -> Iterator[ObjectView]:
    def rank(row: Row) -> tuple[float, int]:
        voxels = row["predicted_voxels"] if row["state"] == INVENTED else row["true_voxels"]
        return float(str(row["iou"])), -int(str(voxels))

    for row in sorted(matches, key=rank)[:WORST]:
        capture = str(row["capture"])
        truth, predicted = run.true_objects(name, capture), run.objects(name, capture)
        parts = run.plan.capture(capture).split().test
        shown = predicted if row["state"] == INVENTED else truth
        own_id = row["predicted_id"] if row["state"] == INVENTED else row["true_id"]
        place = _place(capture, shown, own_id, parts)
        plane = _plane(place)
        seen = Seen(
            truth.read(plane)[0] == (row["true_id"] or -1),
            predicted.read(plane)[0] == (row["predicted_id"] or -1),
            run.truth(capture).read(plane)[0] > 0,
        )
        size = run.plan.capture(capture).voxel_size_nm
        panels = draw_panels(run.image(capture).read(plane)[0], seen, color=_color(run, name), voxel_size_nm=size)
        words = _words(row)
        where = f"slice {place.z} of {capture}: {words}"
        yield ObjectView(
            standing="worst",
            words=words,
            place=place,
            width_nm=place.columns * size[2],
            pictures=(
                ("raw", picture(panels.raw, f"Raw image: {where}")),
                ("truth", picture(panels.truth, f"The object as it was labelled: {where}")),
                ("prediction", picture(panels.prediction, f"The object as it was predicted: {where}")),
                ("errors", picture(panels.errors, f"What was missed and invented of it: {where}")),
            ),
        )


def _words(row: Row) -> str:
    if row["state"] == MISSED and row["predicted_id"] is None:
        return f"object {row['true_id']} of the truth, {whole(int(str(row['true_voxels'])))} voxels, was not seen"
    if row["state"] == INVENTED and row["true_id"] is None:
        return f"object {row['predicted_id']}, {whole(int(str(row['predicted_voxels'])))} voxels, is none in the truth"
    return f"objects {row['true_id']} of the truth and {row['predicted_id']}: IoU {decimals(float(str(row['iou'])))}"


def _pictured(run: Run, name: str, standing: str, row: Row) -> ObjectView:
    capture, size = str(row["capture"]), run.plan.capture(str(row["capture"])).voxel_size_nm
    start, stop = ([int(str(row[f"box_{end}_{axis}_voxel"])) for axis in "zyx"] for end in ("start", "stop"))
    volume = run.objects(name, capture)
    place = _place(capture, volume, row["id"], [Block((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))])
    plane = _plane(place)
    own = volume.read(plane)[0] == row["id"]
    seen = Seen(own, own, np.ones_like(own))
    panels = draw_panels(run.image(capture).read(plane)[0], seen, color=_color(run, name), voxel_size_nm=size)
    words = f"object {row['id']}, {volume_um3(float(str(row['volume_nm3'])) / 1e9)} µm³"
    where = f"slice {place.z} of {capture}: {standing} {name}, {words}"
    return ObjectView(
        standing=standing,
        words=words,
        place=place,
        width_nm=place.columns * size[2],
        pictures=(
            ("raw", picture(panels.raw, f"Raw image: {where}")),
            ("object", picture(panels.prediction, f"The object: {where}")),
        ),
    )


def _place(capture: str, volume: Volume, object_id: object, parts: Iterable[Block]) -> Place:
    """The slice that holds most of an object within some parts of a volume, and a window around what lies there."""
    blocks = [block for part in parts for block in tile(part, volume.shard_zyx)]
    voxels: dict[int, int] = {}
    for block in blocks:
        counts = np.count_nonzero(volume.read(block) == object_id, axis=(1, 2)).tolist()
        for z, count in enumerate(counts, start=block.start_zyx[0]):
            voxels[z] = voxels.get(z, 0) + count
    z = max(voxels, key=lambda each: (voxels[each], -each))
    rows, columns = [], []
    for block in blocks:
        plane = block.intersect(Block((z, *block.start_zyx[1:]), (z + 1, *block.stop_zyx[1:])))
        if plane:
            y, x = np.nonzero(volume.read(plane)[0] == object_id)
            rows.append(y + plane.start_zyx[1])
            columns.append(x + plane.start_zyx[2])
    (top, height), (left, width) = (
        _window(np.concatenate(places), side)
        for places, side in zip((rows, columns), volume.shape_zyx[1:], strict=True)
    )
    return Place(capture, z, top, left, height, width)


def _window(places: NDArray[np.int64], side: int) -> tuple[int, int]:
    """Where a window around some places begins, and how long it is, within a side of the volume."""
    low, high = int(places.min()), int(places.max()) + 1
    length = min(side, max(LEAST_SIDE, min(MOST_SIDE, round(1.4 * (high - low)))))
    return min(max(0, (low + high - length) // 2), side - length), length


def _plane(place: Place) -> Block:
    return Block((place.z, place.top, place.left), (place.z + 1, place.top + place.rows, place.left + place.columns))


def _color(run: Run, name: str) -> str:
    return next(member.color for member in run.config.classes.members if member.name == name)
