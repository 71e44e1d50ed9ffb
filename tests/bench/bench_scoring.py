"""Scoring a segmentation: nanoseconds a voxel to count it, beside reading both volumes and scikit-learn's matrix.

Truth is a phantom of mouse cortex; the prediction is the truth moved by two voxels. Counted is as the evaluate step
does it: every slice by itself, and the confusion volume. Times are those of the processor.

    pip install -e .[bench] && python -m tests.bench.bench_scoring
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from pipeline.phantom import make_phantom
from pipeline.scoring.confusion import ConfusionMatrix, confusion_block
from pipeline.volume.geometry import Zyx, tile
from pipeline.volume.omezarr import Geometry, Volume, create_labels
from pipeline.volume.stores import Store
from tests.bench.table import Row, options, show

NAMES = tuple(f"class {number}" for number in range(1, 9))
CHUNK, SHARD = (32, 64, 64), (64, 128, 128)


def written(folder: Path, name: str, ids: NDArray[np.uint8]) -> Volume:
    """A label volume as inference writes it."""
    volume = create_labels(
        Store.open(folder / name, create=True),
        "segmentation",
        geometry=Geometry(ids.shape, (40.0, 8.0, 8.0)),
        dtype=np.uint8,
        classes=[(number, class_name, "#808080") for number, class_name in enumerate(NAMES, 1)],
        chunk_zyx=CHUNK,
        shard_zyx=SHARD,
    )
    for block in tile(volume.geometry.block, SHARD):
        volume.write(block, ids[block.slices])
    return volume


def count(truth: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> ConfusionMatrix:
    """Counts of all slices together, and the confusion volume on the way."""
    confusion_block(truth, predicted, len(NAMES))
    total = ConfusionMatrix(NAMES)
    for truth_slice, predicted_slice in zip(truth, predicted, strict=True):
        of_slice = ConfusionMatrix(NAMES)
        of_slice.update(truth_slice, predicted_slice)
        total = total + of_slice
    return total


def nanoseconds(work: Callable[[], Any], voxels: int) -> float:
    """Of the processor, for each voxel."""
    start = time.process_time()
    work()
    return 1e9 * (time.process_time() - start) / voxels


def rows(shape_zyx: Zyx, repetitions: int) -> Iterator[Row]:
    """Counting beside the peer, and all of it beside reading."""
    truth = make_phantom(shape_zyx, seed=0).labels.astype(np.uint8)
    predicted = np.roll(truth, 2, axis=2)
    labels = range(1, len(NAMES) + 1)
    with tempfile.TemporaryDirectory() as folder:
        volumes = [written(Path(folder), name, ids) for name, ids in (("truth", truth), ("predicted", predicted))]
        sides = {
            "reading": lambda: [volume.read(volume.geometry.block) for volume in volumes],
            "counting": lambda: count(truth, predicted),
            "peer": lambda: confusion_matrix(truth.ravel(), predicted.ravel(), labels=labels),
        }
        taken: dict[str, list[float]] = {side: [] for side in sides}
        for turn in range(repetitions + 1):
            for side, work in sides.items():
                took = nanoseconds(work, truth.size)
                if turn:  # the first one fills caches
                    taken[side].append(took)
    reading, counting, peer = (tuple(each) for each in taken.values())
    both = tuple(map(sum, zip(reading, counting, strict=True)))
    yield Row("scoring: reading and counting", "reading both volumes", "ns/voxel", both, reading, 2, at_most=True)
    yield Row("scoring: counting", "scikit-learn", "ns/voxel", counting, peer, 10)


def main() -> None:
    parser = options(__doc__, repetitions=5)
    parser.add_argument("--shape", type=int, nargs=3, default=(64, 256, 256), help="voxels z, y, x")
    asked = parser.parse_args()
    show(rows(tuple(asked.shape), asked.repetitions), asked)


if __name__ == "__main__":
    main()
