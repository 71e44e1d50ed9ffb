#!/usr/bin/env bash
# tinybrain rounds the mean of uint8 voxels down.
#
# Guess: the mean of a block is rounded to the nearest grey level, so that levels of a pyramid are as bright as the
#   volume.
# Seen: fractions are cut off: blocks of 1, 1, 1, 0 become 0, and random voxels lose half a grey level. It happens
#   once, whatever the number of levels.
# Versions: tinybrain 1.7.0, numpy 2.4.6; Python 3.11.
# Prints: 1 1 1 0 becomes 0 - the mean of random voxels changes by -0.4, four levels on by -0.5
# Why it matters: the levels that Igneous writes are darker than the volume by half a level: a mask thresholded on a
#   coarse level is not that of the fine one, and dim signals below 1 vanish.
# Source: behaviour of the released package.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'tinybrain==1.7.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import tinybrain

block = np.array([[1, 1], [1, 0]], np.uint8)[..., np.newaxis]
(small,) = tinybrain.downsample_with_averaging(np.tile(block, (4, 4, 1)), factor=(2, 2, 1), num_mips=1)
assert small.dtype == np.uint8 and set(small.ravel().tolist()) == {0}
volume = np.random.default_rng(0).integers(0, 256, (64, 64, 64)).astype(np.uint8)
levels = tinybrain.downsample_with_averaging(volume, factor=(2, 2, 2), num_mips=4)
changes = [round(float(level.mean() - volume.mean()), 1) for level in levels]
assert changes[0] == -0.4 and changes[3] == -0.5, changes
print("1 1 1 0 becomes 0 - the mean of random voxels changes by",
      f"{changes[0]}, four levels on by {changes[3]}")
PYTHON
