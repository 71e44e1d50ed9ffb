"""What boosting did: to the images, and to what the same multilabel network makes of them, on the test part."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

import numpy as np

from pipeline.config.model import MULTILABEL
from pipeline.run import provenance
from pipeline.run.events import Reporter
from pipeline.run.layout import NATIVE, Run
from pipeline.run.plan import CapturePlan
from pipeline.run.views import OTHER_CLASS, named_only, others_as_one
from pipeline.run.works import DOWNSAMPLED, boosting_plan
from pipeline.scoring import ablation_tables
from pipeline.scoring.ablation import Ablation, MeasuredInput, compare_inputs
from pipeline.scoring.confusion import ClasswiseConfusion, Confusion, ConfusionMatrix
from pipeline.scoring.image_quality import Quality, QualityMeter
from pipeline.volume.geometry import Block, tile
from pipeline.volume.pyramid import build_pyramid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURE_SIDE_PX = 384
"""Of the window of a slice that is drawn."""


def compare(run_url: str) -> Ablation:
    """Measure and score every variant. Raises RunConflictError when one of them is not predicted yet."""
    run = Run.open(run_url)
    variants = (NATIVE, *boosting_plan(run).methods)
    with run.reporter("compare") as report:
        marker = provenance.ablation(run, variants)
        if marker.intact:
            report.say("is done")
            return ablation_tables.from_json(run.evaluation_store.read("ablation.json").decode())
        for variant in variants:
            provenance.refuse_damaged(run, (MULTILABEL,), variant)
        with marker.making():
            ablation = _compared(run, variants, report)
        report.progress(len(variants), len(variants), ablation_tables.headline(ablation))
        return ablation


def _compared(run: Run, variants: tuple[str, ...], report: Reporter) -> Ablation:
    """The comparison; its tables, figures and the coarser levels of what was compared are written."""
    measured = [_measured(run, variant, number, len(variants), report) for number, variant in enumerate(variants)]
    ablation = compare_inputs(measured, seed=run.config.seed)
    _write_tables(run, ablation)
    _write_figures(run, variants, ablation)
    for capture in run.plan.captures:
        for variant in variants[1:]:
            boosted = build_pyramid(run.variant(variant, capture.name))
            build_pyramid(run.segmentation(MULTILABEL, capture.name, variant), boosted.chunk_zyx)
        build_pyramid(run.variant(DOWNSAMPLED, capture.name))
    return ablation


def _measured(run: Run, variant: str, number: int, of: int, report: Reporter) -> MeasuredInput:
    report.progress(number, of, f"measuring {variant}")
    with report.metrics.seconds("compute"):
        quality = None if variant == NATIVE else _quality(run, variant)
        return MeasuredInput(variant, quality, [_confusion(run, variant, *block) for block in _blocks(run)])


def _quality(run: Run, variant: str) -> Quality:
    """How near the variant is to the native slices of the test part."""
    data_range = _data_range(run)
    meters = []
    for capture, region in _test_regions(run):
        meter = QualityMeter(data_range)
        native, boosted = run.image(capture.name), run.variant(variant, capture.name)
        for plane in _planes(region):
            meter.update(native.read(plane)[0], boosted.read(plane)[0], plane.start_zyx[0])
        meters.append(meter)
    return reduce(add, meters).quality()


def _data_range(run: Run) -> float:
    """255 for bytes; for other types, which seldom use all of theirs, what the native test part spans."""
    captures = run.plan.captures
    if run.image(captures[0].name).dtype == np.uint8:
        return 255.0
    planes = [
        run.image(capture.name).read(plane) for capture, region in _test_regions(run) for plane in _planes(region)
    ]
    return float(max(plane.max() for plane in planes)) - float(min(plane.min() for plane in planes))


def _test_regions(run: Run) -> Iterator[tuple[CapturePlan, Block]]:
    for capture in run.plan.captures:
        for region in capture.split().test:
            yield capture, region


def _planes(region: Block) -> list[Block]:
    return tile(region, (1, *region.shape_zyx[1:]), region.start_zyx)


def _blocks(run: Run) -> Iterator[tuple[CapturePlan, Block]]:
    """What the intervals are drawn over."""
    size = run.config.boosting.comparison_block_zyx
    for capture, region in _test_regions(run):
        for block in tile(region, size, region.start_zyx):
            yield capture, block


def _confusion(run: Run, variant: str, capture: CapturePlan, block: Block) -> Confusion:
    """Of classes as the capture's labels name them; counted class by class where some do not name all."""
    names, untold = run.config.classes.names, run.config.untold
    truth = run.truth(capture.name).read(block)
    predicted = run.segmentation(MULTILABEL, capture.name, variant).read(block)
    if run.config.classes.exclusive:
        matrix = ConfusionMatrix((*names, OTHER_CLASS) if untold else names)
        matrix.update(truth, others_as_one(predicted, capture.untold, len(names)))
        return named_only(matrix.one_vs_rest(), names, capture.untold) if untold else matrix
    overlapping = ClasswiseConfusion.empty(names)
    overlapping.update(truth, predicted)
    return named_only(overlapping, names, capture.untold)


def _write_tables(run: Run, ablation: Ablation) -> None:
    store = run.evaluation_store
    store.write("ablation.json", ablation_tables.to_json(ablation).encode())
    store.write("ablation.csv", ablation_tables.to_csv(ablation).encode())
    store.write("ablation.md", ablation_tables.to_markdown(ablation).encode())


def _write_figures(run: Run, variants: tuple[str, ...], ablation: Ablation) -> None:
    from pipeline.figures.canvas import figure_png
    from pipeline.figures.charts import difference_figure

    def save(name: str, figure: Figure) -> None:
        run.evaluation_store.write(f"figures/{name}.png", figure_png(figure))

    for reference in dict.fromkeys(comparison.reference for comparison in ablation.comparisons):
        save(f"ablation_f1_against_{reference}", difference_figure(ablation, reference))
    for capture, region in _test_regions(run):
        save(f"ablation_{capture.name}_{region.start_zyx[0]:04d}", _slice_figure(run, variants, capture, region))


def _slice_figure(run: Run, variants: tuple[str, ...], capture: CapturePlan, region: Block) -> Figure:
    """The window of the middle slice in which the segmentations differ most."""
    from pipeline.figures.panels import InputSlice, ablation_slice_figure, telling_window

    z = (region.start_zyx[0] + region.stop_zyx[0]) // 2
    plane = Block((z, *region.start_zyx[1:]), (z + 1, *region.stop_zyx[1:]))
    truth = run.truth(capture.name).read(plane)[0]
    if run.config.classes.exclusive:
        truth[truth > len(run.config.classes.members)] = 0
    inputs = [
        InputSlice(
            variant,
            run.variant(variant, capture.name).read(plane)[0],
            run.segmentation(MULTILABEL, capture.name, variant).read(plane)[0],
        )
        for variant in variants
    ]
    window = telling_window(truth, [one.segmentation for one in inputs], FIGURE_SIDE_PX)
    members = run.config.classes.members
    return ablation_slice_figure(
        [InputSlice(one.name, one.image[window], one.segmentation[window]) for one in inputs],
        truth[window],
        class_names=run.config.classes.names,
        colors=[member.color for member in members],
        voxel_size_nm=capture.voxel_size_nm,
        title=f"{capture.name}, slice {z}: the window in which the segmentations differ most",
        overlapping=not run.config.classes.exclusive,
    )
