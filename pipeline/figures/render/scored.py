"""Renders of the scored predictions: stills of each class, an overview, a turn-table and a scene to turn around."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import Preempted, StorageError, VemsegError
from pipeline.figures.canvas import figure_png
from pipeline.figures.render.drawing import require_opengl
from pipeline.figures.render.outcomes import ConfusionView, all_surfaces, outcomes
from pipeline.figures.render.panels import Planes, class_figure, overview_figure
from pipeline.figures.render.scene import scene_html
from pipeline.figures.render.surfaces import MOST_VOXELS
from pipeline.figures.render.turntable import turntable_gif
from pipeline.run import provenance
from pipeline.run.events import Reporter
from pipeline.run.layout import RENDERS, Run
from pipeline.run.plan import CapturePlan
from pipeline.run.views import View, refuse_incomplete, views_to_draw
from pipeline.scoring.confusion import decode
from pipeline.volume.coarse import coarse_labels
from pipeline.volume.geometry import Block, Zyx
from pipeline.volume.omezarr import Volume
from pipeline.volume.stores import Store

NOTE = (
    "Found: in truth and prediction, sheer. Missed: in the truth only, dark bands. Invented: in the prediction only, "
    "light bands. Numbers are voxels."
)


def render_where_possible(run: Run, report: Reporter) -> None:
    """Draw the renders of a scored run; where that fails, report why: the scores stand without pictures.

    Raises only what another attempt can mend: StorageError and Preempted.
    """
    try:
        draw_renders(run, report)
    except (StorageError, Preempted):
        raise
    except Exception as error:  # of whatever kind: drivers and data make VTK fail in ways that nobody can list
        if not provenance.renders(run).done:
            run.evaluation_store.child(RENDERS).delete_all()  # a part of them, or those of former scores
        reason = str(error) if isinstance(error, VemsegError) else f"{type(error).__name__}: {error}"
        report.say(f"no renders: {reason}; the scores are complete without them")
        report.event("no renders", reason=reason)


def draw_renders(run: Run, report: Reporter) -> Store:
    """Draw the renders of a scored run, unless they are there; returns their place."""
    store = run.evaluation_store.child(RENDERS)
    marker = provenance.renders(run)
    if not marker.intact:
        require_opengl()
        captures = [capture for capture in run.plan.captures if capture.split().test]
        pictures = [(view, capture) for view in views_to_draw(run) for capture in captures]
        with marker.making():
            store.delete_all()
            for number, (view, capture) in enumerate(pictures):
                report.progress(number, len(pictures), f"drawing {view.name} of {capture.name}")
                for name, content in _drawn(run, view, capture):
                    store.write(name, content)
                    report.event("render", name=name)
    report.say(f"renders are in {store.url}")
    return store


def _drawn(run: Run, view: View, capture: CapturePlan) -> Iterator[tuple[str, bytes]]:
    confusion = run.confusion(view.name, capture.name)
    title = f"{capture.name}, test part, {view.name} network"
    name = f"{view.name}_{capture.name}"
    region = Block.around(capture.split().test)
    drawn = confusion_view(confusion, view, region)
    if drawn.is_exact:
        voxels = {name: drawn.scores(class_id).support for class_id, name in enumerate(view.sought, start=1)}
        refuse_incomplete(run, view, capture, voxels)
    yield from drawings(drawn, confusion, run.image(capture.name), region, name=name, title=title)


def drawings(
    drawn: ConfusionView, confusion: Volume, image: Volume, region: Block, *, name: str, title: str
) -> Iterator[tuple[str, bytes]]:
    """Names and contents of all that is drawn of a view: scene, overview, a figure a class, turn-table.

    Nothing where neither truth nor prediction have anything to draw within the region.
    """
    found = all_surfaces(drawn.surfaces)
    if not found:
        return
    yield f"scene_{name}.html", scene_html(found, title=title, size_nm=drawn.size_nm, note=NOTE).encode()
    yield f"overview_{name}.png", figure_png(overview_figure(drawn, title))
    for class_id in drawn.drawn:
        class_name = drawn.class_names[class_id - 1]
        at = _in_full_resolution(drawn.worst_voxel(class_id), drawn, confusion, region)
        labels = _outcome_planes(planes_of(confusion, region, at), len(drawn.class_names), class_id)
        figure = class_figure(drawn, class_id, planes_of(image, region, at), labels, f"{class_name}: {title}")
        yield f"class_{name}_{class_name}.png", figure_png(figure)
    yield f"turntable_{name}.gif", turntable_gif(drawn, title)


def confusion_view(confusion: Volume, view: View, region: Block) -> ConfusionView:
    """The part of a confusion volume within a region, of few enough voxels to draw."""
    coarse = coarse_labels(confusion, MOST_VOXELS, region)
    return ConfusionView(
        coarse.ids.astype(np.uint16),
        coarse.voxel_size_nm,
        view.classes,
        view.colors,
        coarse.voxels,
        drawn=tuple(range(1, len(view.sought) + 1)),
        is_exact=coarse.is_exact,
    )


def _in_full_resolution(at: Zyx, drawn: ConfusionView, confusion: Volume, region: Block) -> Zyx:
    """The voxel in the middle of a coarse one, counted from the region's start."""
    factors = (a / b for a, b in zip(drawn.voxel_size_nm, confusion.geometry.voxel_size_nm, strict=True))
    z, y, x = (
        min(int((place + 0.5) * factor), side - 1)
        for place, factor, side in zip(at, factors, region.shape_zyx, strict=True)
    )
    return z, y, x


def planes_of(volume: Volume, region: Block, at: Zyx) -> Planes:
    """The three planes of a region through a voxel, which is counted from the region's start."""
    z, y, x = (start + place for start, place in zip(region.start_zyx, at, strict=True))
    (z0, y0, x0), (z1, y1, x1) = region.start_zyx, region.stop_zyx
    return Planes(
        volume.read(Block((z, y0, x0), (z + 1, y1, x1)))[0],
        volume.read(Block((z0, y0, x), (z1, y1, x + 1)))[:, :, 0].T,
        volume.read(Block((z0, y, x0), (z1, y + 1, x1)))[:, 0],
        at,
    )


def _outcome_planes(values: Planes, n_classes: int, class_id: int) -> Planes:
    def kinds(plane: NDArray[np.uint16]) -> NDArray[np.uint8]:
        return outcomes(*decode(plane, n_classes), class_id)

    return Planes(kinds(values.yx), kinds(values.yz), kinds(values.zx), values.at)
