#!/usr/bin/env bash
# scipy.ndimage.binary_closing removes foreground at the border of the array.
#
# Guess: closing only ever adds voxels: a mask closed is a superset of the mask, at the border too.
# Seen: the erosion that follows the dilation sees background outside the array and eats the outer layer: a full mask
#   loses its whole border. skimage.morphology.closing keeps it.
# Versions: scipy 1.17.1, scikit-image 0.26.0, numpy 2.4.6; Python 3.11.
# Prints: closing a full mask of 216 voxels: scipy keeps 64, scikit-image 216
# Why it matters: closing small holes in a cell mask, block by block, cuts a seam of background around every block.
# Source: scipy reference (border_value=0 applies to both steps), which the word closing hides.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    'scipy==1.17.1' 'scikit-image==0.26.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
from scipy.ndimage import binary_closing
from skimage.morphology import closing

full = np.ones((6, 6, 6), bool)
closed = binary_closing(full)
assert not closed[0].any() and not closed[:, :, -1].any()
assert closed.sum() == 4**3
assert closing(full).all()
print(f"closing a full mask of {full.sum()} voxels: scipy keeps {closed.sum()}, scikit-image {closing(full).sum()}")
PYTHON
