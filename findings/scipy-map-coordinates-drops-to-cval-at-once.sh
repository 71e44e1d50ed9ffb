#!/usr/bin/env bash
# scipy.ndimage with mode="constant" gives cval for any coordinate outside the voxel centres, by however little.
#
# Guess: half a voxel outside, linear interpolation blends the edge voxel with cval; a billionth outside is still the
#   edge value.
# Seen: a coordinate of -1e-9 gives 0 outright, at every order; nearest interpolation at -0.4, inside the edge voxel,
#   gives 0 too. mode="grid-constant" does what was guessed.
# Versions: scipy 1.17.1, numpy 2.4.6; Python 3.11.
# Prints: constant: -1e-9 gives 0.0, nearest at -0.4 gives 0.0; grid-constant: [5.0, 10.0]
# Why it matters: warps, alignments and resampling of EM volumes compute coordinates in floating point: whole faces of
#   the volume turn black by chance.
# Source: scipy reference of ndimage (modes "constant" and "grid-constant"), pull request 12776; scikit-image issue
#   1514.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'scipy==1.17.1' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
from scipy.ndimage import map_coordinates

line = np.full(5, 10.0)
just_outside = [[-1e-9, 4 + 1e-9]]
for order in (0, 1, 3):
    assert map_coordinates(line, just_outside, order=order).tolist() == [0, 0]
inside_edge_voxel = map_coordinates(line, [[-0.4, 4.4]], order=0)
blended = map_coordinates(line, [[-0.5, -1e-9]], order=1, mode="grid-constant")
assert inside_edge_voxel.tolist() == [0, 0]
assert np.allclose(blended, [5, 10])
print("constant: -1e-9 gives 0.0, nearest at -0.4 gives 0.0; grid-constant:", blended.round(3).tolist())
PYTHON
