#!/usr/bin/env bash
# cv2.imwrite saves an int32 label image as PNG with all labels above 255 made one, and returns True.
#
# Guess: a PNG holds 8 or 16 bits, so 32-bit labels raise or return False.
# Seen: they are clipped to 0..255 and True is returned; int16 is clipped as well although 16-bit PNG exists. Only a
#   line in the log tells. As TIFF int32 is kept.
# Versions: opencv-python-headless 5.0.0.93, numpy 2.4.6; Python 3.11.
# Prints: labels [0, 5, 300, 301, 30000] of int16 or int32 as PNG: [0, 5, 255, 255, 255] and True
# Why it matters: skimage, scipy and numpy make int32 and int64 labels; a folder of label PNGs for an annotation tool
#   has all neurons above 255 merged.
# Source: behaviour of the released package; its log says that the depth falls back to CV_8U.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    'opencv-python-headless==5.0.0.93' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import cv2
import numpy as np

labels = np.array([[0, 5, 300, 301, 30000]] * 4)
read = {}
for dtype in (np.int16, np.int32):
    assert cv2.imwrite("labels.png", labels.astype(dtype)) is True
    read[dtype] = cv2.imread("labels.png", cv2.IMREAD_UNCHANGED)[0]
    assert read[dtype].dtype == np.uint8 and read[dtype].tolist() == [0, 5, 255, 255, 255]
assert cv2.imwrite("labels.tif", labels.astype(np.int32))
assert (cv2.imread("labels.tif", cv2.IMREAD_UNCHANGED) == labels).all()
print("labels", labels[0].tolist(), "of int16 or int32 as PNG:", read[np.int32].tolist(), "and True")
PYTHON
