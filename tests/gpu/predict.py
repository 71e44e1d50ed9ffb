"""Predict a block of noise and print its speed as JSON, with whichever build comes first in PYTHONPATH.

PYTHONPATH=another/checkout python tests/gpu/predict.py cuda 128,256,256 16,32,64,96 1024,1024,1024
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import torch

from pipeline.nn.blockwise import BlockPredictor, Normalisation
from pipeline.nn.plan import plan_network
from pipeline.nn.unet import UNet
from pipeline.volume.geometry import Block

TURNS = 3


def main() -> None:
    """The best of some turns."""
    device = torch.device(sys.argv[1])
    block_zyx, features, volume_zyx = ([int(part) for part in words.split(",")] for words in sys.argv[2:5])
    torch.manual_seed(0)
    plan = plan_network(
        voxel_size_nm=(10.0, 5.0, 5.0), extent_zyx=(16, 128, 128), outputs=8, head="softmax", features=tuple(features)
    )
    predictor = BlockPredictor(UNet(plan).eval(), Normalisation(128.0, 50.0), device=device)
    start = [(edge - side) // 2 for edge, side in zip(volume_zyx, block_zyx, strict=True)]
    core = Block.of_shape(block_zyx).shift(start)
    random = np.random.default_rng(0)
    read = predictor.read(lambda block: random.integers(0, 256, block.shape_zyx, np.uint8), core, tuple(volume_zyx))
    taken = []
    for _ in range(TURNS):
        begun = time.perf_counter()
        predictor.logits(read).max(0).indices.byte().cpu()
        taken.append(time.perf_counter() - begun)
    print(json.dumps({"voxels_per_s": core.voxels / min(taken)}))


if __name__ == "__main__":
    main()
