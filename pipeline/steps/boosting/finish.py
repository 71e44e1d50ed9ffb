"""Finish a boosted volume: coarser levels for viewers, and a picture of what it was and what it is."""

from __future__ import annotations

from pipeline.errors import RunConflictError
from pipeline.steps.boosting.apply import boosted_works
from pipeline.steps.boosting.layout import boosting_plan
from pipeline.steps.digest import digest
from pipeline.steps.run import Run
from pipeline.steps.runplan import CapturePlan
from pipeline.volume.geometry import Block
from pipeline.volume.omezarr import Volume, build_pyramid

WINDOW_PX = 192
"""Fine pixels of the window that is pictured."""


def finish(run_url: str) -> None:
    """Write pyramids and a picture of each boosted volume. Raises RunConflictError while shards are missing."""
    run = Run.open(run_url)
    with run.reporter("finish") as report:
        works = [work for method in boosting_plan(run).methods for work in boosted_works(run, method)]
        missing = sum(not work.marker.done for work in works)
        if missing:
            raise RunConflictError(
                f"{missing} of {len(works)} shards are not boosted yet; run `vemseg boost apply --run ...` first"
            )
        marker = run.marker("finish", "boosted", digest([work.marker.digest for work in works]))
        if marker.done:
            report.say("is done")
            return
        marker.clear()
        for capture in run.plan.captures:
            for method in boosting_plan(run).methods:
                boosted = build_pyramid(run.variant(method, capture.name))
                _write_picture(run, capture, method, boosted)
                report.say(f"{method}: {boosted.store.url}")
        marker.write()


def _write_picture(run: Run, capture: CapturePlan, method: str, boosted: Volume) -> None:
    """The same window of the middle slice, as it came and boosted, in the same size."""
    from pipeline.scoring.boost_figure import boost_figure
    from pipeline.scoring.figures import figure_png

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
