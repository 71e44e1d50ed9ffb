"""Score every target on the test part, and write tables, confusion volumes and figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config import MULTILABEL
from pipeline.errors import RunConflictError
from pipeline.metrics import StepMetrics
from pipeline.scoring import tables
from pipeline.scoring.confusion import (
    BinaryConfusion,
    ClasswiseConfusion,
    Confusion,
    ConfusionMatrix,
    one_vs_rest_ids,
)
from pipeline.scoring.slices import choose_slices
from pipeline.scoring.volumes import confusion_block, confusion_labels
from pipeline.steps.digest import Marker, digest
from pipeline.steps.infer import predicted_works
from pipeline.steps.run import REST_COLOR, Run, class_map
from pipeline.steps.runplan import CapturePlan
from pipeline.telemetry import Reporter
from pipeline.volume.geometry import Block, tile
from pipeline.volume.omezarr import build_pyramid, create_labels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONFUSION = "confusion"
FIGURE_SLICES = 3

Ids = NDArray[Any]


@dataclass(frozen=True)
class View:
    """A question that a prediction answers voxel by voxel with exclusive ids: all classes, or one against the rest."""

    name: str
    target: str
    classes: tuple[str, ...]
    colors: tuple[str, ...]
    truth_ids: Callable[[Ids], Ids]
    predicted_ids: Callable[[Ids], Ids]


@dataclass
class Counted:
    """The counts of a view over the test part, and those of each slice of each capture."""

    matrix: ConfusionMatrix
    slices: dict[str, list[ConfusionMatrix]]


def evaluate(run_url: str) -> tables.ScoreTable:
    """Score what was predicted. Raises RunConflictError when a prediction is missing."""
    run = Run.open(run_url)
    run.refuse_without_labels()
    with run.reporter("evaluate") as report:
        table = _scored(run, report)
        if run.config.evaluation.renders:
            from pipeline.steps.render import render_where_possible  # VTK is slow to import

            render_where_possible(run, report)
        return table


def _scored(run: Run, report: Reporter) -> tables.ScoreTable:
    """Tables, confusion volumes and figures."""
    marker = scores_marker(run)
    if marker.done:
        report.say("is done")
        return tables.from_json(run.evaluation_store.read("scores.json").decode())
    marker.clear()
    _forget_slice_figures(run)
    views = [view for target in run.plan.targets for view in _views(run, target)]
    counted = {}
    for number, view in enumerate(views):
        report.progress(number, len(views), f"scoring {view.name}")
        counted[view.name] = _count(run, view, report.metrics)
    table = _table(run, views, counted)
    for side, scores in table.sides.items():
        for average in tables.AVERAGES:
            report.metrics.f1(getattr(scores, average).f1, network=side, average=average)
    _write_tables(run, table)
    _write_figures(run, views, counted, table, report)
    for target in run.plan.targets:
        for capture in run.plan.captures:
            for volume in run.predicted_volumes(target, capture.name):
                build_pyramid(volume)
    marker.write(weighted_f1=table.headline)
    report.progress(len(views), len(views), tables.headline(table))
    return table


def is_scored(run: Run) -> bool:
    """Whether the tables are those of the run's plan and of what is predicted now."""
    try:
        return scores_marker(run).done
    except RunConflictError:
        return False


def views_to_draw(run: Run) -> list[View]:
    """The questions whose answers are worth pictures: those of the multilabel network, where there is one."""
    return _joint([view for target in run.plan.targets for view in _views(run, target)])


def _joint(views: Sequence[View]) -> list[View]:
    return [view for view in views if view.target == MULTILABEL] or list(views)


def scores_marker(run: Run) -> Marker:
    """Says that the tables are of these predictions. Raises RunConflictError when a prediction is missing."""
    config = run.config
    predictions = [work.marker.digest for work in predicted_works(run)]
    drawn = config.evaluation.model_dump(mode="json", exclude={"renders"})  # they have a marker of their own
    return run.marker("evaluate", "scores", digest(predictions, config.classes, drawn))


def _views(run: Run, target: str) -> list[View]:
    classes = class_map(run.config)
    exclusive = classes.exclusive
    if target == MULTILABEL and exclusive:
        return [View(target, target, classes.names, classes.colors, _same, _same)]
    if target != MULTILABEL:
        return [_one_vs_rest(target, target, classes.names.index(target) + 1, classes.colors, exclusive, bits=False)]
    return [
        _one_vs_rest(f"{target}_{name}", target, index + 1, classes.colors, exclusive, bits=True)
        for index, name in enumerate(classes.names)
    ]


def _one_vs_rest(name: str, target: str, class_id: int, colors: Sequence[str], exclusive: bool, *, bits: bool) -> View:
    def of_ids(ids: Ids) -> Ids:
        return np.where(ids == class_id, 1, np.where(ids > 0, 2, 0)).astype(np.uint8)

    def of_bits(ids: Ids) -> Ids:
        return one_vs_rest_ids(ids, class_id)

    label = name.removeprefix(f"{MULTILABEL}_")
    colors_of_two = (colors[class_id - 1], REST_COLOR)
    return View(
        name, target, (label, "rest"), colors_of_two, of_ids if exclusive else of_bits, of_bits if bits else _same
    )


def _same(ids: Ids) -> Ids:
    return ids


def _count(run: Run, view: View, metrics: StepMetrics) -> Counted:
    """Count a view, and write its confusion volume on the way."""
    counted = Counted(ConfusionMatrix(view.classes), {})
    for capture in run.plan.captures:
        slices = [ConfusionMatrix(view.classes) for _ in range(capture.shape_zyx[0])]
        volume = create_labels(
            run.evaluation_store.child("confusion", view.name, capture.name),
            CONFUSION,
            geometry=run.truth(capture.name).geometry,
            dtype=np.uint16,
            classes=[(label.value, label.name, label.color) for label in confusion_labels(view.classes, view.colors)],
            chunk_zyx=run.segmentation(view.target, capture.name).chunk_zyx,
            shard_zyx=run.segmentation(view.target, capture.name).shard_zyx,
        )
        for shard in tile(capture.volume, volume.shard_zyx):
            values = np.zeros(shard.shape_zyx, np.uint16)
            for block, truth, predicted in metrics.each("read", _compared(run, view, capture, shard)):
                with metrics.seconds("compute"):
                    values[block.shift([-edge for edge in shard.start_zyx]).slices] = confusion_block(
                        truth, predicted, len(view.classes)
                    )
                    for offset, z in enumerate(range(block.start_zyx[0], block.stop_zyx[0])):
                        slices[z].update(truth[offset], predicted[offset])
                metrics.voxels(block.voxels)
            metrics.timed("write", volume.write)(shard, values)
        build_pyramid(volume)
        for matrix in slices:
            counted.matrix = counted.matrix + matrix
        counted.slices[capture.name] = slices
    return counted


def _compared(run: Run, view: View, capture: CapturePlan, shard: Block) -> Iterator[tuple[Block, Ids, Ids]]:
    """Truth and prediction of the test blocks within a shard."""
    truth, predicted = run.truth(capture.name), run.segmentation(view.target, capture.name)
    for region in capture.split().test:
        block = region.intersect(shard)
        if block:
            yield block, view.truth_ids(truth.read(block)), view.predicted_ids(predicted.read(block))


def _table(run: Run, views: Sequence[View], counted: dict[str, Counted]) -> tables.ScoreTable:
    joint: Confusion | None = None
    binary: dict[str, BinaryConfusion] = {}
    overlapping: dict[str, BinaryConfusion] = {}
    for view in views:
        matrix = counted[view.name].matrix
        if view.target == MULTILABEL and run.config.classes.exclusive:
            joint = matrix
            continue
        one = matrix.one_vs_rest().by_class[view.classes[0]]
        (overlapping if view.target == MULTILABEL else binary)[view.classes[0]] = one
    if overlapping:
        joint = ClasswiseConfusion(overlapping)
    return tables.score_table(joint, ClasswiseConfusion(binary) if binary else None)


def _write_tables(run: Run, table: tables.ScoreTable) -> None:
    store = run.evaluation_store
    store.write("scores.json", tables.to_json(table).encode())
    store.write("scores.csv", tables.to_csv(table).encode())
    store.write("scores.md", tables.to_markdown(table).encode())


def _write_figures(
    run: Run, views: Sequence[View], counted: dict[str, Counted], table: tables.ScoreTable, report: Reporter
) -> None:
    from pipeline.scoring.figures import confusion_figure, f1_figure, figure_png, training_figure

    def save(name: str, figure: Figure) -> None:
        run.evaluation_store.write(f"figures/{name}.png", figure_png(figure))

    save("f1", f1_figure(table))
    histories = {target: json.loads(run.model_store(target).read("history.json")) for target in run.plan.targets}
    save("training", training_figure(histories))
    for view in _joint(views):
        save(f"confusion_{view.name}", confusion_figure(counted[view.name].matrix, f"{view.name}, test part"))
        for capture in run.plan.captures:
            for z, standing in _slices_to_draw(run, counted[view.name].slices[capture.name]):
                name = f"slice_{view.name}_{capture.name}_{z:04d}"
                save(name, _slice_figure(run, view, capture, z, standing))
                report.event("figure", name=name)


def _forget_slice_figures(run: Run) -> None:
    """They are named after their slices: those of an earlier choice would stay among the new ones."""
    for key in run.evaluation_store.list("figures"):
        if key.startswith("figures/slice_"):
            run.evaluation_store.delete(key)


def _slices_to_draw(run: Run, slices: Sequence[ConfusionMatrix]) -> list[tuple[int, str]]:
    wanted = run.config.evaluation.figure_slices
    if wanted == "auto":
        return [(chosen.position, chosen.standing) for chosen in choose_slices(slices, FIGURE_SLICES)]
    return [(z, "") for z in wanted if z < len(slices) and slices[z].voxels]


def _slice_figure(run: Run, view: View, capture: CapturePlan, z: int, standing: str) -> Figure:
    from pipeline.scoring.slice_figure import slice_figure

    tests = [block for block in capture.split().test if block.start_zyx[0] <= z < block.stop_zyx[0]]
    low = [min(block.start_zyx[axis] for block in tests) for axis in (1, 2)]
    high = [max(block.stop_zyx[axis] for block in tests) for axis in (1, 2)]
    plane = Block((z, low[0], low[1]), (z + 1, high[0], high[1]))
    return slice_figure(
        run.image(capture.name).read(plane)[0],
        view.truth_ids(run.truth(capture.name).read(plane))[0],
        view.predicted_ids(run.segmentation(view.target, capture.name).read(plane))[0],
        class_names=view.classes,
        colors=view.colors,
        voxel_size_nm=capture.voxel_size_nm,
        title=f"{capture.name}, slice {z}{f', {standing} by macro F1' if standing else ''}: {view.name} network",
    )
