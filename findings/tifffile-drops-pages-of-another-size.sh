#!/usr/bin/env bash
# tifffile.imread returns the pages of the first size only, and says nothing of the others.
#
# Guess: a TIFF whose pages differ in size cannot be one array, so imread raises or returns a list.
# Seen: it returns the first series: five pages of 64 x 64 of a file of eight pages; the other three have to be looked
#   for in TiffFile.series.
# Versions: tifffile 2026.3.3, numpy 2.4.6; Python 3.11.
# Prints: 8 pages, imread gives (5, 64, 64); the series are [(5, 64, 64), (3, 64, 65)]
# Why it matters: a stack in which the camera or a stitcher changed the frame by a pixel midway loses its rest; the
#   volume is merely thinner than it should be.
# Source: tifffile documentation (imread returns the first series by default); scikit-image issue 5242 tells of a
#   victim.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'tifffile==2026.3.3' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import tifffile

with tifffile.TiffWriter("stack.tif") as writer:
    for z in range(8):
        writer.write(np.zeros((64, 64 if z < 5 else 65), np.uint8), metadata=None)
volume = tifffile.imread("stack.tif")
with tifffile.TiffFile("stack.tif") as file:
    pages, series = len(file.pages), [one.shape for one in file.series]
assert volume.shape == (5, 64, 64)
assert pages == 8 and series == [(5, 64, 64), (3, 64, 65)], series
print(f"{pages} pages, imread gives {volume.shape}; the series are {series}")
PYTHON
