#!/usr/bin/env bash
# regionprops cannot give the Feret diameter of a 3D object that lies in one slice, and its solidity is infinite.
#
# Guess: an object of one slice in a 3D label image has a largest diameter like any other: 15 for 10 by 14 voxels or
#   so; solidity is at most 1.
# Seen: feret_diameter_max raises ValueError ("Surface level must be within volume data range"), area_convex is 0 and
#   solidity is inf; other measures of the same object work.
# Versions: scikit-image 0.26.0, numpy 2.4.6; Python 3.11.
# Prints: one slice: ValueError: Surface level must be within volume data range. - solidity of one and of two slices:
#   inf 1.0
# Why it matters: in a stack of thick sections many small organelles are seen in one slice only; one of them ends the
#   table of all.
# Source: behaviour of the released package (the convex hull of coplanar points is empty).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'scikit-image==0.26.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
from skimage.measure import regionprops

warnings.simplefilter("ignore")
labels = np.zeros((5, 20, 20), np.uint8)
labels[2, 5:15, 3:17] = 1
(vesicle,) = regionprops(labels)
assert vesicle.area == 140
try:
    vesicle.feret_diameter_max
except ValueError as error:
    message = str(error)
else:
    raise SystemExit("feret_diameter_max was given")
assert vesicle.area_convex == 0 and np.isinf(vesicle.solidity)
labels[3] = labels[2]
(thicker,) = regionprops(labels)
assert thicker.feret_diameter_max > 14 and thicker.solidity == 1
solidity = float(vesicle.solidity), float(thicker.solidity)
print("one slice: ValueError:", message, "- solidity of one and of two slices:", *solidity)
PYTHON
