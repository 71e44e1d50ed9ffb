"""Predict a synthetic volume with the default network, and print what it took as JSON: a side of `bench_builds`.

Runs with any build that comes first in PYTHONPATH, so that two builds can be timed side by side:

    PYTHONPATH=another/checkout python tests/bench/predict_blocks.py cube 128 128 128
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from pipeline.nn.blockwise import BlockPredictor, Normalisation, predict_blocks
from pipeline.nn.device import keep_freed_memory
from pipeline.nn.plan import plan_network
from pipeline.nn.targets import Target
from pipeline.nn.unet import UNet
from pipeline.volume.geometry import Block, tile

VOLUMES = {
    # Edges, voxel size in nm, training patch.
    "stack": ((25, 700, 700), (10.0, 5.0, 5.0), (16, 128, 128)),
    "cube": ((1024, 1024, 1024), (8.0, 8.0, 8.0), (64, 64, 64)),
}
CLASSES, FEATURES = 8, (16, 32, 64, 96)


def memory_gb(field: str) -> float:
    """Of this process on Linux, now (VmRSS) or at most (VmHWM)."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field)]
    return int(line.split()[1]) * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("volume", choices=VOLUMES, help="all of the stack, or one block in the middle of the cube")
    parser.add_argument("block_zyx", type=int, nargs=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    torch.manual_seed(0)
    shape, size_nm, patch = VOLUMES[arguments.volume]
    plan = plan_network(voxel_size_nm=size_nm, extent_zyx=patch, outputs=CLASSES, head="softmax", features=FEATURES)
    predictor = BlockPredictor(UNet(plan).eval(), Normalisation(128.0, 50.0), device=torch.device("cpu"))
    target = Target("multilabel", tuple(range(1, CLASSES + 1)), exclusive=True)
    blocks = tile(Block.of_shape(shape), arguments.block_zyx)
    if arguments.volume == "cube":
        blocks = [
            Block.of_shape(arguments.block_zyx).shift(
                [(n - b) // 2 for n, b in zip(shape, arguments.block_zyx, strict=True)]
            )
        ]
    grey_values = np.random.default_rng(0).integers(0, 256, 2**20, dtype=np.uint8)
    before_gb, begun = memory_gb("VmRSS"), time.process_time()
    for _, logits_CZYX in predict_blocks(
        predictor, lambda block: np.resize(grey_values, block.shape_zyx), blocks, shape
    ):
        target.decide(logits_CZYX)
    cost = {
        "voxels": sum(block.voxels for block in blocks),
        "processor_s": time.process_time() - begun,
        "peak_gb": memory_gb("VmHWM") - before_gb,
    }
    print(json.dumps(cost))


if __name__ == "__main__":
    main()
