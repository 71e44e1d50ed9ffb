#!/usr/bin/env bash
# PyTorch convolves one small 3D patch by a slow fall-back, and the same patch in a batch of two by oneDNN.
#
# Guess: on a CPU where oneDNN is available, every float32 conv3d goes there, whatever the batch and the kernel; a batch
#   of two is two samples computed alike, and nothing is gained by asking for oneDNN by name.
# Seen: 16 channels of 32 x 32 x 32 voxels and a kernel of 3: slow_conv3d, on one thread as on two. Two such patches, a
#   patch of 64 x 64 x 64, or a kernel of 5 go to oneDNN. torch.mkldnn_convolution takes the small patch there, too.
# Versions: torch 2.13.0, numpy 2.4.6; Python 3.11, x86-64.
# Prints: one patch of 32: slow_conv3d - two: mkldnn - one of 64: mkldnn - kernel of 5: mkldnn
# Why it matters: inference of volumes in small blocks, one at a time, is where this is met: the smaller the block, the
#   slower the voxel, beyond what its halo costs; and the last bits of a voxel depend on how many were batched.
# Source: behaviour of the released package, as its own profiler names the operations.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'torch==2.13.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import torch
from torch.profiler import ProfilerActivity, profile

assert torch.backends.mkldnn.is_available()


def used(samples: int, edge: int, kernel: int = 3, threads: int = 1) -> str:
    torch.set_num_threads(threads)
    image = torch.ones(samples, 16, edge, edge, edge)
    weight = torch.ones(16, 16, kernel, kernel, kernel)
    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU]) as seen:
        torch.nn.functional.conv3d(image, weight)
    names = {event.key for event in seen.key_averages()}
    return "mkldnn" if "aten::mkldnn_convolution" in names else "slow_conv3d" if "aten::slow_conv3d" in names else "?"


one, two, large, wide = used(1, 32), used(2, 32), used(1, 64), used(1, 32, kernel=5)
assert one == used(1, 32, threads=2) == "slow_conv3d", one
assert two == large == wide == "mkldnn", (two, large, wide)
patch, weight = torch.rand(1, 16, 32, 32, 32), torch.rand(16, 16, 3, 3, 3)
with torch.inference_mode():
    named = torch.mkldnn_convolution(patch, weight, None, (0, 0, 0), (1, 1, 1), (1, 1, 1), 1)
    assert torch.allclose(named, torch.nn.functional.conv3d(patch, weight), rtol=1e-4)
print(f"one patch of 32: {one} - two: {two} - one of 64: {large} - kernel of 5: {wide}")
PYTHON
