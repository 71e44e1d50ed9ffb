#!/usr/bin/env bash
# INTER_NEAREST of OpenCV picks other voxels than the nearest neighbour of Pillow.
#
# Guess: nearest neighbour is one rule: halving or shrinking labels gives the same voxels in every library.
# Seen: INTER_NEAREST takes floor(k * scale), the corner and not the centre: of 0..9 shrunk to 4 it takes 0, 2, 5, 7;
#   Pillow and INTER_NEAREST_EXACT take 1, 3, 6, 8.
# Versions: opencv-python-headless 5.0.0.93, pillow 13.0.0, numpy 2.4.6; Python 3.11.
# Prints: 0..9 shrunk to 4: INTER_NEAREST [0, 2, 5, 7]; Pillow and INTER_NEAREST_EXACT [1, 3, 6, 8]; by area [0.8,
#   3.2, 5.8, 8.2]
# Why it matters: labels shrunk by OpenCV are shifted towards the origin against an image shrunk by area; thin
#   membranes miss their image.
# Source: OpenCV documentation of InterpolationFlags (INTER_NEAREST_EXACT matches Pillow, scikit-image and MATLAB).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    'opencv-python-headless==5.0.0.93' 'pillow==13.0.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import cv2
import numpy as np
from PIL import Image

position = np.arange(10, dtype=np.uint8)[None]
plain = cv2.resize(position, (4, 1), interpolation=cv2.INTER_NEAREST)[0].tolist()
exact = cv2.resize(position, (4, 1), interpolation=cv2.INTER_NEAREST_EXACT)[0].tolist()
pillow = np.asarray(Image.fromarray(position).resize((4, 1), Image.Resampling.NEAREST))[0].tolist()
area = cv2.resize(position.astype(np.float32), (4, 1), interpolation=cv2.INTER_AREA)[0]
assert plain == [0, 2, 5, 7] and exact == pillow == [1, 3, 6, 8]
assert np.abs(area - exact).max() <= 0.5 < np.abs(area - plain).max()
centres = [round(float(a), 1) for a in area]
print(f"0..9 shrunk to 4: INTER_NEAREST {plain}; Pillow and INTER_NEAREST_EXACT {pillow}; by area {centres}")
PYTHON
