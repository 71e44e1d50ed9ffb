#!/usr/bin/env bash
# scipy.ndimage.distance_transform_edt measures to a voxel outside the array when there is no background.
#
# Guess: a block that lies wholly inside an object gives infinity everywhere (nothing to measure to), or zeros, or an
#   error.
# Seen: it gives finite, plausible and lopsided distances to the index (-1, 0): 1 in the first corner, growing along
#   both axes.
# Versions: scipy 1.17.1, edt 3.1.2, numpy 2.4.6; Python 3.11.
# Prints: no background: scipy gives [1.0, 1.41, 2.24, 3.16] in the first row, measured to (-1, 0); edt gives inf
# Why it matters: seeds from a distance map computed block by block: every block inside a soma gets its peak in the
#   far corner.
# Source: scipy issues 1616 and 15585; pull request 25528 proposes infinity.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    'scipy==1.17.1' 'edt==3.1.2' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import edt
import numpy as np
from scipy.ndimage import distance_transform_edt

inside = np.ones((4, 4), bool)
distance, nearest = distance_transform_edt(inside, return_indices=True)
expected = np.hypot(*np.meshgrid([1, 2, 3, 4], [0, 1, 2, 3], indexing="ij"))
assert np.allclose(distance, expected)
assert (nearest[0] == -1).all() and (nearest[1] == 0).all()
assert np.isinf(edt.edt(inside)).all()
first_row = distance[0].round(2).tolist()
print("no background: scipy gives", first_row, "in the first row, measured to (-1, 0); edt gives inf")
PYTHON
