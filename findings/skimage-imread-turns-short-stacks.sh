#!/usr/bin/env bash
# skimage.io.imread moves the z axis of a stack of exactly three or four slices to the end.
#
# Guess: a TIFF of four greyscale pages reads as (4, y, x), like one of five pages reads as (5, y, x).
# Seen: three and four pages read as (y, x, 3) and (y, x, 4), as if they were colours; two and five pages keep their
#   order. A stack of (2, 3, y, x) is turned as well.
# Versions: scikit-image 0.26.0, tifffile 2026.3.3, numpy 2.4.6; Python 3.11.
# Prints: pages to shape read: {2: (2, 30, 40), 3: (30, 40, 3), 4: (30, 40, 4), 5: (5, 30, 40)}
# Why it matters: small crops are what annotators label; code that works for every stack fails, or silently runs along
#   the wrong axis, for those of three or four slices.
# Source: scikit-image issue 5242, open since 2021; tifffile issues 196 and 235.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    'scikit-image==0.26.0' 'tifffile==2026.3.3' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
import tifffile
from skimage import io

warnings.simplefilter("ignore")
shapes = {}
for pages in (2, 3, 4, 5):
    tifffile.imwrite("stack.tif", np.zeros((pages, 30, 40), np.uint16), photometric="minisblack")
    assert tifffile.imread("stack.tif").shape == (pages, 30, 40)
    shapes[pages] = io.imread("stack.tif").shape
assert shapes == {2: (2, 30, 40), 3: (30, 40, 3), 4: (30, 40, 4), 5: (5, 30, 40)}, shapes
print("pages to shape read:", shapes)
PYTHON
