#!/usr/bin/env bash
# The outer boundaries of labels that scikit-image finds depend on the integer type.
#
# Guess: find_boundaries depends on the labels alone: uint8 and int64 of the same numbers give the same mask.
# Seen: with mode="outer" voxels of the objects themselves, beside the background, are marked for int64 and not for
#   uint8; modes "thick" and "inner" agree.
# Versions: scikit-image 0.26.0, numpy 2.4.6; Python 3.11.
# Prints: 0 0 1 1 2 2 0, outer: uint8 0101101, int64 0111111
# Why it matters: a boundary map made from labels stored as uint8 has other membranes than the same map after astype;
#   a network trained on one is scored on the other.
# Source: scikit-image issue 4558, open since 2020 (the marker for background overflows in wide types).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'scikit-image==0.26.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
from skimage.segmentation import find_boundaries

def boundaries(kind, mode):
    labels = np.array([[0, 0, 1, 1, 2, 2, 0]], kind)
    return "".join(str(int(voxel)) for voxel in find_boundaries(labels, mode=mode)[0])

small, large = boundaries(np.uint8, "outer"), boundaries(np.int64, "outer")
for mode in ("thick", "inner"):
    assert boundaries(np.uint8, mode) == boundaries(np.int64, mode)
assert (small, large) == ("0101101", "0111111"), (small, large)
print(f"0 0 1 1 2 2 0, outer: uint8 {small}, int64 {large}")
PYTHON
