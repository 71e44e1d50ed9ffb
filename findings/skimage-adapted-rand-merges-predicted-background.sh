#!/usr/bin/env bash
# scikit-image counts all voxels that a segmentation left as background as one predicted object.
#
# Guess: label 0 of the prediction is left out or counted as single voxels, as the SNEMI3D and CREMI scores of the
#   same name do; ignore_labels=(0,) looks like it concerns both images.
# Seen: only label 0 of the truth is ignored. Predicted background over two neurites scores exactly like one segment
#   that merges them, and much better than voxels that are each their own segment.
# Versions: scikit-image 0.26.0, numpy 2.4.6; Python 3.11.
# Prints: adapted Rand error: background 0.338, one merged segment 0.338, single voxels 1.000
# Why it matters: a network whose membranes are thicker than the true ones is punished as if it had merged cells, and
#   its scores do not compare with those published for CREMI.
# Source: scikit-image docstring: "Pixels with label 0 in the true segmentation are ignored"; Arganda-Carreras et al.
#   2015, Front. Neuroanat. 9:142.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'scikit-image==0.26.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
from skimage.metrics import adapted_rand_error

truth = np.repeat([1, 2], 50)
nothing_found = np.zeros(100, dtype=int)
one_segment = np.full(100, 7)
single_voxels = np.arange(1, 101)
background, merged, singles = (
    adapted_rand_error(truth, prediction)[0] for prediction in (nothing_found, one_segment, single_voxels)
)
assert background == merged
assert singles == 1
print(f"adapted Rand error: background {background:.3f}, one merged segment {merged:.3f}, single voxels {singles:.3f}")
PYTHON
