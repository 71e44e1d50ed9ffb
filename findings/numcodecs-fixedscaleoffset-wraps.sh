#!/usr/bin/env bash
# numcodecs.FixedScaleOffset stores 256 as 0 and -1 as 255 when packed into uint8.
#
# Guess: numbers outside the packed type are clipped, since the codec is lossy anyway, or refused.
# Seen: they wrap around, without a warning.
# Versions: numcodecs 0.16.6, numpy 2.4.6; Python 3.11.
# Prints: -1 0 255 256 300 come back as 255 0 255 0 44
# Why it matters: packing floats into bytes is a way to store a filtered image small: a single overshoot beside a
#   membrane, 256 of 255, is a black voxel in a white line.
# Source: behaviour of the released package.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'numcodecs==0.16.6' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
from numcodecs import FixedScaleOffset

codec = FixedScaleOffset(offset=0, scale=1, dtype="f4", astype="u1")
image = np.array([-1, 0, 255, 256, 300], "f4")
with np.errstate(invalid="ignore"):
    back = codec.decode(codec.encode(image)).astype(int).tolist()
assert back == [255, 0, 255, 0, 44], back
print(*image.astype(int).tolist(), "come back as", *back)
PYTHON
