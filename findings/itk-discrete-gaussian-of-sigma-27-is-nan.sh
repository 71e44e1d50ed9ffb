#!/usr/bin/env bash
# SimpleITK's DiscreteGaussian of sigma 20 smooths by 15.8 voxels, and that of sigma 27 makes every voxel NaN.
#
# Guess: the kernel is as wide as sigma needs, or a limit is kept with a warning; a constant image stays what it is.
# Seen: the kernel ends 32 voxels from its middle; from a variance of about 710 on its coefficients are not numbers,
#   however wide it may be, and so is the whole image (8-bit images come out black). No error reaches Python.
#   SmoothingRecursiveGaussian is right.
# Versions: simpleitk 2.5.7, numpy 2.4.6; Python 3.11.
# Prints: width of sigma 10 and 20: 9.7 15.8 - of a constant 100: sigma 26 100.0, sigma 27 nan, recursive 27 100.0
# Why it matters: a wide Gaussian estimates the uneven brightness of a section: too narrow it follows the structures
#   that it should average, and a little wider it blanks the image.
# Source: ITK documentation of DiscreteGaussianImageFilter (MaximumKernelWidth 32); its kernel is of Bessel functions,
#   whose factor exp(-variance) runs out of range.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'simpleitk==2.5.7' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import SimpleITK as sitk

x = np.arange(401) - 200
line = np.zeros((9, 401), np.float32)
line[:, 200] = 1
grey = sitk.GetImageFromArray(np.full_like(line, 100))

def width(sigma):
    profile = sitk.GetArrayFromImage(sitk.DiscreteGaussian(sitk.GetImageFromArray(line), sigma**2))[4].astype(float)
    return float(np.sqrt((profile * x**2).sum() / profile.sum()))

def middle(smoothed):
    return float(sitk.GetArrayFromImage(smoothed)[4, 200])

widths = [round(width(sigma), 1) for sigma in (10, 20)]
narrow, wide, wider = (sitk.DiscreteGaussian(grey, sigma**2, limit) for sigma, limit in ((26, 32), (27, 32), (27, 500)))
recursive = middle(sitk.SmoothingRecursiveGaussian(grey, [27, 27]))
assert widths == [9.7, 15.8] and abs(middle(narrow) - 100) < 1e-3 and abs(recursive - 100) < 1e-3, (widths, recursive)
assert all(np.isnan(sitk.GetArrayFromImage(smoothed)).all() for smoothed in (wide, wider))
print("width of sigma 10 and 20:", *widths, f"- of a constant 100: sigma 26 {middle(narrow):.1f}, sigma 27",
      f"{middle(wide)}, recursive 27 {recursive:.1f}")
PYTHON
