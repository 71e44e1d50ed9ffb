#!/usr/bin/env bash
# A TIFF in which 0 means white is inverted or not by reader and by bit depth.
#
# Guess: a reader either applies the photometric interpretation or leaves the stored numbers alone, whatever their
#   width.
# Seen: Pillow and OpenCV invert 8-bit MinIsWhite images and leave 16-bit ones as stored; tifffile never inverts.
# Versions: pillow 13.0.0, opencv-python-headless 5.0.0.93, tifffile 2026.3.3, numpy 2.4.6; Python 3.11.
# Prints: stored [0, 10, 200, 255] - 8 bits: Pillow and OpenCV read [255, 245, 55, 0] - tifffile, and all at 16 bits,
#   as stored
# Why it matters: older EM cameras and film scanners write MinIsWhite: the contrast of membranes flips between two
#   tools, or after a conversion to 16 bits, and a network trained on one sees the negative.
# Source: TIFF 6.0, tag PhotometricInterpretation; behaviour of the released packages.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    'pillow==13.0.0' 'opencv-python-headless==5.0.0.93' 'tifffile==2026.3.3' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import cv2
import numpy as np
import tifffile
from PIL import Image

read = {}
for dtype in (np.uint8, np.uint16):
    stored = np.array([[0, 10, 200, 255]] * 2, dtype)
    tifffile.imwrite("image.tif", stored, photometric="miniswhite")
    read[dtype] = (
        np.asarray(Image.open("image.tif"))[0].tolist(),
        cv2.imread("image.tif", cv2.IMREAD_UNCHANGED)[0].tolist(),
        tifffile.imread("image.tif")[0].tolist(),
    )
kept, inverted = [0, 10, 200, 255], [255, 245, 55, 0]
assert read[np.uint8] == (inverted, inverted, kept), read
assert read[np.uint16] == (kept, kept, kept), read
print("stored", kept, "- 8 bits: Pillow and OpenCV read", inverted, "- tifffile, and all at 16 bits, as stored")
PYTHON
