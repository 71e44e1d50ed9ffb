"""Score every target on the test part, and write tables, confusion volumes and figures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from pipeline.config.model import MERGED, MULTILABEL
from pipeline.figures.palette import confusion_labels
from pipeline.figures.slices import choose_slices
from pipeline.run import provenance
from pipeline.run.events import Reporter
from pipeline.run.layout import CONFUSION, Run
from pipeline.run.metrics import StepMetrics
from pipeline.run.objects import object_overlaps
from pipeline.run.plan import CapturePlan
from pipeline.run.trust import measured_trust
from pipeline.run.views import Ids, View, named_only, views, views_to_draw
from pipeline.scoring import tables
from pipeline.scoring.confusion import BinaryConfusion, ClasswiseConfusion, Confusion, ConfusionMatrix, confusion_block
from pipeline.scoring.object_scores import ObjectScores, object_counts
from pipeline.scoring.overlaps import disjoint
from pipeline.scoring.reliability import Trust
from pipeline.volume.geometry import Block, tile
from pipeline.volume.omezarr import create_labels
from pipeline.volume.pyramid import build_pyramid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURE_SLICES = 3


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
            from pipeline.figures.render.scored import render_where_possible  # VTK is slow to import

            render_where_possible(run, report)
        return table


def _scored(run: Run, report: Reporter) -> tables.ScoreTable:
    """Tables, confusion volumes and figures."""
    marker = provenance.scores(run)
    if marker.intact:
        report.say("is done")
        return tables.from_json(run.evaluation_store.read("scores.json").decode())
    provenance.refuse_damaged(run)
    with marker.making() as facts:
        table = _score(run, report)
        facts["weighted_f1"] = table.headline
    asked = len(views(run))
    report.progress(asked, asked, tables.headline(table))
    return table


def _score(run: Run, report: Reporter) -> tables.ScoreTable:
    _forget_slice_figures(run)
    asked = views(run)
    counted = {}
    for number, view in enumerate(asked):
        report.progress(number, len(asked), f"scoring {view.name}")
        counted[view.name] = _count(run, view, report.metrics)
    trust = measured_trust(run)
    table = tables.with_objects(_table(run, asked, counted, trust), _objects(run, report))
    for side, scores in table.sides.items():
        for average in tables.AVERAGES:
            report.metrics.f1(getattr(scores, average).f1, network=side, average=average)
    _write_tables(run, table, trust)
    _write_figures(run, counted, table, trust, report)
    for target in run.segmentations:
        for capture in run.plan.captures:
            for volume in run.predicted_volumes(target, capture.name):
                build_pyramid(volume, run.image(capture.name).chunk_zyx)
    return table


def _count(run: Run, view: View, metrics: StepMetrics) -> Counted:
    """Count a view, and write its confusion volume on the way."""
    counted = Counted(ConfusionMatrix(view.classes), {})
    for capture in run.plan.captures:
        slices = [ConfusionMatrix(view.classes) for _ in range(capture.shape_zyx[0])]
        volume = create_labels(
            run.evaluation_store.child(CONFUSION, view.name, capture.name),
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
                    values[block.relative_to(shard).slices] = confusion_block(truth, predicted, len(view.classes))
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
            ids = view.truth_ids(capture, truth.read(block)), view.predicted_ids(capture, predicted.read(block))
            yield block, *ids


def _table(run: Run, views: Sequence[View], counted: dict[str, Counted], trust: Trust) -> tables.ScoreTable:
    joint: dict[str, Confusion] = {}
    binary: dict[str, BinaryConfusion] = {}
    overlapping: dict[str, dict[str, BinaryConfusion]] = {}
    for view in views:
        matrix = counted[view.name].matrix
        together = view.target in (MULTILABEL, MERGED)
        if together and run.config.classes.exclusive:
            joint[view.target] = _class_by_class(run, counted[view.name]) if run.config.untold else matrix
            continue
        one = matrix.one_vs_rest().by_class[view.classes[0]]
        (overlapping.setdefault(view.target, {}) if together else binary)[view.classes[0]] = one
    joint |= {target: ClasswiseConfusion(classes) for target, classes in overlapping.items()}
    alone = ClasswiseConfusion(binary) if binary else None
    return tables.score_table(joint.get(MULTILABEL), alone, joint.get(MERGED), trust.summary())


def _class_by_class(run: Run, counted: Counted) -> ClasswiseConfusion:
    """The counts of each class over the captures whose labels name it."""
    names = run.config.classes.names
    of_captures = [
        named_only(matrix.one_vs_rest(), names, capture.untold)
        for capture in run.plan.captures
        for matrix in counted.slices[capture.name]
    ]
    return reduce(ClasswiseConfusion.__add__, of_captures)


def _objects(run: Run, report: Reporter) -> dict[str, ObjectScores]:
    """Score the objects of each class whose objects are told apart, and write what is known of every one."""
    if not run.instances:
        return {}
    from pipeline.run.objecttables import write_matches, write_measured  # Arrow is slow to import

    overlaps = {}
    for name in run.instances.values():
        report.say(f"objects of {name}")
        overlaps[name] = [object_overlaps(run, name, capture) for capture in run.plan.captures]
    write_measured(run)
    write_matches(run, overlaps)
    return {name: object_counts(disjoint(found)).scores() for name, found in overlaps.items()}


def _write_tables(run: Run, table: tables.ScoreTable, trust: Trust) -> None:
    store = run.evaluation_store
    store.write("scores.json", tables.to_json(table).encode())
    store.write("scores.csv", tables.to_csv(table).encode())
    store.write("scores.md", tables.to_markdown(table).encode())
    store.write("reliability.json", json.dumps(trust.to_json()).encode())


def _write_figures(
    run: Run, counted: dict[str, Counted], table: tables.ScoreTable, trust: Trust, report: Reporter
) -> None:
    from pipeline.figures.canvas import figure_png
    from pipeline.figures.charts import confusion_figure, f1_figure, reliability_figure, training_figure

    def save(name: str, figure: Figure) -> None:
        run.evaluation_store.write(f"figures/{name}.png", figure_png(figure))

    save("f1", f1_figure(table))
    if trust.calibrations:
        save("reliability", reliability_figure(trust))
    histories = {target: json.loads(run.model_store(target).read("history.json")) for target in run.plan.targets}
    save("training", training_figure(histories))
    for view in views_to_draw(run):
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
    from pipeline.figures.panels import slice_figure

    part = Block.around([block for block in capture.split().test if block.start_zyx[0] <= z < block.stop_zyx[0]])
    plane = Block((z, *part.start_zyx[1:]), (z + 1, *part.stop_zyx[1:]))
    return slice_figure(
        run.image(capture.name).read(plane)[0],
        view.truth_ids(capture, run.truth(capture.name).read(plane))[0],
        view.predicted_ids(capture, run.segmentation(view.target, capture.name).read(plane))[0],
        class_names=view.classes,
        colors=view.colors,
        voxel_size_nm=capture.voxel_size_nm,
        title=f"{capture.name}, slice {z}{f', {standing} by macro F1' if standing else ''}: {view.name} network",
    )
