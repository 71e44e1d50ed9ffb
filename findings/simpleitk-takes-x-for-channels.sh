#!/usr/bin/env bash
# SimpleITK makes a four-dimensional array a 3D image whose channels are the x axis.
#
# Guess: GetImageFromArray of (channel, z, y, x), or (t, z, y, x), makes a 4D image, as a 3D array makes a 3D one.
# Seen: arrays of four dimensions are taken as (z, y, x, channel): two channels of 5 x 6 x 7 voxels become an image of
#   size 6 x 5 x 2 with 7 components, without a warning. isVector=False gives the 4D image.
# Versions: SimpleITK 2.5.7, numpy 2.4.6; Python 3.11.
# Prints: (2, 5, 6, 7) becomes size (6, 5, 2) with 7 components; with isVector=False size (7, 6, 5, 2)
# Why it matters: probabilities of a network come as (class, z, y, x); filters then run across classes and z as if
#   they were z and y.
# Source: SimpleITK documentation of GetImageFromArray (isVector=None means: when the array has four dimensions).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'SimpleITK==2.5.7' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import SimpleITK as sitk

probabilities = np.zeros((2, 5, 6, 7), np.float32)
guessed = sitk.GetImageFromArray(probabilities)
stated = sitk.GetImageFromArray(probabilities, isVector=False)
assert (guessed.GetSize(), guessed.GetNumberOfComponentsPerPixel()) == ((6, 5, 2), 7)
assert (stated.GetSize(), stated.GetNumberOfComponentsPerPixel()) == ((7, 6, 5, 2), 1)
shape, size = probabilities.shape, guessed.GetSize()
print(shape, "becomes size", size, "with 7 components; with isVector=False size", stated.GetSize())
PYTHON
