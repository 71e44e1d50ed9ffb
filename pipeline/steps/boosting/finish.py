"""Finish a boosted volume: coarser levels for viewers, and a picture of what it was and what it is."""

from __future__ import annotations

from pipeline.run.layout import Run
from pipeline.run.plan import CapturePlan
from pipeline.run.provenance import finished_boosting
from pipeline.run.works import boosting_plan
from pipeline.volume.geometry import Block
from pipeline.volume.omezarr import Volume
from pipeline.volume.pyramid import build_pyramid

WINDOW_PX = 192
"""Fine pixels of the window that is pictured."""


def finish(run_url: str) -> None:
    """Write pyramids and a picture of each boosted volume. Raises RunConflictError while shards are missing."""
    run = Run.open(run_url)
    with run.reporter("finish") as report:
        marker = finished_boosting(run)
        if marker.intact:
            report.say("is done")
            return
        with marker.making():
            for capture in run.plan.captures:
                for method in boosting_plan(run).methods:
                    boosted = build_pyramid(run.variant(method, capture.name))
                    _write_picture(run, capture, method, boosted)
                    report.say(f"{method}: {boosted.store.url}")


def _write_picture(run: Run, capture: CapturePlan, method: str, boosted: Volume) -> None:
    """The same window of the middle slice, as it came and boosted, in the same size."""
    from pipeline.figures.canvas import figure_png
    from pipeline.figures.panels import boost_figure

    fine, coarse = _windows(run, capture, boosted)
    figure = boost_figure(
        run.image(capture.name).read(coarse)[0],
        boosted.read(fine)[0],
        voxel_size_nm=boosted.geometry.voxel_size_nm,
        title=f"slice {fine.start_zyx[0]}: as it came, and boosted by {boosting_plan(run).factor:g} ({method})",
    )
    run.evaluation_store.write(f"figures/boosted_{method}_{capture.name}.png", figure_png(figure))


def _windows(run: Run, capture: CapturePlan, boosted: Volume) -> tuple[Block, Block]:
    """A window in the middle of the boosted volume, and the same of the one that it was made of."""
    factor = boosting_plan(run).factor
    z = boosted.shape_zyx[0] // 2
    coarse_sides = [min(int(WINDOW_PX / factor), length) for length in capture.shape_zyx[1:]]
    top, left = ((length - side) // 2 for length, side in zip(capture.shape_zyx[1:], coarse_sides, strict=True))
    coarse = Block((z, top, left), (z + 1, top + coarse_sides[0], left + coarse_sides[1]))
    rows, columns = (
        (round(start * factor), min(round(stop * factor), length))
        for start, stop, length in zip(coarse.start_zyx[1:], coarse.stop_zyx[1:], boosted.shape_zyx[1:], strict=True)
    )
    return Block((z, rows[0], columns[0]), (z + 1, rows[1], columns[1])), coarse
