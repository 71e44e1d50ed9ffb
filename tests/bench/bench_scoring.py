"""Scoring a segmentation: nanoseconds a voxel to count it, beside reading both volumes and scikit-learn's matrix.

Truth is a phantom of mouse cortex; the prediction is the truth moved by two voxels. Counted is as the evaluate step
does it: every slice by itself, and the confusion volume. Times are those of the processor, the best of several.

    pip install -e .[bench] && python -m tests.bench.bench_scoring
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from pipeline.phantom import make_phantom
from pipeline.scoring.confusion import ConfusionMatrix, confusion_block
from pipeline.volume.geometry import tile
from pipeline.volume.omezarr import Geometry, Volume, create_labels
from pipeline.volume.stores import Store

NAMES = tuple(f"class {number}" for number in range(1, 9))
CHUNK, SHARD = (32, 64, 64), (64, 128, 128)
TRIES = 5


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


def nanoseconds(work: Callable[[], Any], voxels: int, tries: int = TRIES) -> float:
    """Of the processor, for each voxel."""
    times = []
    for _ in range(tries):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1e9 * min(times) / voxels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=3, default=(64, 256, 256), help="voxels z, y, x")
    truth = make_phantom(tuple(parser.parse_args().shape), seed=0).labels.astype(np.uint8)
    predicted = np.roll(truth, 2, axis=2)
    with tempfile.TemporaryDirectory() as folder:
        volumes = [written(Path(folder), name, ids) for name, ids in (("truth", truth), ("predicted", predicted))]
        reading = nanoseconds(lambda: [volume.read(volume.geometry.block) for volume in volumes], truth.size)
    counting = nanoseconds(lambda: count(truth, predicted), truth.size)
    labels = range(1, len(NAMES) + 1)
    peer = nanoseconds(lambda: confusion_matrix(truth.ravel(), predicted.ravel(), labels=labels), truth.size, 1)
    print(f"reading both volumes {reading:.1f} ns/voxel, counting {counting:.1f}, scikit-learn {peer:.0f}")
    print(f"reading and counting: {(reading + counting) / reading:.2f} x reading (at most 2)")
    print(f"counting: {peer / counting:.0f} x as fast as scikit-learn (at least 10)")


if __name__ == "__main__":
    main()
