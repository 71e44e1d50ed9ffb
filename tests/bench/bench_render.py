"""Renders of a large segmentation: seconds and peak memory of all that `vemseg render` draws.

Truth and prediction are phantoms of mouse cortex, mirrored to fill the volume; the prediction is the truth moved by two
voxels, without some of its mitochondria. Preparing the confusion volume with its pyramid is not timed: scoring does it.
Memory is the most that this process and its children held together, sampled every 50 ms.

    make bench-setup && .venv/bin/python -m tests.bench.bench_render
"""

from __future__ import annotations

import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from pipeline.config.examples import example_text
from pipeline.config.model import MULTILABEL, parse_config
from pipeline.figures.palette import confusion_labels
from pipeline.figures.render.scored import confusion_view, drawings
from pipeline.phantom import make_phantom
from pipeline.run.layout import CONFUSION
from pipeline.run.views import View
from pipeline.scoring.confusion import confusion_block
from pipeline.volume.geometry import tile
from pipeline.volume.omezarr import Geometry, Volume, create_image, create_labels
from pipeline.volume.pyramid import build_pyramid
from pipeline.volume.stores import Store
from tests.bench.table import Row, options, show

CHUNK, SHARD = (64, 64, 64), (128, 128, 128)
PHANTOM_ZYX = (80, 250, 250)
MITOCHONDRIA, CYTOSOL = 3, 1


@dataclass
class Peak:
    """The most memory seen, in bytes."""

    held: int = 0


def mirrored(data: NDArray[Any], side: int) -> NDArray[Any]:
    """A cube of a piece and its mirror images."""
    return np.pad(data, [(0, side - n) for n in data.shape], mode="symmetric")


def write_volumes(folder: Path, side: int) -> tuple[Volume, Volume, View]:
    """Confusion volume with its pyramid, image, and what is asked of them."""
    phantom = make_phantom(PHANTOM_ZYX, seed=0)
    truth = mirrored(phantom.labels, side)
    predicted = np.roll(truth, 2, axis=2)
    predicted[: side // 2][predicted[: side // 2] == MITOCHONDRIA] = CYTOSOL
    members = parse_config(example_text("demo"), "demo").classes.members
    names, colors = tuple(member.name for member in members), tuple(member.color for member in members)
    store, geometry = Store.open(folder, create=True), Geometry(truth.shape, phantom.voxel_size_nm)
    image = create_image(store, geometry=geometry, dtype=np.uint8, name="image", chunk_zyx=CHUNK, shard_zyx=SHARD)
    confusion = create_labels(
        store,
        CONFUSION,
        geometry=geometry,
        dtype=np.uint16,
        classes=[(label.value, label.name, label.color) for label in confusion_labels(names, colors)],
        chunk_zyx=CHUNK,
        shard_zyx=SHARD,
    )
    raw = mirrored(phantom.raw, side)
    for block in tile(geometry.block, SHARD):
        image.write(block, raw[block.slices])
        confusion.write(block, confusion_block(truth[block.slices], predicted[block.slices], len(names)))
    build_pyramid(confusion)
    return confusion, image, View(MULTILABEL, MULTILABEL, names, colors, names, np.asarray, np.asarray)


@contextmanager
def watched() -> Iterator[Peak]:
    """Watch the memory of this process and its children."""
    peak, ended = Peak(), threading.Event()
    me = psutil.Process()

    def watch() -> None:
        while not ended.wait(0.05):
            family = [me, *me.children(recursive=True)]
            peak.held = max(peak.held, sum(_held(process) for process in family))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def _held(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def processor_seconds() -> float:
    """Of this process and of the children that have ended."""
    times = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(used.ru_utime + used.ru_stime for used in times)


def rows(side: int, repetitions: int) -> Iterator[Row]:
    """Wall time and memory, by themselves."""
    seconds, peaks, used_s = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        confusion, image, view = write_volumes(Path(folder), side)
        region = confusion.geometry.block
        for _ in range(repetitions):
            start, used = time.perf_counter(), processor_seconds()
            with watched() as peak:
                drawn = confusion_view(confusion, view, region)
                for _ in drawings(drawn, confusion, image, region, name="bench", title="bench"):
                    pass
            seconds.append(time.perf_counter() - start)
            used_s.append(processor_seconds() - used)
            peaks.append(peak.held / 1e9)
    note = f"{median(used_s):.0f} processor seconds, load of the machine {psutil.getloadavg()[0]:.1f}"
    yield Row(f"renders of {side}³ labels", "by itself", "s", tuple(seconds), bar=20, at_most=True, note=note)
    yield Row(f"renders of {side}³ labels, memory", "by itself", "GB", tuple(peaks), bar=4, at_most=True)


def main() -> None:
    parser = options(__doc__, repetitions=1)
    parser.add_argument("--side", type=int, default=500, help="voxels along each axis (default 500)")
    asked = parser.parse_args()
    show(rows(asked.side, asked.repetitions), asked)


if __name__ == "__main__":
    main()
