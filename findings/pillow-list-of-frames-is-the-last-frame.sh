#!/usr/bin/env bash
# A list made of Pillow's frames of a multi-page TIFF holds the last page again and again.
#
# Guess: list(ImageSequence.Iterator(image)) gives one image a page, as iterating with a for loop does.
# Seen: every item is the same object, moved on to the next page; once the list is made, all of them show the last
#   one.
# Versions: pillow 13.0.0, tifffile 2026.3.3, numpy 2.4.6; Python 3.11.
# Prints: pages 0 to 3: from the list [3, 3, 3, 3] - in the loop [0, 1, 2, 3]
# Why it matters: a stack read as np.stack([np.asarray(f) for f in frames]) from such a list has the right shape and
#   one section, repeated.
# Source: Pillow documentation of ImageSequence (frames are to be copied); behaviour of the released package.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    'pillow==13.0.0' 'tifffile==2026.3.3' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import tifffile
from PIL import Image, ImageSequence

stack = np.arange(4, dtype=np.uint8)[:, None, None] * np.ones((4, 8, 8), np.uint8)
tifffile.imwrite("stack.tif", stack, photometric="minisblack")
with Image.open("stack.tif") as image:
    frames = list(ImageSequence.Iterator(image))
    listed = [int(np.asarray(frame)[0, 0]) for frame in frames]
    looped = [int(np.asarray(frame)[0, 0]) for frame in ImageSequence.Iterator(image)]
assert listed == [3, 3, 3, 3] and looped == [0, 1, 2, 3], (listed, looped)
print("pages 0 to 3: from the list", listed, "- in the loop", looped)
PYTHON
