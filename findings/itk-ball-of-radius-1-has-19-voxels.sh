#!/usr/bin/env bash
# SimpleITK's ball of radius 1 has 19 voxels, and in 2D it is a full square.
#
# Guess: a ball holds the voxels within its radius: the centre and its 6 neighbours, 5 pixels in 2D, as in scikit-image.
# Seen: the ellipsoid has half a voxel more: radius 1 reaches the diagonals of a face, radius 2 has 81 voxels for 33. It
#   is the default element of BinaryDilate, BinaryErode and of opening and closing.
# Versions: simpleitk 2.5.7, scikit-image 0.26.0, numpy 2.4.6; Python 3.11.
# Prints: voxels of radius 1 and 2: 2D 9 21, 3D 19 81 - scikit-image: 2D 5 13, 3D 7 33
# Why it matters: objects that touch along a diagonal are joined, and thin membranes vanish, at a radius that keeps them
#   apart in another library; recipes with "radius 2" do not carry over.
# Source: ITK's FlatStructuringElement::Ball (radiusIsParametric, which SimpleITK leaves false).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    'simpleitk==2.5.7' 'scikit-image==0.26.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import SimpleITK as sitk
from skimage.morphology import ball, disk

def count(axes, radius):
    volume = np.zeros((9,) * axes, np.uint8)
    volume[(4,) * axes] = 1
    return int(sitk.GetArrayFromImage(sitk.BinaryDilate(sitk.GetImageFromArray(volume), [radius] * axes)).sum())

assert sitk.BinaryDilateImageFilter().GetKernelType() == sitk.sitkBall
itk = [count(axes, radius) for axes in (2, 3) for radius in (1, 2)]
other = [int(shape(radius).sum()) for shape in (disk, ball) for radius in (1, 2)]
assert itk == [9, 21, 19, 81] and other == [5, 13, 7, 33], (itk, other)
line = "2D {} {}, 3D {} {}"
print("voxels of radius 1 and 2:", line.format(*itk), "- scikit-image:", line.format(*other))
PYTHON
