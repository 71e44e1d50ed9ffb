#!/usr/bin/env bash
# PyTorch's histogram of 20 million voxels counts 16,777,216 on one thread.
#
# Guess: counts are integers, as in NumPy, or floats that are right to seven digits.
# Seen: histc and histogram of float32 voxels count in float32, one by one: at 2**24 adding 1 changes nothing, and the
#   bin stays there however many voxels follow; with n threads at n times that. bincount given float32 weights does so
#   with any number of threads.
# Versions: torch 2.13.0, numpy 2.4.6; Python 3.11.
# Prints: 20000000 voxels: histc 16777216, histogram 16777216, bincount with weights 16777216 - numpy.histogram 20000000
# Why it matters: a cube of 272 voxels a side is enough in a DataLoader's worker, which has one thread: the background
#   peak, and with it thresholds, class weights and confusion matrices, are cut off, and differ by machine.
# Source: behaviour of the released package.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'torch==2.13.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import torch

torch.set_num_threads(1)
voxels = torch.zeros(20_000_000)
counts = {
    "histc": torch.histc(voxels, bins=1, min=-1, max=1),
    "histogram": torch.histogram(voxels, bins=1, range=(-1.0, 1.0)).hist,
    "bincount with weights": torch.bincount(voxels.long(), weights=torch.ones_like(voxels)),
}
found = {name: int(count.item()) for name, count in counts.items()}
right = int(np.histogram(voxels.numpy(), bins=1, range=(-1, 1))[0][0])
assert set(found.values()) == {2**24} and right == len(voxels), (found, right)
print(f"{len(voxels)} voxels:", ", ".join(f"{name} {count}" for name, count in found.items()),
      f"- numpy.histogram {right}")
PYTHON
