#!/usr/bin/env bash
# scipy.ndimage.zoom(volume, 0.5) does not sample every second voxel, nor the middle of pairs.
#
# Guess: a zoom by 0.5 makes voxels twice as large, so output k lies at 2k + 0.5 (or 2k) of the input.
# Seen: the first and the last voxel centres are pinned together: of 8 voxels the outputs lie at 0, 2.33, 4.67 and 7,
#   a step of 7/3. grid_mode=True gives 0.5, 2.5, 4.5, 6.5.
# Versions: scipy 1.17.1, numpy 2.4.6; Python 3.11.
# Prints: sampled at [0.0, 2.333, 4.667, 7.0] - with grid_mode at [0.5, 2.5, 4.5, 6.5]
# Why it matters: a volume written with voxel size doubled after zoom is stretched: of 100 voxels the ends are off by
#   half a voxel each and labels at another scale do not fit the image.
# Source: scipy reference of ndimage.zoom, parameter grid_mode.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'scipy==1.17.1' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
from scipy.ndimage import zoom

position = np.arange(8.0)
plain = zoom(position, 0.5, order=1)
grid = zoom(position, 0.5, order=1, grid_mode=True, mode="nearest")
assert np.allclose(plain, [0, 7 / 3, 14 / 3, 7])
assert np.allclose(grid, [0.5, 2.5, 4.5, 6.5])
print("sampled at", plain.round(3).tolist(), "- with grid_mode at", grid.round(3).tolist())
PYTHON
