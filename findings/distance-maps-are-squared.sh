#!/usr/bin/env bash
# The distance maps of SimpleITK and mahotas are squared distances unless told otherwise.
#
# Guess: SignedMaurerDistanceMap and mahotas.distance give distances; ITK's, which knows the spacing, in physical
#   units.
# Seen: both give squares by default (10 voxels away: 100), and SimpleITK's counts voxels though the image has a
#   spacing of 40; two parameters change it.
# Versions: SimpleITK 2.5.7, mahotas 1.4.19, numpy 2.4.6; Python 3.11.
# Prints: ten voxels of 40 nm away: SimpleITK 100.0 - mahotas 100.0 - with both parameters 400
# Why it matters: margins around organelles, and seeds for a watershed smoothed or compared by a threshold in
#   nanometres, follow the square.
# Source: SimpleITK documentation (squaredDistance=True, useImageSpacing=False); mahotas documentation
#   (metric="euclidean2").
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    'SimpleITK==2.5.7' 'mahotas==1.4.19' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import mahotas
import numpy as np
import SimpleITK as sitk

line = np.zeros((1, 1, 11), np.uint8)
line[..., 0] = 1
image = sitk.GetImageFromArray(line)
image.SetSpacing((40, 4, 4))
default = sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(image)).ravel()
physical = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
squared = mahotas.distance(line[0] == 0)[0]
assert np.allclose(default, np.arange(11.0) ** 2)
assert np.allclose(sitk.GetArrayFromImage(physical).ravel(), 40 * np.arange(11.0))
assert np.allclose(squared, np.arange(11.0) ** 2)
print("ten voxels of 40 nm away: SimpleITK", default[-1], "- mahotas", squared[-1], "- with both parameters 400")
PYTHON
