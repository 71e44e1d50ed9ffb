#!/usr/bin/env bash
# scipy.ndimage.binary_dilation with iterations=0 fills the whole volume.
#
# Guess: no iterations, no change: a dilation by 0 voxels returns the mask.
# Seen: below 1, the operation repeats until nothing changes: one voxel grows to the whole array, and an erosion
#   leaves nothing.
# Versions: scipy 1.17.1, numpy 2.4.6; Python 3.11.
# Prints: one voxel of 1000: dilated by 0 is 1000, by 1 is 7 - 999 voxels eroded by 0 are 0
# Why it matters: a margin in nanometres divided by the section thickness, int(30 / 40), is 0: the mask that should
#   stay as it is covers everything.
# Source: SciPy documentation of binary_dilation (iterations less than 1: repeated until the result does not change).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'scipy==1.17.1' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
from scipy import ndimage

mask = np.zeros((10, 10, 10), bool)
mask[5, 5, 5] = True
none, one = (int(ndimage.binary_dilation(mask, iterations=n).sum()) for n in (int(30 / 40), 1))
eroded = int(ndimage.binary_erosion(~mask, iterations=0, border_value=1).sum())
assert (none, one, eroded) == (1000, 7, 0), (none, one, eroded)
print(f"one voxel of 1000: dilated by 0 is {none}, by 1 is {one} - 999 voxels eroded by 0 are {eroded}")
PYTHON
