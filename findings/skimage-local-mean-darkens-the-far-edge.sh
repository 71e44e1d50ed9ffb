#!/usr/bin/env bash
# skimage.transform.downscale_local_mean fills an incomplete last block with zeros before it averages.
#
# Guess: an axis of 5 halved is cut to 4, or its last block averages the voxels that exist: a constant volume stays
#   constant.
# Seen: the missing voxels count as zeros: a constant 100 becomes 100, 100, 50 along the axis, and 12.5 in the far
#   corner of a volume.
# Versions: scikit-image 0.26.0, numpy 2.4.6; Python 3.11.
# Prints: constant 100 becomes [100.0, 100.0, 50.0] along x and 12.5 in the corner
# Why it matters: nearly every EM volume has odd sizes at some level of its pyramid; each level darkens the far faces,
#   and the next level darkens them again.
# Source: docstring of downscale_local_mean ("padded with zeros"), seldom read because the name says mean.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'scikit-image==0.26.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
from skimage.transform import downscale_local_mean

volume = np.full((5, 5, 5), 100, np.uint8)
small = downscale_local_mean(volume, (2, 2, 2))
assert small.shape == (3, 3, 3)
assert small[0, 0].tolist() == [100, 100, 50]
assert small[-1, -1, -1] == 12.5
print("constant 100 becomes", small[0, 0].tolist(), "along x and", float(small[-1, -1, -1]), "in the corner")
PYTHON
