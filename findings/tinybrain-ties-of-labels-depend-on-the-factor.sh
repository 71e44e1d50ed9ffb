#!/usr/bin/env bash
# tinybrain breaks a tie of labels towards the last voxel for 2 x 2 x 1 and the first for 2 x 2 x 2.
#
# Guess: the same rule holds for every factor, say the smaller label or the first voxel.
# Seen: of the labels 1 2 / 2 1, and of 1 2 / 3 4, the voxel at the far corner decides for the factor 2 x 2 x 1, the
#   one at the near corner for 2 x 2 x 2 of two equal slices.
# Versions: tinybrain 1.7.0, numpy 2.4.6; Python 3.11.
# Prints: 1 2 2 1: 2 by 2 x 2 x 1, 1 by 2 x 2 x 2 - 1 2 3 4: 4 and 1
# Why it matters: a segmentation downsampled first in the plane and later in all directions moves its borders by a
#   fine voxel to one side and then back to the other.
# Source: behaviour of the released package; the COUNTLESS algorithm takes the last voxel when none agree.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'tinybrain==1.7.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import tinybrain

def voted(labels, depth):
    block = np.repeat(np.array(labels, np.uint8).reshape(2, 2, 1), depth, axis=2)
    (small,) = tinybrain.downsample_segmentation(block, factor=(2, 2, depth), num_mips=1)
    return int(small.item())

two, four = ([voted(labels, depth) for depth in (1, 2)] for labels in ([1, 2, 2, 1], [1, 2, 3, 4]))
assert two == [2, 1] and four == [4, 1], (two, four)
print(f"1 2 2 1: {two[0]} by 2 x 2 x 1, {two[1]} by 2 x 2 x 2 - 1 2 3 4: {four[0]} and {four[1]}")
PYTHON
