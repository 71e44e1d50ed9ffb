#!/usr/bin/env bash
# Neuroglancer's LocalVolume takes a uint16 image for a segmentation and int64 labels for an image.
#
# Guess: the kind of volume follows from what types are used for: 8 and 16 bits are images, 32 and 64 bits labels.
# Seen: every unsigned type but uint8 is a segmentation, every signed one an image; volume_type states it.
# Versions: neuroglancer 2.41.2, numpy 2.4.6; Python 3.11.
# Prints: {'uint8': 'image', 'uint16': 'segmentation', 'uint64': 'segmentation', 'int64': 'image'}
# Why it matters: a 16-bit EM volume shown from a notebook is a confetti of segments, and labels with NumPy's default
#   int64 are grey.
# Source: behaviour of the released package (neuroglancer.LocalVolume, volume_type).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'neuroglancer==2.41.2' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import neuroglancer
import numpy as np

space = neuroglancer.CoordinateSpace(names=["z", "y", "x"], scales=[40, 4, 4], units="nm")
kinds = {
    np.dtype(kind).name: neuroglancer.LocalVolume(np.zeros((4, 5, 6), kind), dimensions=space).volume_type
    for kind in (np.uint8, np.uint16, np.uint64, np.int64)
}
assert kinds == {"uint8": "image", "uint16": "segmentation", "uint64": "segmentation", "int64": "image"}, kinds
print(kinds)
PYTHON
