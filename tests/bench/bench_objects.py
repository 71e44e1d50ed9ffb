"""Telling objects apart: seconds of the processor beside those of inference, and memory at 8 and 64 times the volume.

Objects are blobs in 6 % of the voxels, many of them touching; the classes and cores of a volume are written as
inference would leave them, and `vemseg separate` works on that, each size in a process of its own. Inference is that
of a network of the usual size on one block, as many times as the volume holds it.

    pip install -e .[bench] && python -m tests.bench.bench_objects --sides 128 256 512
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from pipeline.config.model import Inference
from pipeline.nn.blockwise import BlockPredictor, Normalisation
from pipeline.nn.calibration import Confidence
from pipeline.nn.model import Model
from pipeline.nn.plan import plan_network
from pipeline.nn.targets import Target
from pipeline.nn.unet import UNet
from pipeline.run.layout import Run
from pipeline.run.provenance import predicted
from pipeline.steps.prepare import prepare
from pipeline.steps.separate import separate
from pipeline.volume.geometry import Block, Zyx
from pipeline.volume.stores import Store
from tests.bench.table import Row, options, show

VOXEL_NM = (8.0, 8.0, 8.0)
FEATURES = (16, 32, 64, 96)
SHARD: Zyx = (32, 256, 256)
BLOCK = SHARD
TISSUE = 128
"""Edge of the cube of which a volume is made."""


def tissue() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Classes and cores of a cube."""
    field = gaussian_filter(np.random.default_rng(0).normal(size=(TISSUE,) * 3), 5, mode="wrap")
    inside = field > np.quantile(field, 0.94)
    depth = distance_transform_edt(np.pad(inside, 8, mode="wrap"))[8:-8, 8:-8, 8:-8]
    return np.where(inside, 1, 2).astype(np.uint8), (depth > 3).astype(np.uint8)


def network() -> UNet:
    torch.manual_seed(0)
    plan = plan_network(
        voxel_size_nm=VOXEL_NM, extent_zyx=(32, 128, 128), outputs=3, head="softmax", features=list(FEATURES)
    )
    return UNet(plan).eval()


def write_model(store: Store) -> None:
    members = [{"name": "objects", "ids": [1], "instances": True}, {"name": "rest", "ids": [2]}]
    facts = {"classes": {"members": members}, "voxel_size_nm": VOXEL_NM, "receptive_field_zyx": [15, 15, 15]}
    target = Target("multilabel", (1, 2), True, ((1, 3),), (0.0,))
    model = Model(network(), target, Normalisation(127, 74), Confidence.as_it_is(2), facts)
    weights = model.weights_file()
    store.write("model.safetensors", weights)
    store.write_json("model.json", model.json_file(weights))


def measure(side: int, folder: Path) -> dict[str, float]:
    """Seconds of the processor, peak memory and objects of a volume with so many voxels along each axis."""
    np.lib.format.open_memmap(folder / "image.npy", "w+", np.uint8, (side,) * 3).flush()
    write_model(Store.open(folder / "model", create=True))
    run_url = str(folder / "run")
    settings = Inference(block_zyx=BLOCK, shard_zyx=SHARD)
    prepare(str(folder / "model"), str(folder / "image.npy"), run_url, voxel_size_nm=VOXEL_NM, inference=settings)
    run, cube = Run.open(run_url), tissue()
    for work in predicted(run, "multilabel"):
        with work.marker.making():
            for volume, values in zip(
                (run.segmentation("multilabel", "volume"), run.cores("volume")), cube, strict=True
            ):
                volume.write(work.shard, _repeated(values, work.shard))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    separate(run_url)
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = int(run.objects("objects", "volume").read(Block((side - 32, 0, 0), (side, side, side))).max())
    return {"seconds": seconds, "peak_mib": peak / 1024, "before_mib": before / 1024, "objects": found}


def _repeated(cube: NDArray[np.uint8], block: Block) -> NDArray[np.uint8]:
    places = (np.arange(start, stop) % TISSUE for start, stop in zip(block.start_zyx, block.stop_zyx, strict=True))
    return cube[np.ix_(*places)]


def inference_seconds() -> float:
    """Of the processor, for a voxel."""
    image = np.random.default_rng(0).integers(0, 255, BLOCK, dtype=np.uint8)
    whole = Block.of_shape(BLOCK)
    predictor = BlockPredictor(network(), Normalisation(127, 74), device=torch.device("cpu"))
    started = time.process_time()
    with torch.inference_mode():
        predictor.logits(predictor.read(lambda block: image[block.slices], whole, BLOCK))
    return (time.process_time() - started) / whole.voxels


def rows(sides: Sequence[int], repetitions: int) -> Iterator[Row]:
    """Seconds of each size beside those of inference."""
    for side in sides:
        taken, predicting, peak_mib, objects = [], [], 0.0, 0
        for _ in range(repetitions):
            words = [sys.executable, "-m", "tests.bench.bench_objects", "--alone", str(side)]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
            taken.append(told["seconds"])
            predicting.append(inference_seconds() * side**3)
            peak_mib, objects = max(peak_mib, told["peak_mib"]), told["objects"]
        note = f"{objects} objects, peak {peak_mib:.0f} MiB"
        yield Row(f"telling objects apart, {side}³", "inference", "s", tuple(taken), tuple(predicting), 0.5, True, note)


def main() -> None:
    parser = options(__doc__, repetitions=1)
    parser.add_argument("--sides", type=int, nargs="+", default=[128, 256], help="voxels along each axis")
    parser.add_argument("--alone", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.alone:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(asked.alone, Path(folder))))
        return
    torch.set_num_threads(asked.threads)
    show(rows(asked.sides, asked.repetitions), asked)


if __name__ == "__main__":
    main()
