"""The memory of inference does not grow with the volume.

Two processes predict volumes of which one is eight times the other, block by block, and report the peak of their
resident memory. What is left out: ingest, whose own test is with the formats it reads.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PREDICT = """
import resource, sys
import numpy as np
import torch
from pipeline.config.model import Inference
from pipeline.nn.blockwise import Normalisation
from pipeline.nn.calibration import Confidence
from pipeline.nn.model import Model
from pipeline.nn.plan import plan_network
from pipeline.nn.targets import Target
from pipeline.nn.unet import UNet
from pipeline.steps.infer import infer
from pipeline.steps.prepare import prepare
from pipeline.volume.stores import Store

folder, edge = sys.argv[1], int(sys.argv[2])
rng = np.random.default_rng(0)
image = np.lib.format.open_memmap(f"{folder}/image.npy", "w+", np.uint8, (edge, edge, edge))
for z in range(edge):
    image[z] = rng.integers(0, 255, (edge, edge), dtype=np.uint8)
image.flush()
del image
torch.manual_seed(0)
plan = plan_network(voxel_size_nm=(8, 8, 8), extent_zyx=(32, 32, 32), outputs=2, head="softmax", features=[4, 8])
classes = {"members": [{"name": n, "ids": [i], "color": "#00ff00"} for i, n in enumerate(("one", "two"))]}
facts = {"classes": classes, "voxel_size_nm": [8, 8, 8], "receptive_field_zyx": [15, 15, 15]}
model = Model(UNet(plan), Target("multilabel", (1, 2), True), Normalisation(127, 74), Confidence.as_it_is(2), facts)
store = Store.open(f"{folder}/model", create=True)
weights = model.weights_file()
store.write("model.safetensors", weights)
store.write_json("model.json", model.json_file(weights))
settings = Inference(block_zyx=(32, 32, 32), shard_zyx=(32, 64, 64))
prepare(f"{folder}/model", f"{folder}/image.npy", f"{folder}/run", voxel_size_nm=(8, 8, 8), inference=settings)
assert infer(f"{folder}/run", target="multilabel") == 2 * (edge // 64) ** 3
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def _peak_kilobytes(folder: Path, edge: int) -> int:
    folder.mkdir()
    script = [sys.executable, "-c", PREDICT, str(folder), str(edge)]
    done = subprocess.run(script, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


def test_eight_times_the_volume_takes_less_than_a_tenth_more_memory(tmp_path: Path) -> None:
    small, large = _peak_kilobytes(tmp_path / "small", 64), _peak_kilobytes(tmp_path / "large", 128)
    assert large < 1.1 * small
